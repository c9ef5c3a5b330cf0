"""Two pictures of a solution: the best fit with its difference curve, and the candidates as shaded spheres.

Both are PNG files whose bytes depend on the solution alone: the reader's matplotlib settings have no say, and pyplot is
never imported.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager, rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from cbldm.errors import InputError
from cbldm.report.spheres import (
    COORDINATION_LABELS,
    NEIGHBOUR_REACH,
    colour_table,
    colours_of,
    nearest_neighbour_distance,
    neighbours,
    pose,
    render,
)
from cbldm.types import Candidate, Fit, Solution

#: Size of ``fit.png`` and width of ``structures.png``, in pixels, and pixels per inch.
FIT_SIZE, STRUCTURES_WIDTH, DPI = (1600, 1000), 2000, 200
#: Most candidates that ``structures.png`` shows.
MOST_CANDIDATES = 10
#: Most circles that stand for the observed curve.
MOST_CIRCLES = 420
#: Level of compression of the PNG files: above it they take several times as long for a few per cent.
COMPRESSION = 3

#: Heights of the parts of ``structures.png``, its left and right margin, and its widest structure, in pixels.
HEADER, GAP, CAPTION, FOOTER, MARGIN, WIDEST_CELL = 110, 30, 120, 150, 60, 600
#: Lengths of which the scale bar takes the largest that is not too long, in Å.
SCALE_BARS = (1, 2, 5, 10, 20, 50)

_INK, _GREY, _BLUE, _RED, _GREEN, _GOLD = "#20262c", "#b9bfc5", "#2a5d8f", "#b64a34", "#4f7d5c", "#c08a1e"
_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}
_STYLE_LOCK = threading.Lock()


def draw_pictures(solution: Solution, folder: Path) -> None:
    """Draw ``fit.png`` and ``structures.png`` into a folder; see `draw_fit` and `draw_structures`."""
    with ThreadPoolExecutor(1) as beside:
        fit = beside.submit(draw_fit, solution, folder / "fit.png")
        draw_structures(solution, folder / "structures.png")
        fit.result()


def draw_fit(solution: Solution, path: str | os.PathLike[str]) -> None:
    """Draw the best fit over the observed G(r), with the difference below and the other candidates' fits in grey.

    A smooth background that is part of the fit has a line of its own.

    Args:
        solution: At least one candidate.
        path: The PNG file of 1600 by 1000 pixels to write; it appears complete or not at all.

    Raises:
        InputError: If there is no candidate or the file cannot be written.
    """
    best, *others = _candidates(solution)
    with _style():
        figure = _figure(FIT_SIZE)
        axes = figure.add_axes((0.085, 0.11, 0.895, 0.80))
        lowest = min(candidate.fit.calculated.min() for candidate in [best, *others])
        _draw_curves(axes, best.fit, lowest)
        _draw_others(axes, others)
        axes.set_title(_printable(_name(solution), 44), loc="left", fontsize=10, fontweight="bold", pad=9)
        symbols = "".join(dict.fromkeys(best.atoms.get_chemical_symbols()))
        summary = f"{symbols} · {best.motif} · {best.n_atoms} atoms · Rw {best.rw:.3f}"
        axes.set_title(summary, loc="right", fontsize=9.5, pad=9)
        axes.set_xlabel("r (Å)")
        axes.set_ylabel("G (Å⁻²)")
        axes.legend(loc="upper right", fontsize=8.5, borderaxespad=0.2)
        png = _png(figure)
    _write(path, png)


def _draw_others(axes: Axes, others: Sequence[Candidate]) -> None:
    """Fits of all candidates but the best, in grey, under one entry of the legend."""
    if not others:
        return
    low, high = (f"{select(candidate.rw for candidate in others):.3f}" for select in (min, max))
    span = low if low == high else f"{low}–{high}"
    label = f"other candidate{'s' * (len(others) > 1)} (Rw {span})"
    for candidate in others:
        axes.plot(candidate.fit.r, candidate.fit.calculated, color=_GREY, linewidth=0.6, label=label, zorder=1)
        label = "_nolegend_"


def _draw_curves(axes: Axes, fit: Fit, lowest: float) -> None:
    """Observed points, the fit, its background, and the difference below the ``lowest`` of other curves."""
    shown = slice(None, None, max(1, -(-len(fit.r) // MOST_CIRCLES)))
    top = max(fit.observed.max(), fit.calculated.max())
    bottom = min(fit.observed.min(), lowest, *([] if fit.background is None else [fit.background.min()]))
    offset = bottom - fit.difference.max() - 0.06 * (top - bottom)
    axes.axhline(0.0, color=_GREY, linewidth=0.5, zorder=0)
    axes.axhline(offset, color=_INK, linewidth=0.5, zorder=2)
    (circles,) = axes.plot(fit.r[shown], fit.observed[shown], "o", color=_BLUE, label="observed", zorder=3)
    circles.set(markersize=3.0, markerfacecolor="white", markeredgewidth=0.7)
    axes.plot(fit.r, fit.calculated, color=_RED, linewidth=1.2, label="best fit", zorder=4)
    if fit.background is not None:
        label = f"background in it ({fit.background_share:.1%} of the data)"
        axes.plot(fit.r, fit.background, color=_GOLD, linewidth=0.9, label=label, zorder=3)
    axes.plot(fit.r, fit.difference + offset, color=_GREEN, linewidth=0.9, label="difference (offset)", zorder=4)
    axes.set_xlim(fit.r[0], fit.r[-1])


def draw_structures(solution: Solution, path: str | os.PathLike[str]) -> None:
    """Draw the best candidates as spheres to one scale, each along its densest rows of atoms, slightly tilted.

    The colour of an atom is its number of neighbours within `NEIGHBOUR_REACH` nearest-neighbour distances.

    Args:
        solution: At least one candidate; the first `MOST_CANDIDATES` are drawn.
        path: The PNG file, 2000 pixels wide, to write; it appears complete or not at all.

    Raises:
        InputError: If there is no candidate or the file cannot be written.
    """
    candidates = _candidates(solution)[:MOST_CANDIDATES]
    n_rows = 1 if len(candidates) <= 5 else 2
    n_columns = -(-len(candidates) // n_rows)
    cell = min(WIDEST_CELL, (STRUCTURES_WIDTH - MARGIN) // n_columns)
    poses = [pose(candidate.atoms.get_positions()) for candidate in candidates]
    radii = [0.5 * nearest_neighbour_distance(positions) for positions in poses]
    reach = np.max([np.abs(xyz).max(axis=0) + radius for xyz, radius in zip(poses, radii, strict=True)], axis=0)
    scale = 0.46 * cell / max(reach[:2])
    cell_height = 2 * int(scale * reach[1]) + GAP
    height = HEADER + n_rows * (cell_height + CAPTION) + FOOTER

    picture = np.full((height, STRUCTURES_WIDTH, 3), 255, dtype=np.uint8)
    captions = []
    for index, (positions, radius) in enumerate(zip(poses, radii, strict=True)):
        row, column = divmod(index, n_columns)
        in_row = min(n_columns, len(candidates) - row * n_columns)
        left = (STRUCTURES_WIDTH - in_row * cell) // 2 + column * cell
        top = HEADER + row * (cell_height + CAPTION)
        colours = colours_of(neighbours(positions).sum(axis=1))
        spheres = render(positions * scale, radius * scale, colours, (cell_height, cell))
        picture[top : top + cell_height, left : left + cell] = spheres
        captions.append((left + cell // 2, top + cell_height))
    with _style():
        figure = _figure((STRUCTURES_WIDTH, height))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        for candidate, place in zip(candidates, captions, strict=True):
            _draw_caption(axes, candidate, *place)
        _draw_header(axes, solution, len(candidates))
        _draw_key(axes, picture, height - FOOTER + 70)
        _draw_scale_bar(axes, scale, 0.4 * cell, height - FOOTER + 70)
        axes.set_xlim(0, STRUCTURES_WIDTH)
        axes.set_ylim(height, 0)
        png = _png_over(figure, picture)
    _write(path, png)


def _draw_caption(axes: Axes, candidate: Candidate, x: float, y: float) -> None:
    name = f"{candidate.rank}   {candidate.motif}"
    axes.text(x, y + 30, name, ha="center", va="center", fontsize=9, fontweight="bold")
    size = f"{candidate.n_atoms} atoms · {candidate.diameter:.1f} Å"
    axes.text(x, y + 62, size, ha="center", va="center", fontsize=7.5)
    axes.text(x, y + 90, f"Rw {candidate.rw:.3f}", ha="center", va="center", fontsize=7.5)


def _draw_header(axes: Axes, solution: Solution, n_shown: int) -> None:
    axes.text(MARGIN, 56, _printable(_name(solution), 60), va="center", fontsize=11, fontweight="bold")
    n_found = len(solution.candidates)
    text = (
        f"best {n_shown} of {n_found} candidates" if n_shown < n_found else f"{n_found} candidate{'s' * (n_found > 1)}"
    )
    axes.text(STRUCTURES_WIDTH - MARGIN, 56, text, ha="right", va="center", fontsize=9)


def _draw_key(axes: Axes, picture: NDArray[np.uint8], y: int) -> None:
    """What the colours mean, as one sphere for each; drawn into ``picture``."""
    label = axes.text(MARGIN, y, f"neighbours within {NEIGHBOUR_REACH} bonds", va="center", fontsize=8)
    x, size = MARGIN + int(label.get_window_extent().width) + 60, 36
    for colour, text in zip(colour_table(), COORDINATION_LABELS, strict=True):
        sphere = render(np.zeros((1, 3)), 0.46 * size, colour[None], (size, size))
        picture[y - size // 2 : y + size // 2, x - size // 2 : x + size // 2] = sphere
        axes.text(x + 30, y, text, va="center", fontsize=8)
        x += 130


def _draw_scale_bar(axes: Axes, pixels_per_angstrom: float, longest: float, y: float) -> None:
    """A bar of a round length in Å, at most ``longest`` pixels, in the lower right corner."""
    length = max((bar for bar in SCALE_BARS if bar * pixels_per_angstrom <= longest), default=SCALE_BARS[0])
    right = STRUCTURES_WIDTH - MARGIN
    left = right - length * pixels_per_angstrom
    axes.plot([left, right], [y + 12, y + 12], color=_INK, linewidth=1.6, solid_capstyle="butt")
    axes.text((left + right) / 2, y - 12, f"{length} Å", ha="center", va="center", fontsize=8)


def _candidates(solution: Solution) -> Sequence[Candidate]:
    if not solution.candidates:
        raise InputError(f"figures: got a solution of '{_name(solution)}' without candidates; must have at least one")
    return solution.candidates


def _name(solution: Solution) -> str:
    return solution.pdf.file or "arrays"


def _printable(text: str, longest: int) -> str:
    """The text with ``?`` for what the font cannot draw, its middle left out where it is longer than allowed."""
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    known = font.get_charmap()
    text = "".join(char if char.isprintable() and ord(char) in known else "?" for char in text)
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[-(longest - longest // 2 - 1) :]}"


@contextmanager
def _style() -> Iterator[None]:
    """Our settings in place of the reader's, which come back afterwards; one figure at a time."""
    with _STYLE_LOCK, rc_context():
        rcdefaults()
        rcParams.update(_STYLE)
        yield


def _figure(size: tuple[int, int]) -> Figure:
    """An empty white figure of this many pixels, with the canvas that measures and draws it."""
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    """The figure as PNG, without the note of matplotlib's version."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": COMPRESSION})
    return buffer.getvalue()


def _png_over(figure: Figure, picture: NDArray[np.uint8]) -> bytes:
    """The figure, without its ground, over a picture (height, width, 3) of its size, whose pixels stay as they are."""
    raw = io.BytesIO()
    figure.savefig(raw, format="rgba", transparent=True)
    drawn = np.frombuffer(raw.getvalue(), dtype=np.uint8).reshape(*picture.shape[:2], 4)
    inked = drawn[..., 3] > 0
    opacity = drawn[inked, 3:] / np.float32(255)
    mixed = picture.copy()
    mixed[inked] = np.round(opacity * drawn[inked, :3] + (1 - opacity) * picture[inked])
    buffer = io.BytesIO()
    packing = {"compress_level": COMPRESSION}
    imsave(buffer, mixed, format="png", metadata={"Software": "cbldm"}, dpi=DPI, pil_kwargs=packing)
    return buffer.getvalue()


def _write(path: str | os.PathLike[str], content: bytes) -> None:
    """Write the file beside its place, then move it there, so that nobody sees half of it."""
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        try:
            part.write_bytes(content)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{str(target)!r} cannot be written: {error.strerror or type(error).__name__}") from error
