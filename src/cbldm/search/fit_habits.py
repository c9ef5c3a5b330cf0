"""Fits the tables of `cbldm.search.habit`: ``python -m cbldm.search.fit_habits FILE`` writes them.

Pseudo-likelihood (Besag 1975): each site that could hold an atom, given all others, is a yes or no whose log-odds are
linear in the tables and in the log-odds that the model gave the site. So the tables say what the model does not know,
and the weight of the model's own word comes out beside them. Shapes that planes bound are held at equal energy
whatever their proportions: needles and plates are no odder than balls.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cbldm.data.cuts import draw
from cbldm.data.splits import in_split
from cbldm.data.stream import Stream, textbook_shelf
from cbldm.geometry.fingerprint import fingerprints
from cbldm.geometry.frames import FRAMES, frame
from cbldm.geometry.site_classes import SiteClasses, site_classes
from cbldm.models.cbldm import CbLdm
from cbldm.models.checkpoint import load_weights
from cbldm.search.collective import least_bonds
from cbldm.search.explore import MOST_ODDS
from cbldm.search.polyhedra import polyhedra
from cbldm.types import FloatArray

#: Atom counts of the shapes; clusters with a PDF and a sample of the model; cuts that are tried for the bounded shapes.
N_ATOMS, CLUSTERS, TRIED = (12, 256), 192, 900
#: Weight of the spread of the bounded shapes' energies, and of the squared tables.
EVEN, SMALL = 0.05, 1e-4
SEED = 777


def flips(
    classes: SiteClasses, inside: NDArray[np.bool_], least: int, width: int
) -> tuple[NDArray[np.int64], FloatArray]:
    """Sites that could hold an atom or do, and how the counts of `histogram` differ with and without it.

    Args:
        classes: Bonds and clashes of the frame.
        inside: (n_sites,) True where there is an atom.
        least: Bonds that a free site must have.
        width: Length of each table.

    Returns:
        (n,) sites and (n, 2 width) differences: with the atom less without.
    """
    bonds, clashes = classes.bonds, classes.clashes
    n_bonds, n_clashes = classes.n_bonds(inside), classes.n_clashes(inside)
    sites = np.flatnonzero(inside | (~inside & (n_clashes == 0) & (n_bonds >= least)))
    differences = np.zeros((len(sites), 2 * width))
    for row, site in zip(differences, sites, strict=True):
        own = int(inside[site])
        row[n_bonds[site]] += 1
        row[width + n_bonds[site]] -= 1
        near = np.flatnonzero(bonds[site])
        without = n_bonds[near] - own
        free = ~inside[near] & (n_clashes[near] - clashes[near, site] * own == 0)
        for chosen, table in ((inside[near], 0), (free, width)):
            np.add.at(row, table + without[chosen] + 1, 1)
            np.add.at(row, table + without[chosen], -1)
        rivals = np.flatnonzero(clashes[site])
        blocked = rivals[~inside[rivals] & (n_clashes[rivals] == own)]
        np.add.at(row, width + n_bonds[blocked], -1)
    return sites, differences


def histogram(classes: SiteClasses, inside: NDArray[np.bool_], width: int) -> FloatArray:
    """(2 width,) number of atoms with each number of bonds, and of free sites."""
    n_bonds = classes.n_bonds(inside)
    free = ~inside & (classes.n_clashes(inside) == 0)
    parts = [np.bincount(n_bonds[chosen], minlength=width) for chosen in (inside, free)]
    return np.concatenate(parts).astype(float)


def bounded_shapes(name: str) -> NDArray[np.bool_]:
    """(n, n_sites) training shapes without defects: random cuts that fill their hull, and the textbook's."""
    cuts = draw(name, TRIED, torch.Generator().manual_seed(SEED), N_ATOMS, defects=False)
    found = [cuts.occupancy[in_split(fingerprints(cuts.frame, cuts.occupancy), "train")]]
    shelf = textbook_shelf("train", N_ATOMS, "cpu").get(name)
    if shelf is not None:
        found.append(shelf.occupancy)
    shapes = torch.cat(found).numpy()
    # Shells of icosahedra and stacks of few layers need not fill a hull.
    hull = polyhedra(name)
    filled = [name in ("stack", "icosahedron") or hull.description(np.flatnonzero(shape))[0] == 0 for shape in shapes]
    return np.asarray(shapes[np.array(filled)])


def fit_habit(name: str, model: CbLdm) -> dict[str, Any]:
    """Tables of one frame: ``atom``, ``free`` (width,), ``usual`` (4,), ``trust`` and ``compact``."""
    classes, least = site_classes(name), least_bonds(name)
    width = int(classes.bonds.sum(axis=1).max()) + 2
    batch = Stream(SEED, CLUSTERS, "train", N_ATOMS).batch(0, name)
    differences, present, odds = [], [], []
    for row in range(CLUSTERS):
        inside = batch.occupancy[row].numpy()
        pdf, conditions = batch.pdf[row : row + 1], batch.conditions[row : row + 1]
        drawn = model.draw_in_frame(FRAMES.index(name), pdf, conditions, 1, torch.Generator().manual_seed(row))
        if not drawn:
            continue
        sites, rows = flips(classes, inside, least, width)
        differences.append(rows)
        present.append(inside[sites])
        odds.append(MOST_ODDS * np.tanh(drawn[0].log_odds[sites] / MOST_ODDS))
    shapes = bounded_shapes(name)
    counts = np.stack([histogram(classes, shape, width) for shape in shapes])
    powers = np.cbrt(shapes.sum(axis=1))[:, None] ** np.arange(4)
    # Free sites of too few bonds are where the cluster is not: there are as many as the frame is large.
    used = np.ones(2 * width, dtype=bool)
    used[width : width + least] = False
    fitted, trust = _maximise(
        np.concatenate(differences)[:, used],
        np.concatenate(odds),
        np.concatenate(present),
        counts[:, used] - powers @ np.linalg.lstsq(powers, counts[:, used], rcond=None)[0],
        sum(map(len, present)) / CLUSTERS,
    )
    energies = np.zeros(2 * width)
    energies[used] = fitted
    usual = _median_fit(powers, counts @ energies)
    lists = {"atom": energies[:width], "free": energies[width:], "usual": usual}
    tables = {key: [round(float(v), 3) for v in values] for key, values in lists.items()}
    return tables | {"trust": round(trust, 2), "compact": round(_lacking(classes, batch.occupancy.numpy()), 1)}


def _lacking(classes: SiteClasses, shapes: NDArray[np.bool_]) -> float:
    """Median over clusters (n, n_sites) of the bonds that they lack over N^(2/3)."""
    found = []
    for inside in shapes:
        sites = np.flatnonzero(inside)
        bonds = classes.bonds[np.ix_(sites, sites)].sum()
        found.append(0.5 * (classes.most_bonds * len(sites) - bonds) / len(sites) ** (2 / 3))
    return float(np.median(found))


def _maximise(
    differences: FloatArray, odds: FloatArray, present: NDArray[np.bool_], uneven: FloatArray, per_cluster: float
) -> tuple[FloatArray, float]:
    """Tables and the weight of the log-odds of greatest pseudo-likelihood."""
    x, y = torch.as_tensor(differences), torch.as_tensor(present, dtype=torch.float64)
    o, spread = torch.as_tensor(odds), torch.as_tensor(uneven)
    tables = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    trust = torch.full((1,), 0.5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([tables, trust], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        misfit = torch.nn.functional.binary_cross_entropy_with_logits(trust * o - x @ tables, y)
        total = misfit + SMALL * (tables**2).sum() + EVEN * ((spread @ tables) ** 2).mean() / per_cluster
        total.backward()
        return total

    optimizer.step(loss)
    return tables.detach().numpy(), float(trust.detach())


def _median_fit(x: FloatArray, y: FloatArray) -> FloatArray:
    """Least absolute deviations by reweighting."""
    coefficients = np.linalg.lstsq(x, y, rcond=None)[0]
    for _ in range(30):
        weight = 1 / np.sqrt(np.maximum(abs(y - x @ coefficients), 0.5))
        coefficients = np.linalg.lstsq(x * weight[:, None], y * weight, rcond=None)[0]
    return np.asarray(coefficients)


def main() -> None:
    """Fit the tables of all frames with the shipped weights and write them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("file", type=Path, help="where the tables go (JSON)")
    out: Path = parser.parse_args().file
    model = load_weights()[0]
    tables = {name: fit_habit(name, model) for name in FRAMES}
    out.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
    for name in FRAMES:
        print(f"{name:12} {frame(name).n_sites:5} sites  weight of the model's log-odds {tables[name]['trust']}")


if __name__ == "__main__":
    main()
