"""CARD.md: what a model was trained on, at what cost, how it went, and what it cannot do."""

from __future__ import annotations

import csv
import platform
from collections.abc import Mapping
from pathlib import Path

_TEXT = """# Model card: {name}

The model of cbldm, an independent implementation of CbLDM (Cao et al., arXiv 2509.01370): a conditional VAE over the
sites of six frames, a conditional prior p(z|x), p(N|x), p(motif|x) and a latent diffusion that starts from the prior.

## Data
Made on the fly from the seed, never the same shape twice but for the textbook share: random cuts of {n_atoms} atoms
out of the fcc, bcc, sc, close-packed stacking (hcp, twins, faults), decahedral and icosahedral frames, with vacancies,
adatoms and EMT-like relaxation, and a PDF with random Qmin (0.5 to 1.5 Å⁻¹), Qmax (15 to 30 Å⁻¹), Qdamp, Qbroad, Uiso,
delta2, range, noise and ripples. Shapes are split by their fingerprint (75 % train, 5 % validation, 20 % test); no
shape of the last two was seen. The recipe is `cbldm/data/cuts.py` and `cbldm/data/stream.py` at this version.

## Configuration
```json
{config}
```

## Cost
{cost}

## Curve
`unseen_f1` and `seen_f1` compare occupied sites on validation shapes and on training shapes that were drawn anew: of
the reconstruction (translator, polish), or of one sample given the true frame and atom count, in the canonical pose
(sculptor). A gap between the two would be memorising.

{curve}

## What it cannot do
More than one element, ligands, supports, size distributions, amorphous clusters, particles above {n_max} atoms. Mirror
images share a PDF. How well it does on clusters of known structure is measured by `cbldm evaluate`.
"""


def write_card(
    folder: Path, name: str, config: str, n_atoms: tuple[int, int], curve: Path, seconds: Mapping[str, float]
) -> None:
    """Write CARD.md beside the weights.

    Args:
        folder: Folder of the weights.
        name: Name of the model.
        config: The whole configuration as text.
        n_atoms: Smallest and largest atom count.
        curve: The CSV file of the run.
        seconds: Training time of each stage.
    """
    with curve.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["unseen_f1"]]
    columns = ("stage", "step", "loss", "unseen_f1", "seen_f1")
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(row[column] for column in columns) + " |" for row in rows]
    times = ", ".join(f"{stage} {value / 60:.0f} min" for stage, value in seconds.items())
    machine = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    text = _TEXT.format(
        name=name, config=config, n_atoms=f"{n_atoms[0]} to {n_atoms[1]}", n_max=n_atoms[1],
        cost=f"Wall clock: {times or 'not recorded'} ({machine}).", curve="\n".join(lines),
    )  # fmt: skip
    (folder / "CARD.md").write_text(text, encoding="utf-8")
