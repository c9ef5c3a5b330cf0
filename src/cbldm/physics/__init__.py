"""From distances to F(Q) and G(r): the direct reference and the fast, differentiable route."""
