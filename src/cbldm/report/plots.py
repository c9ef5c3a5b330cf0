"""Figures for publications: the fit, the structures and what is open, as matplotlib figures in a style of the reader's.

Unlike the pictures in a results folder these heed a matplotlib style, have the width of a journal's column, and can be
vectors with text that stays text.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import rc_context, rcdefaults, rcParams, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cbldm.errors import InputError
from cbldm.report.figures import _STYLE, _STYLE_LOCK, MOST_CANDIDATES, MOST_CIRCLES, SCALE_BARS, _write
from cbldm.report.posterior import SHOWN_LEVEL, Posterior, _bins, percent
from cbldm.report.spheres import (
    COORDINATION_COLOURS,
    COORDINATION_LABELS,
    NEIGHBOUR_REACH,
    colours_of,
    nearest_neighbour_distance,
    neighbours,
    pose,
    render,
)
from cbldm.types import Candidate, Fit, FloatArray

#: Widths of one and of two columns of a journal, in inches.
SINGLE, DOUBLE = 3.4, 7.0
#: Widths that can be asked for, in inches.
WIDTHS = (2.0, 20.0)
#: What can be drawn, and as what.
FIGURES = ("fit", "structures", "posterior")
FORMATS = ("png", "svg", "pdf")
#: Dots per inch of the shaded spheres, in vector figures too.
SPHERES_DPI = 300
#: Bars that there is room for, so that a few are not as thick as walls.
LEAST_BARS = 3
#: Most structures beside each other.
MOST_COLUMNS = 5

_PAPER: dict[Any, Any] = _STYLE | {
    "font.size": 8.0,
    "axes.titlesize": "medium",
    "axes.prop_cycle": "cycler(color=['#2a5d8f', '#b64a34', '#4f7d5c', '#c08a1e'])",
    "lines.linewidth": 1.0,
    "lines.markersize": 2.4,
    "legend.fontsize": "small",
    "legend.handlelength": 1.6,
    "legend.borderaxespad": 0.2,
    "savefig.dpi": 600,
    "svg.fonttype": "none",
    "svg.hashsalt": "cbldm",
    "pdf.fonttype": 42,
}


@contextmanager
def paper_style(chosen: str | os.PathLike[str] | None = None) -> Iterator[None]:
    """Settings for a publication in place of the reader's, which come back afterwards; one figure at a time.

    Args:
        chosen: Name of a matplotlib style, or a ``.mplstyle`` file, that is laid over ours.

    Raises:
        InputError: There is no such style, or the file is none.
    """
    with _STYLE_LOCK, rc_context():
        rcdefaults()
        rcParams.update(_PAPER)
        if chosen is not None:
            _lay_over(os.fspath(chosen))
        yield


def _lay_over(chosen: str) -> None:
    """Use a style; what matplotlib would only log of a file makes it wrong."""
    complaints = _Complaints(logging.WARNING)
    logger = logging.getLogger("matplotlib")
    propagates = logger.propagate
    logger.addHandler(complaints)
    logger.propagate = False
    try:
        style.use(chosen)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--style must be a .mplstyle file or a style of matplotlib, as {', '.join(style.available[-3:])}; "
            f"got {chosen!r}"
        ) from error
    finally:
        logger.removeHandler(complaints)
        logger.propagate = propagates
    if complaints.texts:
        raise InputError(f"--style {chosen!r} is no style of matplotlib: {complaints.texts[0]}")


class _Complaints(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(" ".join(record.getMessage().split()))


def check_figure(what: str, form: str, width: float | None) -> None:
    """Refuse what no figure can be.

    Raises:
        InputError: An unknown figure or format, or a width out of `WIDTHS`.
    """
    if what not in FIGURES:
        raise InputError(f"--what must be one of {', '.join(FIGURES)}; got {what!r}")
    if form not in FORMATS:
        raise InputError(f"the format must be one of {', '.join(FORMATS)}; got {form!r}")
    if width is not None and not WIDTHS[0] <= width <= WIDTHS[1]:
        raise InputError(f"--width must be {WIDTHS[0]:g} to {WIDTHS[1]:g} inches, got {width:g}")


def draw_figure(
    what: str,
    candidates: Sequence[Candidate],
    posterior: Posterior | None,
    path: str | os.PathLike[str],
    *,
    form: str,
    style: str | os.PathLike[str] | None = None,
    rank: int | None = None,
    width: float | None = None,
) -> None:
    """Draw a figure into a file.

    Args:
        what: One of `FIGURES`.
        candidates: Best first; at least one.
        posterior: How likely each atom count and motif is.
        path: The file, which appears complete or not at all.
        form: One of `FORMATS`.
        style: As for `paper_style`.
        rank: The candidate that is drawn; the best fit and all structures where None.
        width: In inches; one column of a journal, for structures two, where None.

    Raises:
        InputError: What was asked for cannot be drawn or written.
    """
    check_figure(what, form, width)
    chosen = [candidate for candidate in candidates if rank is None or candidate.rank == rank]
    if not chosen:
        ranks = f"1 to {len(candidates)}" if len(candidates) > 1 else "1"
        raise InputError(f"--candidate must be {ranks}, got {rank}")
    with paper_style(style):
        if what == "fit":
            figure = plot_fit(chosen[0], width or SINGLE)
        elif what == "structures":
            figure = plot_structures(chosen, width or (DOUBLE if len(chosen) > 1 else SINGLE))
        else:
            if posterior is None or rank is not None:
                raise InputError("--what posterior is of all candidates; leave out --candidate")
            figure = plot_posterior(posterior, width or SINGLE)
        save_figure(figure, path, form)


def save_figure(figure: Figure, path: str | os.PathLike[str], form: str) -> None:
    """Write a figure inside the style that it was drawn in; the same figure gives the same bytes.

    Args:
        figure: The figure.
        path: The file, which appears complete or not at all.
        form: One of `FORMATS`.

    Raises:
        InputError: The style asks for a program that fails, or the file cannot be written.
    """
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    buffer = io.BytesIO()
    try:
        figure.savefig(buffer, format=form, metadata=metadata[form])
    except (RuntimeError, FileNotFoundError) as error:
        raise InputError(f"the figure cannot be drawn in this style: {' '.join(str(error).split()):.120}") from error
    _write(path, buffer.getvalue())


def _empty(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plot_fit(candidate: Candidate, width: float = SINGLE) -> Figure:
    """Data as open circles, the fit as a line, and the difference over a dashed zero below.

    Args:
        candidate: Whose fit.
        width: Of the figure, in inches.
    """
    figure = _empty(width, min(0.75 * width, 0.3 * width + 1.5))
    axes = figure.add_subplot()
    fit = candidate.fit
    offset = _offset(fit)
    shown = slice(None, None, max(1, -(-len(fit.r) // MOST_CIRCLES)))
    thin = 0.6 * rcParams["lines.linewidth"]
    axes.axhline(offset, color=rcParams["axes.edgecolor"], linewidth=thin, linestyle="--", zorder=1)
    axes.plot(fit.r[shown], fit.observed[shown], "o", color="C0", markerfacecolor="none", markeredgewidth=thin,
              label="data")  # fmt: skip
    axes.plot(fit.r, fit.calculated, "-", color="C1", label="fit", zorder=3)
    if fit.background is not None:
        axes.plot(fit.r, fit.background, "-", color="C3", linewidth=thin, label="background", zorder=2)
    axes.plot(fit.r, fit.difference + offset, "-", color="C2", linewidth=thin, label="difference", zorder=3)
    axes.set_xlim(fit.r[0], fit.r[-1])
    axes.set_xlabel("r (Å)")
    axes.set_ylabel("G (Å⁻²)")
    axes.set_title(f"{candidate.motif}, {candidate.n_atoms} atoms, Rw {candidate.rw:.3f}")
    axes.legend(loc="upper right", ncols=2)
    return figure


def _offset(fit: Fit) -> float:
    """Where the zero of the difference lies, so that the curves do not meet."""
    curves = [fit.observed, fit.calculated, *([] if fit.background is None else [fit.background])]
    low, high = min(float(curve.min()) for curve in curves), max(float(curve.max()) for curve in curves)
    return low - float(fit.difference.max()) - 0.06 * (high - low)


def plot_structures(candidates: Sequence[Candidate], width: float = DOUBLE) -> Figure:
    """Structures as shaded spheres to one scale, coloured by their number of neighbours.

    Args:
        candidates: The first `MOST_CANDIDATES` are drawn.
        width: Of the figure, in inches.
    """
    candidates = candidates[:MOST_CANDIDATES]
    n_columns = min(len(candidates), max(1, int(MOST_COLUMNS * width / DOUBLE)))
    n_rows = -(-len(candidates) // n_columns)
    poses = [pose(candidate.atoms.get_positions()) for candidate in candidates]
    radii = [nearest_neighbour_distance(positions) / 2 for positions in poses]
    reach = np.max([np.abs(xyz).max(axis=0) + radius for xyz, radius in zip(poses, radii, strict=True)], axis=0)
    cell = width / n_columns
    caption = 4.5 * rcParams["font.size"] / 72
    figure = _empty(width, n_rows * (cell * reach[1] / reach[0] + caption) + caption)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, candidate, positions, radius in zip(panels, candidates, poses, radii, strict=False):
        scale = SPHERES_DPI * cell / (2 * reach[0])
        size = (int(2 * scale * reach[1]) + 2, int(2 * scale * reach[0]) + 2)
        colours = colours_of(neighbours(positions).sum(axis=1))
        picture = _cut_out(positions * scale, radius * scale, colours, size)
        axes.imshow(picture, extent=(-reach[0], reach[0], -reach[1], reach[1]), interpolation="none")
        text = f"{candidate.rank}: {candidate.motif}\n{candidate.n_atoms} atoms, Rw {candidate.rw:.3f}"
        axes.set_title(text, y=-0.03, verticalalignment="top", fontsize="medium")
    _draw_bar(panels[0], reach)
    handles = [
        panels[0].plot([], [], "o", color=colour, markersize=0.6 * rcParams["font.size"], label=label)[0]
        for colour, label in zip(COORDINATION_COLOURS, COORDINATION_LABELS, strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1.0,
                  title=f"neighbours within {NEIGHBOUR_REACH} bonds", title_fontsize="small")  # fmt: skip
    return figure


def _cut_out(centres: FloatArray, radius: float, colours: FloatArray, size: tuple[int, int]) -> NDArray[np.uint8]:
    """`render` with clear ground, (height, width, 4), so that spheres lie on the page of any style."""
    height, width = size
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, height / 2 - 0.5 - np.arange(height))
    distance = cKDTree(centres[:, :2]).query(np.stack([x, y], axis=-1))[0]
    cover = np.clip(radius - distance + 0.5, 0.0, 1.0)
    lack = (255.0 - render(centres, radius, colours, size)) / np.maximum(cover, 0.1)[..., None]
    return np.round(np.dstack([255 - np.clip(lack, 0, 255), 255 * cover])).astype(np.uint8)


def _draw_bar(axes: Axes, reach: FloatArray) -> None:
    """A bar of a round length, at most a third of the panel, above its left edge."""
    length = max((bar for bar in SCALE_BARS if bar <= 2 * reach[0] / 3), default=SCALE_BARS[0])
    colour = rcParams["axes.edgecolor"]
    axes.plot([-reach[0], length - reach[0]], [reach[1]] * 2, color=colour, linewidth=1.5, solid_capstyle="butt")
    axes.text(length / 2 - reach[0], 0.97 * reach[1], f"{length} Å", horizontalalignment="center",
              verticalalignment="top", fontsize="small")  # fmt: skip


def plot_posterior(posterior: Posterior, width: float = SINGLE) -> Figure:
    """How likely each atom count and each motif is; the counts in the narrowest range of 80 % are dark.

    Args:
        posterior: The probabilities.
        width: Of the figure, in inches.
    """
    beside = width >= (SINGLE + DOUBLE) / 2
    figure = _empty(width, 0.36 * width if beside else 0.95 * width)
    upper, lower = figure.subplots(1, 2, width_ratios=(2, 1)) if beside else figure.subplots(2, 1, height_ratios=(2, 1))
    low, high = posterior.ranges[SHOWN_LEVEL]
    bins, size = _bins(posterior.count)
    starts, shares = np.array(sorted(bins)), np.array([bins[start] for start in sorted(bins)])
    inside = (starts + size > low) & (starts <= high)
    for chosen, label, alpha in ((inside, f"{low}–{high}: {percent(SHOWN_LEVEL)}", 1.0), (~inside, None, 0.35)):
        upper.bar(starts[chosen], shares[chosen], 0.84 * size, align="edge" if size > 1 else "center", color="C0",
                  alpha=alpha, linewidth=0, label=label)  # fmt: skip
    upper.set_xlim(starts[0] - max(size, 2), starts[-1] + size + max(size, 2))
    upper.xaxis.get_major_locator().set_params(integer=True)
    upper.set_xlabel("atoms" if size == 1 else f"atoms, in bins of {size}")
    upper.set_ylabel("probability")
    upper.legend(loc="best")
    names = list(posterior.motif)
    lower.barh(names, [posterior.motif[name] for name in names], 0.7, color="C0", linewidth=0)
    for place, name in enumerate(names):
        lower.annotate(percent(posterior.motif[name]), (posterior.motif[name], place), xytext=(3, 0),
                       textcoords="offset points", verticalalignment="center", fontsize="small")  # fmt: skip
    lower.set_xlim(0, 1.15)
    lower.set_xticks([0, 0.5, 1])
    lower.set_ylim(max(len(names), LEAST_BARS) - 0.5, -0.5)
    lower.set_xlabel("probability")
    return figure
