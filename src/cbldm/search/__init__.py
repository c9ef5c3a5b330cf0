"""From samples to structures that fit: the prior of shapes, the moves and their search."""
