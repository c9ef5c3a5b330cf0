"""The sets that results are measured on: made from a seed, and but for one of shapes that no training run ever sees.

``seen`` is that one: textbook shapes of the training split, to see that what was learnt is there. ``textbook`` holds
the test shapes of the seven families. ``offlibrary`` holds equally many of seven kinds of cluster that are in no
enumeration: cuts off the centre, faults, twins, defects, decahedra, icosahedra with an incomplete shell, and surfaces
relaxed by EMT. ``large`` holds the same kinds beyond the sizes that are trained on. ``validation`` is made as
``offlibrary`` is, of the validation split: what is tuned, is tuned there. A case is made from its key alone, so a set
never has to be made as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import islice, product
from typing import Any
from zlib import crc32

import numpy as np
import torch

from cbldm.data.clusters import textbook_clusters
from cbldm.data.cuts import draw
from cbldm.data.disorder import add_atoms, remove_atoms
from cbldm.data.large_clusters import large_cuts
from cbldm.data.noise import noise_at_floor
from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.data.relaxation import BULK_BOND, relax_emt
from cbldm.data.splits import Split, in_split
from cbldm.errors import CbldmError, InputError
from cbldm.geometry.fingerprint import fingerprint, fingerprints, shape_hash
from cbldm.geometry.frames import FRAME_OF_MOTIF
from cbldm.geometry.motif import name_motif
from cbldm.physics.fast import fast_gr
from cbldm.types import MOTIFS, Cluster, FloatArray, Instrument, Pdf

SETS = ("textbook", "offlibrary", "large", "seen", "validation")
#: The sets of textbook shapes, with the split that each is from.
TEXTBOOK_SPLIT: dict[str, Split] = {"textbook": "test", "seen": "train"}
#: The other sets, with theirs.
KINDS_SPLIT: dict[str, Split] = {"offlibrary": "test", "large": "test", "validation": "validation"}
#: The kinds of these; those of the textbook sets are the families.
KINDS = ("off-centre", "fault", "twin", "defects", "decahedron", "icosahedron", "relaxed")
#: Cases of each kind.
CASES_PER_KIND = {"offlibrary": 45, "large": 8, "validation": 45}
#: Atom counts, and the number of equal strata of them that consecutive cases of a kind go through.
TEXTBOOK_SIZES = (5, 256)
SIZES = {"offlibrary": (20, 256), "large": (257, 1000), "validation": (20, 256)}
N_STRATA = {"offlibrary": 5, "large": 4, "validation": 5}
#: Largest cluster that is relaxed by EMT.
MOST_RELAXED = 500
#: Motifs of the cuts off the centre (the lattices that metals have) and of the clusters that EMT relaxes.
OFF_CENTRE = ("fcc", "hcp", "bcc")
RELAXED = ("fcc", "twin", "decahedron", "faulted", "icosahedron", "hcp")
#: Nearest-neighbour distances of bulk metals in Å.
BULK_DNN = {
    "Al": 2.86, "Ti": 2.89, "V": 2.62, "Cr": 2.49, "Fe": 2.49, "Co": 2.50, "Ni": 2.49, "Cu": 2.55, "Zn": 2.66,
    "Zr": 3.18, "Nb": 2.86, "Mo": 2.73, "Ru": 2.65, "Rh": 2.69, "Pd": 2.75, "Ag": 2.89, "Cd": 2.98, "Hf": 3.13,
    "Ta": 2.87, "W": 2.74, "Re": 2.74, "Os": 2.68, "Ir": 2.71, "Pt": 2.77, "Au": 2.88,
}  # fmt: skip
#: Size of the particle's bonds relative to the bulk's, so that no solver can look the size up.
STRAIN = (0.98, 1.01)
#: Settings of the measurement: Å⁻¹ for qmin, qmax and qdamp, Å² for Biso and delta2.
QMIN, QMAX, QDAMP, BISO, DELTA2 = (0.6, 1.4), (19.0, 27.0), (0.01, 0.06), (0.25, 0.9), (0.0, 3.0)
#: The r grid in Å: end and step.
R_END, R_STEP = 30.0, 0.01
#: Largest share of atoms that the kind ``defects`` loses, and that it gains.
MOST_VACANCIES, MOST_ADATOMS = 0.08, 0.05
#: Cuts tried at a time; batches, and clusters of other sources, that are tried for a case.
BATCH, MOST_BATCHES, MOST_TRIES = 64, 200, 400


@dataclass(frozen=True)
class CaseKey:
    """What a case is made from.

    Attributes:
        set_name: One of `SETS`.
        seed: Seed of the set.
        category: One of `KINDS`, or in the textbook sets a family.
        number: Running number within the category.
    """

    set_name: str
    seed: int
    category: str
    number: int

    @property
    def id(self) -> str:
        """For example ``offlibrary-0-twin-003``."""
        return f"{self.set_name}-{self.seed}-{self.category}-{self.number:03d}"

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose, so that none depends on how much another one drew."""
        return np.random.default_rng(
            [self.seed, crc32(f"{self.set_name} {self.category} {purpose}".encode()), self.number]
        )


@dataclass(frozen=True)
class Case:
    """A true structure and the measurement of it.

    Attributes:
        key: What it was made from.
        cluster: The truth, in nearest-neighbour distances; `name_motif` agrees with its motif.
        element: Chemical symbol.
        dnn: Nearest-neighbour distance in Å.
        instrument: Of the measurement.
        uiso: Å².
        delta2: Å².
    """

    key: CaseKey
    cluster: Cluster
    element: str
    dnn: float
    instrument: Instrument
    uiso: float
    delta2: float

    @property
    def positions(self) -> FloatArray:
        """(n_atoms, 3) in Å."""
        return self.dnn * self.cluster.positions

    def describe(self) -> dict[str, Any]:
        """The truth in a few values that JSON keeps exactly."""
        return {
            "n_atoms": self.cluster.n_atoms,
            "motif": self.cluster.motif,
            "fingerprint": fingerprint(self.cluster.positions),
            "element": self.element,
            "dnn": self.dnn,
            **asdict(self.instrument),
            "uiso": self.uiso,
            "delta2": self.delta2,
        }


def case_keys(set_name: str, limit: int | None = None, seed: int = 0) -> list[CaseKey]:
    """The cases of a set in an order whose every beginning is a fair sample.

    The sets of kinds go round them; the textbook sets are shuffled.

    Args:
        set_name: One of `SETS`.
        limit: Only so many, from the beginning.
        seed: Seed of the set.

    Raises:
        InputError: There is no such set, the limit is below 1 or the seed below 0.

    Example:
        >>> [key.id for key in case_keys("offlibrary", 2)]
        ['offlibrary-0-off-centre-000', 'offlibrary-0-fault-000']
    """
    if set_name not in SETS:
        raise InputError(f"there is no evaluation set {set_name!r}; allowed are {', '.join(SETS)}")
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; allowed are 1 and more, or none")
    if seed < 0:
        raise InputError(f"seed is {seed}; allowed are 0 and more")
    if set_name in TEXTBOOK_SPLIT:
        shelf = _textbook_shelf(TEXTBOOK_SPLIT[set_name])
        ordered = [CaseKey(set_name, seed, family, i) for family in sorted(shelf) for i in range(len(shelf[family]))]
        keys = [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]
    else:
        numbers = range(CASES_PER_KIND[set_name])
        keys = [CaseKey(set_name, seed, kind, number) for number, kind in product(numbers, KINDS)]
    return keys[:limit]


def make_case(key: CaseKey) -> Case:
    """Make the case of a key; the same key always gives the same case.

    Random are the element, the strain and the measurement, and but in the textbook sets the shape.

    Raises:
        CbldmError: No cluster that belongs into the set was found within a bounded number of tries.

    Example:
        >>> case = make_case(CaseKey("offlibrary", 0, "defects", 0))
        >>> case.cluster.motif, case.cluster.n_atoms
        ('hcp', 24)
    """
    cluster = _shape(key)
    rng = key.rng("measurement")
    element = cluster.parameters.get("relaxed", str(rng.choice(list(BULK_DNN))))
    return Case(
        key=key,
        cluster=cluster,
        element=element,
        dnn=BULK_DNN[element] * float(rng.uniform(*STRAIN)),
        instrument=Instrument(*(float(rng.uniform(*bounds)) for bounds in (QMIN, QMAX, QDAMP))),
        uiso=float(rng.uniform(*BISO)) / (8 * np.pi**2),
        delta2=float(rng.uniform(*DELTA2)),
    )


def simulate_case(case: Case, floor: float) -> Pdf:
    """G(r) of a case from 0 to 30 Å, with noise that alone makes an Rw of ``floor`` on 1.5 to 30 Å.

    All floors share one noise curve and differ in its strength only.

    Args:
        case: The case.
        floor: From 0 (noise-free) to below 1.

    Returns:
        The PDF, element and instrument given, fit range at its default.

    Raises:
        InputError: The floor is out of range.
    """
    r = R_STEP * np.arange(round(R_END / R_STEP) + 1, dtype=np.float64)
    curves = fast_gr(
        torch.from_numpy(r),
        torch.from_numpy(case.positions)[None],
        **asdict(case.instrument),
        uiso=case.uiso,
        delta2=case.delta2,
    )
    ideal = np.asarray(curves[0].numpy(), dtype=np.float64)
    noise = noise_at_floor(r, ideal, case.instrument.qmax, floor, case.key.rng("noise"))
    return pdf_from_arrays(r, ideal + noise, element=case.element, **asdict(case.instrument))


def _shape(key: CaseKey) -> Cluster:
    if key.set_name in TEXTBOOK_SPLIT:
        return _textbook_shelf(TEXTBOOK_SPLIT[key.set_name])[key.category][key.number]
    rng = key.rng("shape")
    if key.category == "defects":
        clusters = _defective(key, rng)
    elif key.category == "relaxed":
        clusters = _relaxed(key, RELAXED[key.number % len(RELAXED)], rng)
    else:
        motifs = {"off-centre": OFF_CENTRE[key.number % len(OFF_CENTRE)], "fault": "faulted"}
        clusters = _cuts(key, motifs.get(key.category, key.category), rng)
    found = next(clusters, None)
    if found is None:
        raise CbldmError(f"no cluster was found for the case {key.id}; use another seed")
    return found


def _sizes(key: CaseKey) -> tuple[int, int]:
    """Smallest and largest atom count of the stratum that a case is in."""
    lowest, highest = SIZES[key.set_name]
    if key.category == "relaxed":
        highest = min(highest, MOST_RELAXED)
    n_strata = N_STRATA[key.set_name]
    edges = np.linspace(lowest, highest + 1, n_strata + 1).astype(int)
    stratum = key.number % n_strata
    return int(edges[stratum]), int(edges[stratum + 1]) - 1


def _cuts(key: CaseKey, motif: str, rng: np.random.Generator) -> Iterator[Cluster]:
    """Cuts of one motif that belong into the set."""
    sizes = _sizes(key)
    source = large_cuts if key.set_name == "large" else partial(_frame_cuts, KINDS_SPLIT[key.set_name])
    return (cluster for cluster in islice(source(motif, sizes, rng), MOST_TRIES) if _belongs(key, cluster))


def _frame_cuts(split: Split, motif: str, sizes: tuple[int, int], rng: np.random.Generator) -> Iterator[Cluster]:
    """Cuts of one motif out of its frame, of one split."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    for _ in range(MOST_BATCHES):
        cuts = draw(FRAME_OF_MOTIF[motif], BATCH, generator, sizes)
        mine = in_split(fingerprints(cuts.frame, cuts.occupancy), split) & (cuts.motif == MOTIFS.index(motif))
        for occupied in cuts.occupancy[mine].numpy():
            sites = cuts.frame.sites[occupied]
            yield Cluster(sites - sites.mean(axis=0), motif, f"{motif} cut")


def _defective(key: CaseKey, rng: np.random.Generator) -> Iterator[Cluster]:
    """Textbook clusters with surface vacancies and adatoms that belong into the set."""
    lowest, highest = _sizes(key)
    parents = [c for c in textbook_clusters(SIZES[key.set_name][1]) if lowest <= c.n_atoms <= highest]
    for _ in range(MOST_TRIES):
        parent = parents[rng.integers(len(parents))]
        vacancies = 1 + int(rng.integers(max(1, round(MOST_VACANCIES * parent.n_atoms))))
        adatoms = 1 + int(rng.integers(max(1, round(MOST_ADATOMS * parent.n_atoms))))
        try:
            cluster = add_atoms(remove_atoms(parent, vacancies, rng), adatoms, rng)
        except InputError:
            continue  # a flat surface of a simple cubic cluster has no hollow for an adatom
        if _belongs(key, cluster):
            yield cluster


def _relaxed(key: CaseKey, motif: str, rng: np.random.Generator) -> Iterator[Cluster]:
    """Cuts after EMT relaxation; those that turn into another shape of a training split are left out."""
    element = str(rng.choice(list(BULK_BOND)))
    for cluster in _cuts(key, motif, rng):
        try:
            relaxed = relax_emt(cluster, element)
        except CbldmError:
            continue  # a few walk on for ever over a flat energy
        if _belongs(key, relaxed):
            yield relaxed


def _belongs(key: CaseKey, cluster: Cluster) -> bool:
    """Whether a cluster has the size, is in the split of the set and in no textbook, and is what its label says."""
    lowest, highest = _sizes(key)
    if not lowest <= cluster.n_atoms <= highest:
        return False
    shape = shape_hash(cluster.positions)
    textbook = (c for c in textbook_clusters(SIZES[key.set_name][1]) if c.n_atoms == cluster.n_atoms)
    unseen = in_split(shape, KINDS_SPLIT[key.set_name]) and all(
        shape_hash(known.positions) != shape for known in textbook
    )
    return unseen and name_motif(cluster.positions) == cluster.motif


@cache
def _textbook_shelf(split: Split) -> dict[str, list[Cluster]]:
    """The textbook clusters of a split by family, smallest first."""
    shelf: dict[str, list[Cluster]] = {}
    for cluster in textbook_clusters(TEXTBOOK_SIZES[1]):
        if in_split(shape_hash(cluster.positions), split):
            shelf.setdefault(cluster.family, []).append(cluster)
    return shelf
