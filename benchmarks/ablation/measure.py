"""Measure the claims of the paper on the models of ``train.py`` and on the weights that ship, one figure per question.

Clusters are of the validation split, so none was trained on and none is in an evaluation set. Samples are raw (no
moves, no refinement) and drawn in the frame that is right, with atom counts of the model's own; how often a model
knows the frame is counted on its own. Every model sees the same clusters, and differences are taken PDF by PDF.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from figures import draw_figures
from rich.console import Console
from rich.table import Table
from scoring import (
    N_DRAWS,
    N_NOISY,
    NOISE,
    SAMPLES,
    SIZES,
    USUAL,
    Scores,
    Summary,
    by_frame,
    by_size,
    clusters,
    draw_milliseconds,
    gain,
    noisy_recovery,
    recognition,
    reconstruction,
    sample_scores,
    summary,
)
from train import RUNS, VARIANTS

from cbldm.geometry.frames import FRAMES
from cbldm.models.cbldm import CbLdm
from cbldm.models.checkpoint import SHIPPED, load_weights
from cbldm.models.networks import Gaussian
from cbldm.training.checkpoints import read_checkpoint
from cbldm.types import FloatArray

#: Denoiser calls; 0 is the prior alone.
STEPS = (0, 1, 2, 4, 8, 20, 50)
#: PDFs of each frame.
PER_FRAME = 40
#: Loss of F1 up to which quality counts as equal.
EQUAL = 0.002
#: Scores of sites and atom counts, and what they are called.
COUNTED = {
    "f1": "F1", "f1_best": "best of 16", "exact": "N exact, %", "exact_best": "any of 16", "within_5": "N ±5 %, %",
    "within_5_best": "any of 16",
}  # fmt: skip


class FromNoise(CbLdm):
    """A model that was trained to start from the prior, and walks all the way from white noise: it misses the jump."""

    def start_prior(self, prior: Gaussian) -> Gaussian:
        return prior


def from_noise(model: CbLdm) -> CbLdm:
    """The same weights without the jump."""
    other = FromNoise(replace(model.config, start="noise"))
    other.load_state_dict(model.state_dict())
    return other.eval().requires_grad_(False)


def equal_steps(wanted: Mapping[int, Scores], offered: Mapping[int, Scores]) -> dict[int, int | None]:
    """Fewest steps of an arm that reach the mean F1 of another arm, for each of its numbers of steps."""
    means = {steps: float(np.mean(scores["f1"])) for steps, scores in offered.items()}
    return {
        steps: next((k for k, mean in means.items() if mean >= float(np.mean(scores["f1"])) - EQUAL), None)
        for steps, scores in wanted.items()
    }


def cell(value: tuple[float, float], digits: int = 3) -> str:
    """A mean and its standard error."""
    return f"{value[0]:.{digits}f} ± {value[1]:.{digits}f}"


def counted_row(found: Summary, keys: Iterable[str]) -> list[str]:
    """F1 as it is, and shares in percent."""
    return [
        cell(found[key]) if key.startswith("f1") else cell((100 * found[key][0], 100 * found[key][1]), 1)
        for key in keys
    ]


@dataclass
class Ablations:
    """Every question in its turn: a table at once, and what the figure needs.

    Attributes:
        models: By name, those of ``train.py`` and the shipped one.
        per_frame: PDFs of each frame.
        console: Where tables go.
    """

    models: Mapping[str, CbLdm]
    per_frame: int
    console: Console

    def show(self, title: str, columns: Iterable[object], rows: Mapping[str, Iterable[str]]) -> None:
        """Print a table whose first column is a name."""
        table = Table("", title=title, title_justify="left")
        for name in columns:
            table.add_column(str(name), justify="right")
        for name, cells in rows.items():
            table.add_row(name, *cells)
        self.console.print(table)

    @cached_property
    def n_atoms(self) -> FloatArray:
        """(n_pdfs,) atom counts of the clusters."""
        return np.array([float(case.n_atoms) for case in clusters(self.per_frame)])

    @cached_property
    def usual(self) -> dict[str, Scores]:
        """Scores of samples with the usual number of calls."""
        return {name: sample_scores(self.models[name], self.per_frame) for name in (*VARIANTS, SHIPPED)}

    @cached_property
    def arms(self) -> dict[str, dict[int, Scores]]:
        """Scores of samples by the number of calls, for every way to start."""
        models = {name: self.models[name] for name in ("base", "repeat", "noise", SHIPPED)}
        models |= {f"{name}, from noise": from_noise(self.models[name]) for name in ("base", SHIPPED)}
        return {
            name: {
                steps: sample_scores(model, self.per_frame, steps)
                for steps in (STEPS if model.config.start == "prior" else STEPS[1:])
            }
            for name, model in models.items()
        }

    def laplacian(self) -> dict[str, object]:
        """(1) Affinity against distances: how well positions come back, from S of the translator and from noisy S."""
        names = ("base", "repeat", "distance", SHIPPED)
        found = {name: reconstruction(self.models[name], self.per_frame) for name in names}
        for scores in found.values():
            scores["excess"] = scores["rmsd"] - scores["rmsd_sites"]
        noisy = noisy_recovery(self.models["base"].config.tau, self.per_frame)
        pairs = {"repeat": "base", "distance": "base"}
        gains = {f"{name} - {other}": gain(found[name], found[other]) for name, other in pairs.items()}
        summaries = {name: summary(scores) for name, scores in found.items()}
        self.show(
            "(1) from the decoded matrix of the true sites, in nearest-neighbour distances",
            ("F1 of reconstruction", "RMSD", "RMSD minus ideal sites'", "recovery, ms"),
            {
                name: (cell(scores["f1"]), cell(scores["rmsd"], 5), cell(scores["excess"], 5),
                       cell(scores["recovery_ms"], 1))
                for name, scores in (summaries | gains).items()
            },
        )  # fmt: skip
        self.show(
            f"(1) median RMSD of {N_NOISY} clusters, {N_DRAWS} draws each; noise as a share of the entries' spread",
            NOISE, {kind: [f"{quartiles[1]:.4f}" for quartiles in levels] for kind, levels in noisy.items()},
        )  # fmt: skip
        return {
            "sizes": SIZES, "noise": NOISE, "noisy_rmsd": noisy, "reconstruction": summaries, "gains": gains,
            "rmsd_by_size": {name: by_size(scores["rmsd"], self.n_atoms) for name, scores in found.items()}
            | {"ideal sites": by_size(found["base"]["rmsd_sites"], self.n_atoms)},
            "excess_by_size": {name: by_size(scores["excess"], self.n_atoms) for name, scores in found.items()},
        }  # fmt: skip

    def start(self) -> dict[str, object]:
        """(2) The head start from the conditional prior against white noise."""
        pairs = {"noise": "base", "base, from noise": "base", f"{SHIPPED}, from noise": SHIPPED}
        equal = {name: equal_steps(self.arms[name], self.arms[other]) for name, other in pairs.items()}
        gains = {
            name: {k: gain(scores, self.arms[other][k]) for k, scores in self.arms[name].items()}
            for name, other in pairs.items()
        }
        curves = {name: {k: summary(scores) for k, scores in curve.items()} for name, curve in self.arms.items()}
        frames = {
            name: {k: {key: by_frame(scores[key]) for key in ("f1", "f1_best")} for k, scores in curve.items()}
            for name, curve in self.arms.items()
        }
        for key, title in (("f1", "one sample"), ("f1_best", "the best of 16")):
            self.show(
                f"(2) F1 of {title} against denoiser calls", STEPS,
                {name: [cell(curve[k][key]) if k in curve else "" for k in STEPS] for name, curve in curves.items()},
            )  # fmt: skip
            self.show(
                f"(2) what white noise adds to F1 of {title}, PDF by PDF", STEPS[1:],
                {name: [cell(values[key]) for values in curve.values()] for name, curve in gains.items()},
            )  # fmt: skip
            self.show(
                f"(2) F1 of {title} by frame, {USUAL} calls", FRAMES,
                {name: [f"{value:.3f}" for value in curve[USUAL][key]] for name, curve in frames.items()},
            )  # fmt: skip
        self.show(
            f"(2) calls from the prior that reach F1 (to {EQUAL}) of so many calls from white noise", STEPS[1:],
            {name: ["never" if k is None else str(k) for k in found.values()] for name, found in equal.items()},
        )  # fmt: skip
        return {
            "curves": curves, "gain_over_prior_start": gains, "steps_of_equal_f1": equal, "frames": FRAMES,
            "by_frame": frames,
        }  # fmt: skip

    def prior_alone(self) -> dict[str, object]:
        """(3) Diffusion against a draw of the conditional prior, and what it costs."""
        names = ("base", "repeat", SHIPPED)
        costs = {name: {k: draw_milliseconds(self.models[name], k) for k in STEPS} for name in names}
        gains = {name: {k: gain(scores, self.arms[name][0]) for k, scores in self.arms[name].items()} for name in names}
        for key in ("f1", "f1_best", "distinct"):
            self.show(
                f"(3) gain in {key} over the prior alone against denoiser calls", STEPS[1:],
                {name: [cell(curve[k][key]) for k in STEPS[1:]] for name, curve in gains.items()},
            )  # fmt: skip
        self.show(
            "(3) ms per sample against denoiser calls", STEPS,
            {name: [f"{cost:.2f}" for cost in values.values()] for name, values in costs.items()},
        )  # fmt: skip
        return {"gain_over_prior": gains, "milliseconds": costs}

    def count(self) -> dict[str, object]:
        """(4) With and without the explicit atom count."""
        names = ("base", "repeat", "implicit")
        scores, gains = self._against_base({name: self.usual[name] for name in names})
        rows = {name: counted_row(found, COUNTED) for name, found in (scores | gains).items()}
        self.show("(4) atom count", COUNTED.values(), rows)
        sizes = {name: by_size(self.usual[name]["within_5"], self.n_atoms) for name in names}
        return {"sizes": SIZES, "scores": scores, "gains": gains, "within_5_by_size": sizes}

    def unit(self) -> dict[str, object]:
        """(5) With and without scaling of the input by the first peak."""
        scores, gains = self._against_base(
            {name: self.usual[name] | recognition(self.models[name], self.per_frame)
             for name in ("base", "repeat", "angstrom")}
        )  # fmt: skip
        keys = COUNTED | {"frame": "frame, %", "motif": "motif, %"}
        rows = {name: counted_row(found, keys) for name, found in (scores | gains).items()}
        self.show("(5) unit of the input", keys.values(), rows)
        return {"scores": scores, "gains": gains}

    @staticmethod
    def _against_base(found: Mapping[str, Scores]) -> tuple[dict[str, Summary], dict[str, Summary]]:
        """Scores, and what the others gain over the base, PDF by PDF."""
        gains = {f"{name} - base": gain(scores, found["base"]) for name, scores in found.items() if name != "base"}
        return {name: summary(scores) for name, scores in found.items()}, gains


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"where train.py wrote, {RUNS} by default")
    parser.add_argument("--per-frame", type=int, default=PER_FRAME)
    parser.add_argument("--out", type=Path, default=RUNS, help=f"folder of results, {RUNS} by default")
    options = parser.parse_args()
    models = {name: load_weights(options.runs / name / name)[0] for name in VARIANTS} | {SHIPPED: load_weights()[0]}
    seconds = {name: read_checkpoint(options.runs / name)["seconds"] for name in VARIANTS}
    begin = time.perf_counter()
    bench = Ablations(models, options.per_frame, Console(width=150))
    bench.show(
        "seconds of training", ("translator", "sculptor"),
        {name: [f"{parts[stage]:.0f}" for stage in ("translator", "sculptor")] for name, parts in seconds.items()},
    )  # fmt: skip
    results: dict[str, object] = {
        "pdfs": len(FRAMES) * options.per_frame, "samples": SAMPLES, "training_seconds": seconds,
        "models": {name: asdict(model.config) for name, model in models.items()},
    }  # fmt: skip
    for question in (bench.laplacian, bench.start, bench.prior_alone, bench.count, bench.unit):
        results[question.__name__] = question()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw_figures(path, options.out)
    bench.console.print(f"{path} and five figures beside it, after {(time.perf_counter() - begin) / 60:.0f} min")


if __name__ == "__main__":
    main()
