"""Where a series changes: straight pieces by penalised least squares."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import median_filter

from cbldm.types import FloatArray

#: Fewest points of a piece: a line goes through two, and two more must bear it out.
SHORTEST = 4
#: Places where a piece may begin, at most: in a longer series only every second, third and so on. Time grows with the
#: square of their number, to about a second.
MOST_PLACES = 2500
#: Numbers that say where a level and a line begin and how they go on.
LEVEL, LINE = 2, 3
#: Points of the running median that outliers are held to, how far they may be from it in units of the noise, and how
#: often: one wrong answer is no change.
WINDOW, REACH, ROUNDS = 5, 3.0, 2
#: Misfit that each such number must save, for each ln n, and in a short series, whose noise is known less well, in
#: addition over n: at most 3 % of series of mere noise show a change.
PRICE, SHORT_PRICE = 1.7, 30.0


def change_points(values: ArrayLike) -> list[int]:
    """Indices at which a new level or straight line begins, by optimal partitioning (Jackson et al. 2005).

    The sum of squared residuals over the noise, plus a price of each piece like that of the BIC, is minimised exactly:
    steps are found and so are kinks, while a steady drift is none. The noise is that of the second differences, in
    which neither level nor drift is left. Offset and scale do not matter.

    Args:
        values: (n,) numbers in their order, or (n, k) such as shares of k kinds, which change together.

    Returns:
        Indices from 0, ascending.

    Example:
        >>> change_points([55, 56, 54, 55, 56, 55, 54, 80, 81, 79, 80, 81, 80, 79])
        [7]
        >>> change_points(range(100, 200, 5))
        []
    """
    y = np.asarray(values, dtype=np.float64)
    if len(y) < 2 * SHORTEST:
        return []
    y = y.reshape(len(y), -1)
    y = y - y.mean(axis=0)
    size = np.abs(y).max()
    if size == 0:
        return []
    y /= size
    for _ in range(ROUNDS):
        y = _held(y)
    noise = noise_level(y)
    if noise < 1e-9:
        return []
    return _partition(y / noise)


def noise_level(values: FloatArray) -> float:
    """Standard deviation of white noise on pieces of straight lines, from second differences of (n, k) values.

    >>> round(noise_level(np.random.default_rng(0).normal(size=(2000, 1)) + np.arange(2000)[:, None]), 1)
    1.0
    """
    second = np.diff(values, n=2, axis=0)
    return float(np.sqrt((second**2).sum(axis=1).mean() / 6))


def _held(y: FloatArray) -> FloatArray:
    """(n, k) values, none farther from the running median than `REACH` times the noise."""
    middle = median_filter(y, size=(WINDOW, 1), mode="nearest")
    reach = REACH * noise_level(y)
    return np.clip(y, middle - reach, middle + reach)


def _partition(y: FloatArray) -> list[int]:
    """Starts of the pieces, but the first, of (n, k) values in units of the noise."""
    n = len(y)
    price = PRICE * np.log(n) + SHORT_PRICE / n
    time: FloatArray = np.arange(n, dtype=np.float64) - (n - 1) / 2
    step = -(-n // MOST_PLACES)
    places = np.append(np.arange(0, n - step + 1, step), n)
    columns = (time, time**2, y, y * time[:, None], (y**2).sum(axis=1))
    sums = [_summed(column)[places] for column in columns]
    lowest = np.full(len(places), np.inf)
    lowest[0] = 0.0
    last = np.zeros(len(places), dtype=np.int64)
    for end in range(1, len(places)):
        count = (places[end] - places[:end])[places[end] - places[:end] >= SHORTEST]
        if not len(count):
            continue
        t, tt, v, tv, vv = (total[end] - total[: len(count)] for total in sums)
        level = vv - (v**2).sum(axis=1) / count
        slopes = tv - t[:, None] * v / count[:, None]
        line = level - (slopes**2).sum(axis=1) / (tt - t**2 / count)
        totals = lowest[: len(count)] + np.minimum(level + LEVEL * price, line + LINE * price)
        last[end] = int(np.argmin(totals))
        lowest[end] = totals[last[end]]
    found: list[int] = []
    start = int(last[-1])
    while start > 0:
        found.append(int(places[start]))
        start = int(last[start])
    return found[::-1]


def _summed(column: FloatArray) -> FloatArray:
    """Sums of the first 0, 1, ... n rows."""
    return np.concatenate([np.zeros_like(column[:1]), np.cumsum(column, axis=0)])
