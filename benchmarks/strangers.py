"""PDFs of what the model never saw, from a seed: mixtures, size distributions, compounds, crystals, glasses, bad units.

All are simulated on r = 0 to 30 Å with the settings and noise floors of the evaluation sets, and given to the solver as
if they were of one cluster of one element.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.distance import pdist
from scipy.stats import norm

from cbldm.data.evaluation_sets import BISO, BULK_DNN, DELTA2, QDAMP, QMAX, QMIN, R_END, R_STEP, STRAIN
from cbldm.data.noise import noise_at_floor
from cbldm.physics.crystal import LatticeName, crystal_gr
from cbldm.physics.debye import debye_gr
from cbldm.physics.fast import fast_gr
from cbldm.types import FloatArray, Instrument

#: Noise floors, in turn.
FLOORS = (0.0, 0.05, 0.1)
#: Lattice vectors of the conventional cell are 1; the distance of neighbours in that unit, and the basis.
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
BCC = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
LATTICES = {"fcc": (FCC, math.sqrt(0.5)), "bcc": (BCC, math.sqrt(0.75))}
#: Atoms in a cluster of one phase, and in the median one of a size distribution.
SIZES, MEDIAN_SIZES = (60, 250), (40, 120)
#: Share of the second phase.
SECOND_PHASE = (0.2, 0.5)
#: Relative standard deviation of the radius, and number of quantiles that stand for the distribution.
SPREAD, QUANTILES = 0.3, 15
#: Compounds: structure, atomic numbers, shortest distance in Å, and the element that the user would name.
COMPOUNDS = {
    "CdSe": ("zincblende", 48, 34, 2.62, "Cd"), "CdS": ("zincblende", 48, 16, 2.52, "Cd"),
    "ZnS": ("zincblende", 30, 16, 2.34, "Zn"), "CdTe": ("zincblende", 48, 52, 2.81, "Cd"),
    "ZnSe": ("zincblende", 30, 34, 2.45, "Zn"),
}  # fmt: skip
#: Oxides of the rock salt structure: atomic number of the metal, distance to oxygen in Å.
OXIDES = {"Fe": (26, 2.16), "Co": (27, 2.13), "Ni": (28, 2.09), "Ti": (22, 2.09), "Cd": (48, 2.35)}
#: Metals whose bulk crystal has a lattice that `crystal_gr` knows.
CRYSTALS: dict[str, LatticeName] = {
    "Al": "fcc", "Ni": "fcc", "Cu": "fcc", "Pd": "fcc", "Ag": "fcc", "Pt": "fcc", "Au": "fcc", "V": "bcc", "Cr": "bcc",
    "Fe": "bcc", "Nb": "bcc", "Mo": "bcc", "Ta": "bcc", "W": "bcc", "Co": "hcp", "Ru": "hcp", "Re": "hcp", "Ti": "hcp",
}  # fmt: skip
#: a over the distance of neighbours.
CELL = {"fcc": math.sqrt(2), "bcc": 2 / math.sqrt(3), "hcp": 1.0}


#: Positions (n, 3), and for each which point of the basis, or whether the first element.
Sites = tuple[FloatArray, NDArray[Any]]


@dataclass(frozen=True)
class Stranger:
    """A PDF as a user would hand it over.

    Attributes:
        kind: One of `KINDS`.
        r: (n_r,) in Å.
        g: (n_r,) in Å⁻².
        settings: ``element``, ``qmin``, ``qmax``, ``qdamp`` and ``qbroad`` as stated.
        floor: Rw of the noise in it.
    """

    kind: str
    r: FloatArray
    g: FloatArray
    settings: dict[str, Any]
    floor: float


@dataclass(frozen=True)
class _Measurement:
    """Where and how G(r) is simulated."""

    r: FloatArray
    instrument: Instrument
    uiso: float
    delta2: float

    def of_element(self, positions: FloatArray) -> FloatArray:
        """G(r) of a cluster of one element, positions in Å."""
        curves = fast_gr(
            torch.from_numpy(self.r),
            torch.from_numpy(positions)[None],
            **asdict(self.instrument),
            uiso=self.uiso,
            delta2=self.delta2,
        )
        return np.asarray(curves[0].numpy())

    def of_compound(self, positions: FloatArray, weights: FloatArray) -> FloatArray:
        """G(r) of a cluster whose atoms scatter with these weights."""
        return debye_gr(self.r, positions, self.instrument, self.uiso, delta2=self.delta2, weights=weights)


def sphere(basis: FloatArray, radius: float, rng: np.random.Generator) -> Sites:
    """Lattice points within a radius of a random centre, and which point of the basis each is; cell edge 1."""
    n = math.ceil(radius) + 1
    cells = np.stack(np.meshgrid(*[np.arange(-n, n + 1)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    points = (cells + basis - rng.uniform(size=3)).reshape(-1, 3)
    species = np.tile(np.arange(len(basis)), len(cells))
    inside = np.linalg.norm(points, axis=1) <= radius
    return points[inside], species[inside]


def sphere_of(basis: FloatArray, n_atoms: float, rng: np.random.Generator) -> Sites:
    """The same with about so many atoms."""
    return sphere(basis, (3 * n_atoms / (4 * math.pi * len(basis))) ** (1 / 3), rng)


def compound(structure: str, shortest: float, n_atoms: float, rng: np.random.Generator) -> Sites:
    """A sphere of zinc blende or rock salt in Å, and whether each atom is the first element."""
    shift, unit = (0.25, math.sqrt(3) / 4) if structure == "zincblende" else (0.5, 0.5)
    points, species = sphere_of(np.concatenate([FCC, FCC + shift]), n_atoms, rng)
    return points * shortest / unit, species < len(FCC)


def metal(lattice: str, dnn: float, n_atoms: float, rng: np.random.Generator) -> FloatArray:
    """A sphere of a metal in Å."""
    basis, unit = LATTICES[lattice]
    return sphere_of(basis, n_atoms, rng)[0] * dnn / unit


def two_phases(measure: _Measurement, element: str, rng: np.random.Generator) -> tuple[FloatArray, str]:
    """An fcc metal beside a bcc metal, another fcc metal, or an oxide: 20 to 50 % of the second."""
    dnn = BULK_DNN[element] * rng.uniform(*STRAIN)
    first = measure.of_element(metal("fcc", dnn, rng.uniform(*SIZES), rng))
    choice, size = rng.integers(3), rng.uniform(*SIZES)
    if choice == 2:
        number, shortest = OXIDES[str(rng.choice(list(OXIDES)))]
        points, is_metal = compound("rocksalt", shortest, size, rng)
        second = measure.of_compound(points, np.where(is_metal, float(number), 8.0))
    else:
        others = [d for d in BULK_DNN.values() if abs(d / BULK_DNN[element] - 1) > 0.02]
        second = measure.of_element(metal(("fcc", "bcc")[choice], float(rng.choice(others)), size, rng))
    share = rng.uniform(*SECOND_PHASE)
    return (1 - share) * first + share * second, element


def size_distribution(measure: _Measurement, element: str, rng: np.random.Generator) -> tuple[FloatArray, str]:
    """Spheres of one lattice, log-normal in radius: each particle counts with its number of atoms, as in a sample."""
    lattice = str(rng.choice(list(LATTICES)))
    dnn = BULK_DNN[element] * rng.uniform(*STRAIN)
    median = rng.uniform(*MEDIAN_SIZES)
    sigma = math.sqrt(math.log(1 + SPREAD**2))
    factors = np.exp(sigma * norm.ppf((np.arange(QUANTILES) + 0.5) / QUANTILES))
    clusters = [metal(lattice, dnn, max(5.0, median * factor**3), rng) for factor in factors]
    n_atoms = np.array([len(c) for c in clusters], dtype=float)
    curves = [measure.of_element(c) for c in clusters]
    return np.asarray(n_atoms @ np.stack(curves) / n_atoms.sum()), element


def two_elements(measure: _Measurement, element: str, rng: np.random.Generator) -> tuple[FloatArray, str]:
    """A semiconductor cluster as CdSe, taken for one of its metal."""
    structure, first, second, shortest, stated = COMPOUNDS[str(rng.choice(list(COMPOUNDS)))]
    points, is_first = compound(structure, shortest * rng.uniform(*STRAIN), rng.uniform(*SIZES), rng)
    return measure.of_compound(points, np.where(is_first, float(first), float(second))), stated


def bulk(measure: _Measurement, element: str, rng: np.random.Generator) -> tuple[FloatArray, str]:
    """An infinite crystal."""
    metal_name = str(rng.choice(list(CRYSTALS)))
    lattice = CRYSTALS[metal_name]
    a = CELL[lattice] * BULK_DNN[metal_name] * rng.uniform(0.995, 1.005)
    return crystal_gr(measure.r, lattice, a, measure.instrument, measure.uiso, delta2=measure.delta2), metal_name


def amorphous(measure: _Measurement, element: str, rng: np.random.Generator) -> tuple[FloatArray, str]:
    """Atoms dropped at random into a sphere and quenched in a Lennard-Jones potential."""
    n_atoms = int(rng.integers(*SIZES))
    directions = rng.normal(size=(n_atoms, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radius = 1.15 * (3 * n_atoms / (4 * math.pi * math.sqrt(2))) ** (1 / 3)
    points = quenched(directions * radius * rng.uniform(size=(n_atoms, 1)) ** (1 / 3))
    nearest = np.sort(pdist(points))[: 3 * n_atoms]
    return measure.of_element(points * BULK_DNN[element] * rng.uniform(*STRAIN) / np.median(nearest)), element


def quenched(points: FloatArray) -> FloatArray:
    """The Lennard-Jones minimum downhill from these points: pairs are at rest at distance 1, cores are soft."""
    i, j = np.triu_indices(len(points), 1)

    def energy(flat: FloatArray) -> tuple[float, FloatArray]:
        x = flat.reshape(-1, 3)
        between = x[i] - x[j]
        squared = np.sum(between**2, axis=1)
        soft = np.maximum(squared, 0.5)
        attraction = soft**-3
        slope = -6 * (attraction**2 - attraction) / soft
        gradient = np.zeros_like(x)
        np.add.at(gradient, i, 2 * slope[:, None] * between)
        np.add.at(gradient, j, -2 * slope[:, None] * between)
        return float(np.sum(attraction**2 - 2 * attraction + slope * (squared - soft))), gradient.ravel()

    found = minimize(energy, points.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 600})
    return np.asarray(found.x.reshape(-1, 3))


def one_cluster(measure: _Measurement, element: str, rng: np.random.Generator) -> tuple[FloatArray, str]:
    """A good PDF, before its r is spoilt."""
    lattice = str(rng.choice(list(LATTICES)))
    dnn = BULK_DNN[element] * rng.uniform(*STRAIN)
    return measure.of_element(metal(lattice, dnn, rng.uniform(*SIZES), rng)), element


KINDS: dict[str, Callable[[_Measurement, str, np.random.Generator], tuple[FloatArray, str]]] = {
    "two phases": two_phases,
    "size distribution": size_distribution,
    "two elements": two_elements,
    "bulk crystal": bulk,
    "amorphous": amorphous,
    "r times 10": one_cluster,
    "r times 0.1": one_cluster,
}
#: What r is multiplied by after all.
FACTORS = {"r times 10": 10.0, "r times 0.1": 0.1}


def make_stranger(kind: str, number: int, seed: int) -> Stranger:
    """Make one; the same arguments always give the same PDF.

    Args:
        kind: One of `KINDS`.
        number: Running number within the kind.
        seed: Of the set.
    """
    rng = np.random.default_rng([seed, crc32(kind.encode()), number])
    instrument = Instrument(*(float(rng.uniform(*bounds)) for bounds in (QMIN, QMAX, QDAMP)))
    uiso, delta2 = float(rng.uniform(*BISO)) / (8 * math.pi**2), float(rng.uniform(*DELTA2))
    r = R_STEP * np.arange(round(R_END / R_STEP) + 1)
    element = str(rng.choice(list(BULK_DNN)))
    g, stated = KINDS[kind](_Measurement(r, instrument, uiso, delta2), element, rng)
    floor = FLOORS[number % len(FLOORS)]
    noisy = g + noise_at_floor(r, g, instrument.qmax, floor, rng)
    return Stranger(kind, r * FACTORS.get(kind, 1.0), noisy, {"element": stated, **asdict(instrument)}, floor)
