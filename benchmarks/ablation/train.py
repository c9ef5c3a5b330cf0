"""Train the small models of the ablations: one base, four that differ from it in one switch, and one in the seed alone.

``python benchmarks/ablation/train.py base`` trains one of them into ``runs/ablation/base``, or goes on where a
checkpoint there stopped; several names are trained in turn. A quarter of an hour each on one core.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import math
from dataclasses import replace
from pathlib import Path

from cbldm.models.cbldm import ModelConfig
from cbldm.training import StageConfig, TrainingConfig, train

#: Where the models lie.
RUNS = Path("runs/ablation")
_BASE = TrainingConfig(
    name="base",
    seed=11,
    model=ModelConfig(
        n_latent=96, n_read=160, n_write=224, n_code=192, vae_width=320, prior_width=320, encoder_width=320,
        encoder_depth=3, denoiser_width=384, denoiser_depth=3,
    ),
    translator=StageConfig(700, 1e-3, beta=0.03),
    sculptor=StageConfig(1300, 1e-3),
    batch=256,
    reuse=4,
    validate_every=350,
)  # fmt: skip
_SWITCHES: dict[str, dict[str, str]] = {
    "distance": {"matrix": "distance"},
    "noise": {"start": "noise"},
    "implicit": {"count": "implicit"},
    "angstrom": {"unit": "angstrom"},
}
#: Steps, data and widths are the same for all. ``repeat`` shows how much of a difference is chance of the training.
VARIANTS = {
    "base": _BASE,
    **{name: replace(_BASE, name=name, model=replace(_BASE.model, **switch)) for name, switch in _SWITCHES.items()},  # type: ignore[arg-type]
    "repeat": replace(_BASE, name="repeat", seed=12),
}


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=VARIANTS, metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"folder with a folder for each, {RUNS} by default")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop each after this time; run again to go on")
    options = parser.parse_args()
    for name in options.names:
        weights = train(VARIANTS[name], options.runs / name, accelerator="cpu", minutes=options.minutes)
        print(f"{name}: {weights or 'to be continued'}")


if __name__ == "__main__":
    main()
