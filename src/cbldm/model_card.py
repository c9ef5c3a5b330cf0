"""CARD.md: what a model was trained on, at what cost, how it went, how good it is, and what it cannot do."""

from __future__ import annotations

import csv
import platform
from collections.abc import Mapping
from pathlib import Path

#: Parts of the losses that curve.png shows, by the name of their stage.
_PARTS = {
    "translator": ("presence", "matrix", "kl"),
    "sculptor": ("prior", "denoiser", "motif", "count"),
}

_TEXT = """# Model card: {name}

The model of cbldm, an independent implementation of CbLDM (Cao et al., arXiv 2509.01370): a conditional VAE over the
sites of seven frames, a conditional prior p(z|x), p(N|x), p(motif|x) and a latent diffusion that starts from the prior.

## Data
Made on the fly from the seed, never the same shape twice but for the textbook share: random cuts of {n_atoms} atoms
out of the fcc, bcc, sc, hcp, stacked (twins and faults), decahedral and icosahedral frames, with needles and plates of
hcp, vacancies, adatoms and EMT-like relaxation, and a PDF with random Qmin (0.5 to 1.5 Å⁻¹), Qmax (15 to 30 Å⁻¹),
Qdamp, Qbroad, Uiso, delta2, range, noise and ripples. Shapes are split by their fingerprint (75 % train, 5 %
validation, 20 % test); no shape of the last two was seen. The recipe is `cbldm/data/cuts.py` and
`cbldm/data/stream.py` at this version.

## Configuration
```json
{config}
```

## Cost
{cost}

## Curve
Two stages: the translator (VAE and prior), then the sculptor (diffusion, prior and heads). `unseen_f1` and `seen_f1`
compare occupied sites on validation shapes and on training shapes that were drawn anew: of the reconstruction
(translator), or of one sample given the true frame and atom count, in the canonical pose (sculptor). A gap between the
two would be memorising.
{picture}
{curve}

## Evaluation
{evaluation}

## What it cannot do
- More than one element, ligands, supports, size distributions, amorphous clusters.
- Particles above {n_max} atoms, and what is not a part of the frames fcc, bcc, sc, hcp, stack (close-packed twins and
  faults), decahedron and icosahedron, such as two motifs in one particle. Frames are finite: 26 of 189 textbook hcp
  needles and plates and 2 of 70 decahedra of allowed sizes do not fit theirs.
- Read a PDF beyond 10.5 nearest-neighbour distances: what lies there is used by the fit alone.
- Tell mirror images apart: they share a PDF.
"""


def write_card(
    folder: Path,
    name: str,
    config: str,
    n_atoms: tuple[int, int],
    curve: Path,
    seconds: Mapping[str, float],
    evaluation: str = "Not evaluated yet; `cbldm evaluate` measures it on clusters of known structure.",
) -> None:
    """Write CARD.md beside the weights, and curve.png where matplotlib is installed.

    Args:
        folder: Folder of the weights.
        name: Name of the model.
        config: The whole configuration as text.
        n_atoms: Smallest and largest atom count.
        curve: The CSV file of the run.
        seconds: Training time of each stage.
        evaluation: How good the model is, in Markdown.
    """
    with curve.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    measured = [row for row in rows if row["unseen_f1"]]
    columns = ("stage", "step", "loss", "unseen_f1", "seen_f1")
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(row[column] for column in columns) + " |" for row in measured]
    times = ", ".join(f"{stage} {value / 60:.0f} min" for stage, value in seconds.items())
    machine = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    drawn = _draw_curve(rows, folder / "curve.png")
    text = _TEXT.format(
        name=name, config=config, n_atoms=f"{n_atoms[0]} to {n_atoms[1]}", n_max=n_atoms[1],
        cost=f"Wall clock: {times or 'not recorded'} ({machine}).", curve="\n".join(lines),
        picture="\n![Parts of the loss and F1 of the sites over the steps](curve.png)\n" if drawn else "",
        evaluation=evaluation.strip(),
    )  # fmt: skip
    (folder / "CARD.md").write_text(text, encoding="utf-8")


def _draw_curve(rows: list[dict[str, str]], path: Path) -> bool:
    """Draw the parts of the loss and the F1 of each stage; False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    figure = Figure(figsize=(9, 5), dpi=100, layout="constrained")
    axes = figure.subplots(2, len(_PARTS), sharex="col", squeeze=False)
    for column, (stage, parts) in enumerate(_PARTS.items()):
        for row, names in enumerate((parts, ("unseen_f1", "seen_f1"))):
            panel = axes[row, column]
            for name in names:
                points = [(int(r["step"]), float(r[name])) for r in rows if r["stage"] == stage and r[name]]
                if points:
                    panel.plot(*zip(*points, strict=True), "--" if name == "seen_f1" else "-", label=name)
            panel.legend(frameon=False)
        # The parts differ by orders of magnitude and can be negative.
        axes[0, column].set(title=stage, yscale="symlog")
        axes[1, column].set(xlabel="step", ylim=(0, 1))
    axes[0, 0].set_ylabel("parts of the loss / nats")
    axes[1, 0].set_ylabel("F1 of the sites")
    figure.savefig(path)
    return True
