"""Draw the figures of the ablations from ``results.json``: ``python benchmarks/ablation/figures.py RESULTS OUT``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: How each model is named and drawn; colours are of Okabe and Ito, which the colour-blind can tell apart.
_LOOK: dict[str, tuple[str, str, str]] = {
    "base": ("base", "#0072B2", "o-"),
    "repeat": ("base, another seed", "#56B4E9", "o--"),
    "distance": ("distance matrix", "#D55E00", "s-"),
    "noise": ("trained from white noise", "#D55E00", "s-"),
    "base, from noise": ("base, walked from noise", "#E69F00", "^--"),
    "implicit": ("without the count", "#D55E00", "s-"),
    "angstrom": ("input in Å", "#D55E00", "s-"),
    "cpu-1": ("cpu-1 (ships)", "#000000", "o-"),
    "cpu-1, from noise": ("cpu-1, walked from noise", "#8c8c8c", "^--"),
    "ideal sites": ("ideal sites", "#8c8c8c", "x:"),
}
_CALLS = "denoiser calls (0: the prior alone)"


def draw_figures(results: Path, out: Path) -> None:
    """Draw all figures.

    Args:
        results: What ``measure.py`` wrote.
        out: Folder of the figures.
    """
    content = json.loads(results.read_text(encoding="utf-8"))
    for name, draw in (("laplacian", _laplacian), ("start", _start), ("prior_alone", _prior_alone),
                       ("count", _count), ("unit", _unit)):  # fmt: skip
        figure = Figure(figsize=(12, 4.4), dpi=100, layout="constrained")
        draw(figure, content[name])
        figure.savefig(out / f"{name}.png")


def _line(axes: Axes, name: str, place: Sequence[float], values: Sequence[Sequence[float]]) -> None:
    """Means with their standard errors."""
    label, colour, style = _LOOK[name]
    mean, error = np.array(values).T
    axes.errorbar(place, mean, error, fmt=style, color=colour, label=label, markersize=5, capsize=2)


def _against_steps(axes: Axes, curves: Mapping[str, Mapping[str, Any]], key: str, label: str) -> None:
    """A score against the number of denoiser calls, a line for each model."""
    steps = sorted({int(k) for curve in curves.values() for k in curve})
    for number, (name, curve) in enumerate(curves.items()):
        # A little aside, so that error bars do not hide each other.
        aside = 0.07 * (number - 0.5 * (len(curves) - 1))
        _line(axes, name, [steps.index(int(k)) + aside for k in curve], [scores[key] for scores in curve.values()])
    axes.set_xticks(range(len(steps)), list(map(str, steps)))
    axes.set(xlabel=_CALLS, ylabel=label)
    axes.grid(alpha=0.25)


def _legend_below(figure: Figure, axes: Axes) -> None:
    """One legend for panels that show the same models, in as many rows as they need."""
    handles, labels = axes.get_legend_handles_labels()
    ncols = len(labels) if len(labels) <= 6 else (len(labels) + 1) // 2
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=ncols)


def _by_size(axes: Axes, sizes: Sequence[int], lines: Mapping[str, Any], label: str) -> None:
    """A score in each range of atom counts, a line for each model."""
    for number, (name, values) in enumerate(lines.items()):
        aside = 0.05 * (number - 0.5 * (len(lines) - 1))
        _line(axes, name, [place + aside for place in range(len(values))], values)
    axes.set_xticks(range(len(sizes) - 1), [f"{low} to {high - 1}" for low, high in pairwise(sizes)])
    axes.set(xlabel="atoms", ylabel=label)
    axes.grid(alpha=0.25)


def _bars(axes: Axes, scores: Mapping[str, Mapping[str, Any]], keys: Mapping[str, str], label: str) -> None:
    """Scores side by side, a colour for each model."""
    width = 0.8 / len(scores)
    for number, (name, found) in enumerate(scores.items()):
        title, colour, _ = _LOOK[name]
        mean, error = np.array([found[key] for key in keys]).T
        place = np.arange(len(keys)) + width * (number - 0.5 * (len(scores) - 1))
        axes.bar(place, mean, width, yerr=error, color=colour, label=title, capsize=2)
    axes.set_xticks(range(len(keys)), list(keys.values()))
    axes.set(ylabel=label, ylim=(0, 1))
    axes.grid(axis="y", alpha=0.25)
    # Above the bars, where there is always room.
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(scores))


def _laplacian(figure: Figure, found: Mapping[str, Any]) -> None:
    left, middle, right = figure.subplots(1, 3)
    names = {"laplacian": ("affinity W of the Laplacian", "#0072B2", "o-"), "distance": _LOOK["distance"]}
    for kind, (label, colour, style) in names.items():
        low, median, high = np.array(found["noisy_rmsd"][kind]).T
        left.loglog(found["noise"], median, style, color=colour, label=label, markersize=5)
        left.fill_between(found["noise"], low, high, color=colour, alpha=0.15, linewidth=0)
    left.set(title="Exact matrix with noise (quartiles)", xlabel="noise / standard deviation of the entries",
             ylabel="RMSD of positions / nearest-neighbour distance")  # fmt: skip
    left.grid(alpha=0.25)
    left.legend(frameon=False)
    _by_size(middle, found["sizes"], found["rmsd_by_size"], "RMSD / nearest-neighbour distance")
    middle.set(title="Matrix from the translator", ylim=(0, None))
    _by_size(right, found["sizes"], found["excess_by_size"], "difference in RMSD / nearest-neighbour distance")
    right.set_title("The same minus ideal sites")
    right.axhline(0, color="black", linewidth=0.8)
    _legend_below(figure, middle)


def _start(figure: Figure, found: Mapping[str, Any]) -> None:
    left, middle, right = figure.subplots(1, 3)
    middle.sharey(left)
    _against_steps(left, found["curves"], "f1", "F1 of sites, unseen shapes")
    _against_steps(middle, found["curves"], "f1_best", "")
    _against_steps(right, found["gain_over_prior_start"], "f1", "difference in F1, PDF by PDF")
    right.axhline(0, color="black", linewidth=0.8)
    left.set_title("One sample")
    middle.set_title("Best of 16")
    right.set_title("White noise minus prior, one sample")
    _legend_below(figure, left)


def _prior_alone(figure: Figure, found: Mapping[str, Any]) -> None:
    left, middle, right = figure.subplots(1, 3)
    middle.sharey(left)
    _against_steps(left, found["gain_over_prior"], "f1", "gain in F1 of sites over the prior alone")
    _against_steps(middle, found["gain_over_prior"], "f1_best", "")
    for axes, title in ((left, "One sample"), (middle, "Best of 16")):
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_title(title)
    for name, costs in found["milliseconds"].items():
        _, colour, style = _LOOK[name]
        right.plot(list(costs), list(costs.values()), style, color=colour, markersize=5)
    right.set(title="Cost", xlabel=_CALLS, ylabel="ms per sample of 150 atoms, one core", ylim=(0, None))
    right.grid(alpha=0.25)
    _legend_below(figure, left)


def _count(figure: Figure, found: Mapping[str, Any]) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    keys = {
        "f1": "F1", "f1_best": "F1,\nbest of 16", "exact": "N exact", "exact_best": "N exact,\nany of 16",
        "within_5": "N ± 5 %", "within_5_best": "N ± 5 %,\nany of 16",
    }  # fmt: skip
    _bars(left, found["scores"], keys, "mean over unseen shapes")
    _by_size(right, found["sizes"], found["within_5_by_size"], "share of samples with N ± 5 %")
    right.set_ylim(0, 1)
    right.legend(frameon=False)


def _unit(figure: Figure, found: Mapping[str, Any]) -> None:
    keys = {
        "f1": "F1", "f1_best": "F1,\nbest of 16", "exact": "N exact", "within_5": "N ± 5 %",
        "frame": "frame right", "motif": "motif right",
    }  # fmt: skip
    _bars(figure.subplots(), found["scores"], keys, "mean over unseen shapes")


if __name__ == "__main__":
    draw_figures(Path(sys.argv[1]), Path(sys.argv[2]))
