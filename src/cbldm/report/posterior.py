"""How likely each atom count and each motif is, as bars."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

#: Size of the picture, and its margins at the left, the right, the top and the bottom.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 230, 46, 8, 12, 44
#: Most bars; counts are put together where there would be more.
MOST_BARS = 90
#: Share of the probability that the picture leaves out at either end.
LEFT_OUT = 0.005
#: Shares below this are not told apart.
LEAST_SHARE = 0.005
#: The range whose bars are dark.
SHOWN_LEVEL = 0.8


@dataclass(frozen=True)
class Posterior:
    """What the data leave open.

    Attributes:
        count: Probability of each atom count.
        ranges: For each share of the probability the lowest and the highest atom count that hold it.
        motif: Probability of each motif, likeliest first.
    """

    count: Mapping[int, float]
    ranges: Mapping[float, tuple[int, int]]
    motif: Mapping[str, float]


def percent(share: float) -> str:
    """A share for people.

    >>> percent(0.314), percent(0.001), percent(0.0)
    ('31 %', '< 1 %', '0 %')
    """
    return "< 1 %" if 0 < share < LEAST_SHARE else f"{100 * share:.0f} %"


def span(low: str, high: str) -> str:
    """A range, or the one value that it holds."""
    return low if low == high else f"{low}–{high}"


def posterior_html(posterior: Posterior) -> str:
    """The atom count as a picture with its ranges, and the motifs as a table with bars."""
    ranges = {percent(level): span(*map(str, ends)) for level, ends in posterior.ranges.items()}
    told = ", ".join(f"{share} within {ends}" for share, ends in ranges.items())
    picture = _columns(posterior.count, posterior.ranges.get(SHOWN_LEVEL), f"Probability of each atom count: {told}")
    motifs = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><svg viewBox="0 0 100 10" preserveAspectRatio="none" '
        f'aria-hidden="true"><rect y="1" height="8" width="{100 * min(share, 1.0):.2f}"></rect></svg></td>'
        f'<td class="number">{escape(percent(share))}</td></tr>'
        for name, share in posterior.motif.items()
    )
    return (
        f'<div><h3>Atom count</h3>{picture}<p class="quiet">In full colour: the narrowest range of '
        f"{percent(SHOWN_LEVEL)}. {escape(told)} atoms.</p></div>"
        f'<table class="bars"><caption>Motif</caption><tbody>{motifs}</tbody></table>'
    )


def _columns(count: Mapping[int, float], dark: tuple[int, int] | None, label: str) -> str:
    """Columns over the atom counts, of those between the far ends."""
    bins, size = _bins(count)
    first, last = min(bins), max(bins) + size
    # A few counts alone would be as wide as walls.
    step = min((WIDTH - LEFT - RIGHT) / (last - first), 24.0)
    start = LEFT + (WIDTH - LEFT - RIGHT - step * (last - first)) / 2
    base, top = HEIGHT - BOTTOM, max(bins.values())
    parts = []
    for low, share in sorted(bins.items()):
        height = (base - TOP) * share / top
        inside = dark is not None and low <= dark[1] and low + size > dark[0]
        kind = "inside" if inside else "outside"
        x, width = start + step * (low - first + 0.08 * size), 0.84 * step * size
        place = f'x="{x:.2f}" y="{base - height:.2f}" width="{width:.2f}" height="{height:.2f}"'
        parts.append(f'<rect class="{kind}" {place}></rect>')
    parts.append(f'<path class="axis" d="M{LEFT} {base}H{WIDTH - RIGHT}"></path>')
    every = _round_step((last - first) / 7)
    for value in range(math.ceil(first / every) * every, last, every):
        x = start + step * (value - first + size / 2)
        parts.append(f'<path class="axis" d="M{x:.1f} {base}v5"></path>')
        parts.append(f'<text x="{x:.1f}" y="{base + 19}" text-anchor="middle">{value}</text>')
    name = "atoms" if size == 1 else f"atoms, in bins of {size}"
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{name}</text>')
    parts.append(f'<text x="{LEFT - 6}" y="{TOP + 5}" text-anchor="end">{percent(top)}</text>')
    parts.append(f'<text x="{LEFT - 6}" y="{base + 4}" text-anchor="end">0</text>')
    return (
        f'<svg class="columns" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _bins(count: Mapping[int, float]) -> tuple[dict[int, float], int]:
    """Shares by the lowest count of each bin, and how many counts a bin holds."""
    counts = sorted(count)
    low, high, total = counts[0], counts[-1], sum(count.values())
    below = 0.0
    for n in counts:
        if below <= LEFT_OUT * total:
            low = n
        if below < (1 - LEFT_OUT) * total:
            high = n
        below += count[n]
    size = _round_step((high - low + 1) / MOST_BARS)
    bins: dict[int, float] = {}
    for n in counts:
        if low <= n <= high:
            bins[n // size * size] = bins.get(n // size * size, 0.0) + count[n]
    return bins, size


def _round_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20 and so on that is not below.

    >>> _round_step(0.3), _round_step(3), _round_step(12)
    (1, 5, 20)
    """
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= least:
                return factor * power
        power *= 10
