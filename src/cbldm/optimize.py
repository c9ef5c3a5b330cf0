"""Batched optimisers: many small independent problems at once, finished ones leave the batch.

Both know nothing of structures: a problem is a row, and the functions they are given are told which rows to evaluate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from cbldm.parallel import each

#: (rows (b,), values (b, n_parameters)) -> curves (b, n_points)
Curves = Callable[[Tensor, Tensor], Tensor]
#: (rows (b,), values (b, n_variables)) -> function (b,), gradient (b, n_variables)
Function = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def best_scales(curves: Tensor, observed: Tensor) -> Tensor:
    """The least-squares factors (B,), never negative, that bring the curves (B, n) to the observed (n,)."""
    return ((curves @ observed) / (curves**2).sum(-1).clamp_min(1e-12)).clamp_min(0.0)


def misfits(curves: Tensor, observed: Tensor) -> Tensor:
    """Rw² (B,) of the curves (B, n) at their best scales."""
    residual = observed - best_scales(curves, observed)[:, None] * curves
    return (residual**2).sum(-1) / (observed**2).sum()


@torch.no_grad()
def levenberg_marquardt(
    curves: Curves, observed: Tensor, start: Tensor, low: Tensor, high: Tensor, step: Tensor, max_iterations: int
) -> tuple[Tensor, Tensor]:
    """Bounded Levenberg-Marquardt with the linear scale projected out (Kaufman's variable projection).

    Args:
        curves: The model at scale 1.
        observed: (n_points,) what scale * curve should equal.
        start: (B, P) first values, inside the bounds.
        low: (P,) lower bounds.
        high: (P,) upper bounds.
        step: (P,) finite-difference steps; a twentieth of it is the tolerance on a parameter.
        max_iterations: Most steps.

    Returns:
        (B, P) parameters and (B,) whether each problem converged.
    """
    size, n_parameters = start.shape
    best = start.clone()
    model = curves(torch.arange(size, device=start.device), best)
    cost = misfits(model, observed)
    jacobian = start.new_zeros(size, len(observed), n_parameters)
    damping = start.new_full((size,), 1e-2)
    converged = torch.zeros(size, dtype=torch.bool, device=start.device)
    stale = ~converged
    for _ in range(max_iterations):
        rows = torch.nonzero(stale & ~converged)[:, 0]
        if len(rows):
            jacobian[rows] = _projected_jacobian(curves, observed, rows, best[rows], model[rows], high, step)
        stale[rows] = False

        rows = torch.nonzero(~converged)[:, 0]
        if not len(rows):
            break
        residual = observed - best_scales(model[rows], observed)[:, None] * model[rows]
        gradient = torch.einsum("brp,br->bp", jacobian[rows], residual)
        normal = torch.einsum("brp,brq->bpq", jacobian[rows], jacobian[rows])
        blocked = ((best[rows] <= low) & (gradient < 0)) | ((best[rows] >= high) & (gradient > 0))
        free = (~blocked).to(start.dtype)
        normal = normal * free[:, :, None] * free[:, None, :]
        diagonal = torch.diagonal(normal, dim1=1, dim2=2).clamp_min(1e-12)
        damped = normal + torch.diag_embed(damping[rows, None] * diagonal + blocked)
        move = torch.linalg.solve(damped, gradient * free)
        trial = torch.minimum(torch.maximum(best[rows] + move, low), high)
        trial_model = curves(rows, trial)
        trial_cost = misfits(trial_model, observed)

        better = trial_cost < cost[rows]
        small = ((trial - best[rows]).abs() < 0.05 * step).all(-1)
        flat = (cost[rows] - trial_cost).abs() < 1e-6 * cost[rows] + 1e-10
        converged[rows] = small | (flat & (damping[rows] < 1.0))
        won = rows[better]
        best[won], model[won], cost[won] = trial[better], trial_model[better], trial_cost[better]
        stale[won] = True
        damping[rows] = torch.where(better, damping[rows] * 0.1, damping[rows] * 10.0).clamp(1e-6, 1e6)
    return best, converged


def _projected_jacobian(
    curves: Curves, observed: Tensor, rows: Tensor, values: Tensor, model: Tensor, high: Tensor, step: Tensor
) -> Tensor:
    """(b, n, P) forward differences of scale * curve with the component along the curve removed."""

    @torch.no_grad()
    def column(k: int) -> Tensor:
        ahead = values.clone()
        ahead[:, k] += torch.where(ahead[:, k] + step[k] > high[k], -step[k], step[k])
        slope = (curves(rows, ahead) - model) / (ahead[:, k] - values[:, k])[:, None]
        along = (slope * model).sum(-1) / (model**2).sum(-1).clamp_min(1e-12)
        return best_scales(model, observed)[:, None] * (slope - along[:, None] * model)

    return torch.stack(each(column, range(values.shape[1])), dim=-1)


def lbfgs(
    function: Function,
    precondition: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    low: Tensor,
    high: Tensor,
    largest_step: Tensor,
    *,
    max_iterations: int,
    tolerance: float,
    memory: int = 12,
) -> tuple[Tensor, Tensor, Tensor]:
    """Preconditioned L-BFGS (Nocedal and Wright, algorithm 7.4) with simple bounds by projection.

    A row has converged when the decrease that its quadratic model predicts is below the tolerance. A row whose line
    search finds no decrease stops there, without having converged unless the predicted decrease is small too.

    Args:
        function: Value and gradient.
        precondition: (rows, vectors) -> an approximate inverse Hessian applied to the vectors.
        start: (B, D) first values, inside the bounds.
        low: (D,) lower bounds, -inf where there is none.
        high: (D,) upper bounds, inf where there is none.
        largest_step: (D,) the largest change of each variable in one step.
        max_iterations: Most steps.
        tolerance: Predicted decrease at which a row is finished, in the function's unit.
        memory: Number of steps remembered.

    Returns:
        (B, D) variables, (B,) function values and (B,) whether each row converged.
    """
    result, values = start.clone(), start.new_zeros(len(start))
    converged = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    rows = torch.arange(len(start), device=start.device)
    x = start.clone()
    f, g = function(rows, x)
    steps: list[Tensor] = []
    changes: list[Tensor] = []
    stuck = torch.zeros_like(converged)
    for iteration in range(max_iterations + 1):
        free = ~(((x <= low) & (g > 0)) | ((x >= high) & (g < 0)))
        direction = -_two_loop(g * free, steps, changes, partial(precondition, rows)) * free
        uphill = (direction * g).sum(-1) >= 0
        if uphill.any():
            direction = torch.where(uphill[:, None], -precondition(rows, g * free) * free, direction)
        predicted = -0.5 * (direction * g).sum(-1)

        finished = predicted < tolerance
        leave = finished | stuck if iteration < max_iterations else torch.ones_like(finished)
        if leave.any():
            result[rows[leave]], values[rows[leave]], converged[rows[leave]] = x[leave], f[leave], finished[leave]
            stay = ~leave
            rows, x, f, g, direction = rows[stay], x[stay], f[stay], g[stay], direction[stay]
            steps, changes = [s[stay] for s in steps], [y[stay] for y in changes]
            if not len(rows):
                break
        x_new, f_new, g_new = _backtrack(function, rows, x, f, g, direction, low, high, largest_step)
        stuck = f_new >= f
        steps.append(x_new - x)
        changes.append(g_new - g)
        steps, changes = steps[-memory:], changes[-memory:]
        x, f, g = x_new, f_new, g_new
    return result, values, converged


def _two_loop(gradient: Tensor, steps: list[Tensor], changes: list[Tensor], h0: Callable[[Tensor], Tensor]) -> Tensor:
    """The L-BFGS inverse Hessian times the gradient; pairs without positive curvature are skipped row by row."""
    q = gradient
    kept = []
    for s, y in zip(reversed(steps), reversed(changes), strict=True):
        curvature = (s * y).sum(-1)
        rho = torch.where(curvature > 1e-12, 1 / curvature.clamp_min(1e-12), torch.zeros_like(curvature))
        alpha = rho * (s * q).sum(-1)
        q = q - alpha[:, None] * y
        kept.append((s, y, rho, alpha))
    q = h0(q)
    if steps:
        curvature = (steps[-1] * changes[-1]).sum(-1)
        gamma = curvature / (changes[-1] * h0(changes[-1])).sum(-1).clamp_min(1e-30)
        q = torch.where(curvature > 1e-12, gamma, torch.ones_like(gamma))[:, None] * q
    for s, y, rho, alpha in reversed(kept):
        q = q + (alpha - rho * (y * q).sum(-1))[:, None] * s
    return q


def _backtrack(
    function: Function,
    rows: Tensor,
    x: Tensor,
    f: Tensor,
    g: Tensor,
    direction: Tensor,
    low: Tensor,
    high: Tensor,
    largest_step: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Shorten the step until the function falls (Armijo); rows without a decrease in ten trials stay where they are."""
    slope = (direction * g).sum(-1)
    length = 1 / (direction.abs() / largest_step).amax(-1).clamp_min(1.0)
    x_new, f_new, g_new = x.clone(), f.clone(), g.clone()
    open_rows = torch.arange(len(rows), device=x.device)
    for _ in range(10):
        trial = torch.minimum(torch.maximum(x[open_rows] + length[open_rows, None] * direction[open_rows], low), high)
        f_trial, g_trial = function(rows[open_rows], trial)
        enough = f_trial <= f[open_rows] + 1e-4 * ((trial - x[open_rows]) * g[open_rows]).sum(-1)
        won = open_rows[enough]
        x_new[won], f_new[won], g_new[won] = trial[enough], f_trial[enough], g_trial[enough]
        t, s, df = length[open_rows], slope[open_rows], f_trial - f[open_rows]
        parabola = -s * t**2 / (2 * (df - s * t).clamp_min(1e-30))
        length[open_rows] = torch.minimum(torch.maximum(parabola, 0.1 * t), 0.5 * t)
        open_rows = open_rows[~enough]
        if not len(open_rows):
            break
    return x_new, f_new, g_new
