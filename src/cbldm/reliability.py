"""Whether stated probabilities come true: what was said with 80 % should be right in 80 of 100 cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Bins of equal width that stated probabilities are sorted into.
BINS = 10


@dataclass(frozen=True)
class Bin:
    """Statements of about the same probability.

    Attributes:
        n: How many there are.
        said: Their mean probability.
        right: Share of them that were right.
    """

    n: int
    said: float
    right: float


def reliability(said: Sequence[float], right: Sequence[bool]) -> list[Bin]:
    """Sort statements into `BINS` bins of equal width by their probability; empty bins are left out.

    Args:
        said: Probability of each statement, 0 to 1.
        right: Whether each was right.

    Example:
        >>> reliability([0.95, 0.97, 0.55], [True, True, False])
        [Bin(n=1, said=0.55, right=0.0), Bin(n=2, said=0.96, right=1.0)]
    """
    bins: dict[int, list[tuple[float, bool]]] = {}
    for p, true in zip(said, right, strict=True):
        # A probability is a sum of weights and may exceed 1 by rounding.
        bins.setdefault(min(int(BINS * p), BINS - 1), []).append((p, true))
    return [
        Bin(len(pairs), sum(p for p, _ in pairs) / len(pairs), sum(true for _, true in pairs) / len(pairs))
        for _, pairs in sorted(bins.items())
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error (Naeini et al. 2015): the mean distance of what was said and what was right.

    Args:
        bins: At least one, from `reliability`.

    Example:
        >>> calibration_error(reliability([0.75] * 4, [True, True, True, False]))
        0.0
    """
    return sum(one.n * abs(one.said - one.right) for one in bins) / sum(one.n for one in bins)
