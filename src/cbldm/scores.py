"""What an evaluation says: each structure beside the truth, and what a category of cases scores at a noise floor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from cbldm.geometry.motif import name_motif
from cbldm.metrics import f1, rmsd
from cbldm.reliability import Bin, calibration_error, reliability
from cbldm.types import Candidate, FloatArray

#: An atom count this near the true one, as a share of it, is nearly right.
NEARLY = 0.05
#: A structure of the right count is right below this RMSD in Å.
RIGHT_RMSD = 0.1
#: Candidates that "best of" looks at, and raw samples that are compared with the truth.
BEST_OF, N_RAW = 10, 3
#: F1 from which a structure stands for the truth.
SAME_F1 = 0.95
#: Name of the category that holds all cases.
ALL = "all"


@dataclass(frozen=True)
class Overlap:
    """One structure beside the truth.

    Attributes:
        n_atoms_true: Atoms of the truth.
        n_atoms: Atoms of the structure.
        rmsd: In Å, up to rigid motion, reflection and relabelling; None where the counts differ.
        f1: Share of atoms with a partner within 0.25 nearest-neighbour distances.
    """

    n_atoms_true: int
    n_atoms: int
    rmsd: float | None
    f1: float

    @property
    def count_exact(self) -> bool:
        """Whether the atom count is right."""
        return self.n_atoms == self.n_atoms_true

    @property
    def count_within_5(self) -> bool:
        """Whether the atom count is right within 5 %."""
        return abs(self.n_atoms - self.n_atoms_true) <= NEARLY * self.n_atoms_true

    @property
    def rmsd_below_01(self) -> bool:
        """Whether the structure is right: the count exact and the RMSD below 0.1 Å."""
        return self.rmsd is not None and self.rmsd < RIGHT_RMSD


@dataclass(frozen=True)
class Comparison(Overlap):
    """One candidate beside the truth.

    Attributes:
        motif_true: Motif of the truth.
        motif: Motif of the candidate.
        rw: Agreement factor of the candidate's fit.
        weight: Posterior probability of the candidate.
        group: Of fits that the data cannot tell apart; 1 holds rank 1.
    """

    motif_true: str
    motif: str
    rw: float
    weight: float
    group: int


def overlap(positions_true: FloatArray, positions: FloatArray) -> Overlap:
    """Lay a structure onto the true one.

    Args:
        positions_true: (n_atoms, 3) in Å.
        positions: (m_atoms, 3) in Å.

    Returns:
        Counts and distances of the two.

    Raises:
        InputError: If one of them is no cluster.

    Example:
        >>> square = np.array([[0.0, 0, 0], [2.5, 0, 0], [2.5, 2.5, 0], [0, 2.5, 0]])
        >>> overlap(square, square[:3])
        Overlap(n_atoms_true=4, n_atoms=3, rmsd=None, f1=0.857...)
    """
    return Overlap(
        n_atoms_true=len(positions_true),
        n_atoms=len(positions),
        rmsd=rmsd(positions_true, positions) if len(positions) == len(positions_true) else None,
        f1=f1(positions_true, positions),
    )


def compare_to_truth(positions_true: FloatArray, candidate: Candidate) -> Comparison:
    """Lay a candidate beside the true structure.

    Args:
        positions_true: (n_atoms, 3) in Å.
        candidate: What the solver found.

    Returns:
        Counts, motifs and distances of the two.

    Raises:
        InputError: If the true positions are no cluster.
    """
    positions_true = np.asarray(positions_true, dtype=np.float64)
    return Comparison(
        **vars(overlap(positions_true, candidate.atoms.get_positions())),
        motif_true=name_motif(positions_true),
        motif=candidate.motif,
        rw=candidate.rw,
        weight=candidate.weight,
        group=candidate.group,
    )


@dataclass(frozen=True)
class CaseResult:
    """One run of the solver.

    Attributes:
        case: Name of the case; with ``floor`` and ``solver`` it names the run.
        floor: Rw of the noise on 1.5 to 30 Å.
        solver: What the solver was called.
        category: Of the case.
        truth: The true structure and measurement in a few values.
        rw_truth: Rw of the noise-free curve over the fitted range: the floor as the fit sees it.
        found: Candidates beside the truth, best first, at most `BEST_OF`.
        raw: Raw samples, before moves and refinement, beside the truth, best fit first, at most `N_RAW`; none where
            nothing was drawn.
        rejected: Samples that the solver did not show, by reason.
        seconds: Wall clock of the solver.
        motif_said: Probability of each motif that the solver stated; none where it found nothing.
        n_atoms_said: Ranges of the atom count that the solver stated: probability, lowest and highest count.
        error: Message of a solver that gave up; empty otherwise.
    """

    case: str
    floor: float
    solver: str
    category: str
    truth: Mapping[str, Any]
    rw_truth: float
    found: Sequence[Comparison]
    raw: Sequence[Overlap]
    rejected: Mapping[str, int]
    seconds: float
    motif_said: Mapping[str, float]
    n_atoms_said: Sequence[tuple[float, int, int]]
    error: str = ""

    @property
    def motif_bet(self) -> tuple[float, bool] | None:
        """Probability of the likeliest motif, and whether it was right; None where nothing was found."""
        if not self.motif_said:
            return None
        name = max(self.motif_said, key=self.motif_said.__getitem__)
        return self.motif_said[name], name == self.truth["motif"]

    @property
    def truth_in_equivalents(self) -> bool:
        """Whether one of the candidates that fit as well as rank 1 stands for the truth."""
        return any(candidate.group == 1 and candidate.f1 >= SAME_F1 for candidate in self.found)


@dataclass(frozen=True)
class Row:
    """What a category scores at one noise floor. Shares are of all runs, so a case without a candidate is a miss.

    The raw sample that is scored is the first one, which fits best of all before any move or refinement.

    Attributes:
        category: The category, or ``all``.
        floor: Rw of the noise.
        n_cases: Number of runs.
        unsolved: Runs without any candidate.
        count_exact: Share of rank 1 with the right atom count.
        count_within_5: Share of rank 1 with an atom count right within 5 %.
        rmsd_below_01: Share of rank 1 with an RMSD below 0.1 Å.
        f1: Mean F1 of rank 1.
        motif: Share of rank 1 with the right motif.
        count_exact_best: Share with the right atom count among the best 10.
        count_within_5_best: Share with an atom count right within 5 % among the best 10.
        rmsd_below_01_best: Share with an RMSD below 0.1 Å among the best 10.
        f1_best: Mean of the highest F1 among the best 10.
        raw_count_exact: Share of raw samples with the right atom count; None, as all of them, where no run has one.
        raw_count_within_5: Share of raw samples with an atom count right within 5 %.
        raw_rmsd_below_01: Share of raw samples with an RMSD below 0.1 Å.
        raw_f1: Mean F1 of the raw samples.
        raw_f1_best: Mean of the highest F1 among the first 3 raw samples.
        rw: Median Rw of rank 1; None where no run has a candidate.
        rw_above_floor: Median of Rw minus ``rw_truth`` of rank 1; None where no run has a candidate.
        rejected: Mean number of rejected samples.
        seconds: Mean wall clock per PDF.
        motif_bins: Stated probabilities of the likeliest motif, and how often it was right.
        motif_error: Expected calibration error of these; None where no run has a candidate.
        n_atoms_covered: Share of runs whose stated range holds the true atom count, for each stated probability.
        n_atoms_width: Median width of the range at each stated probability, as a share of the true count.
        equivalents: Mean number of candidates that fit as well as rank 1, itself included.
        truth_in_equivalents: Share of runs in which one of these stands for the truth (F1 of 0.95 and more).
    """

    category: str
    floor: float
    n_cases: int
    unsolved: int
    count_exact: float
    count_within_5: float
    rmsd_below_01: float
    f1: float
    motif: float
    count_exact_best: float
    count_within_5_best: float
    rmsd_below_01_best: float
    f1_best: float
    raw_count_exact: float | None
    raw_count_within_5: float | None
    raw_rmsd_below_01: float | None
    raw_f1: float | None
    raw_f1_best: float | None
    rw: float | None
    rw_above_floor: float | None
    rejected: float
    seconds: float
    motif_bins: Sequence[Bin]
    motif_error: float | None
    n_atoms_covered: Mapping[float, float]
    n_atoms_width: Mapping[float, float]
    equivalents: float
    truth_in_equivalents: float


@dataclass(frozen=True)
class Report:
    """All runs on one set.

    Attributes:
        set_name: The set.
        seed: Its seed.
        solver: What the solver was called.
        results: Every run, in the order of the set.
    """

    set_name: str
    seed: int
    solver: str
    results: Sequence[CaseResult]

    @property
    def rows(self) -> list[Row]:
        """Scores by noise floor and category, all categories together last."""
        floors = sorted({result.floor for result in self.results})
        categories = [*sorted({result.category for result in self.results}), ALL]
        chosen = [
            (category, floor, [r for r in self.results if r.floor == floor and category in (ALL, r.category)])
            for floor in floors
            for category in categories
        ]
        return [_score(category, floor, results) for category, floor, results in chosen if results]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON takes it."""
        return {
            "set": self.set_name,
            "seed": self.seed,
            "solver": self.solver,
            "rows": [asdict(row) for row in self.rows],
            "cases": [asdict(result) for result in self.results],
        }


def _score(category: str, floor: float, results: Sequence[CaseResult]) -> Row:
    first = [result.found[0] for result in results if result.found]
    above = [result.found[0].rw - result.rw_truth for result in results if result.found]
    raw = [result.raw[0] for result in results if result.raw]
    bets = [result.motif_bet for result in results if result.motif_bet is not None]
    bins = reliability([said for said, _ in bets], [right for _, right in bets])
    stated = sorted({level for result in results for level, _, _ in result.n_atoms_said})

    def share(values: Iterable[float]) -> float:
        return sum(values) / len(results)

    def share_of_raw(values: Iterable[float]) -> float | None:
        return share(values) if raw else None

    return Row(
        category=category,
        floor=floor,
        n_cases=len(results),
        unsolved=len(results) - len(first),
        count_exact=share(c.count_exact for c in first),
        count_within_5=share(c.count_within_5 for c in first),
        rmsd_below_01=share(c.rmsd_below_01 for c in first),
        f1=share(c.f1 for c in first),
        motif=share(c.motif == c.motif_true for c in first),
        count_exact_best=share(any(c.count_exact for c in result.found) for result in results),
        count_within_5_best=share(any(c.count_within_5 for c in result.found) for result in results),
        rmsd_below_01_best=share(any(c.rmsd_below_01 for c in result.found) for result in results),
        f1_best=share(max((c.f1 for c in result.found), default=0.0) for result in results),
        raw_count_exact=share_of_raw(sample.count_exact for sample in raw),
        raw_count_within_5=share_of_raw(sample.count_within_5 for sample in raw),
        raw_rmsd_below_01=share_of_raw(sample.rmsd_below_01 for sample in raw),
        raw_f1=share_of_raw(sample.f1 for sample in raw),
        raw_f1_best=share_of_raw(max((sample.f1 for sample in result.raw), default=0.0) for result in results),
        rw=median(c.rw for c in first) if first else None,
        rw_above_floor=median(above) if above else None,
        rejected=share(sum(result.rejected.values()) for result in results),
        seconds=share(result.seconds for result in results),
        motif_bins=bins,
        motif_error=calibration_error(bins) if bins else None,
        n_atoms_covered={level: share(_inside(result, level) for result in results) for level in stated},
        n_atoms_width={level: median(_widths(results, level)) for level in stated},
        equivalents=share(sum(c.group == 1 for c in result.found) for result in results),
        truth_in_equivalents=share(result.truth_in_equivalents for result in results),
    )


def _inside(result: CaseResult, level: float) -> bool:
    """Whether the range of a level holds the true atom count."""
    n_atoms = result.truth["n_atoms"]
    return any(said == level and low <= n_atoms <= high for said, low, high in result.n_atoms_said)


def _widths(results: Sequence[CaseResult], level: float) -> list[float]:
    """Numbers of atom counts in the ranges of a level, as shares of the true count."""
    return [
        (high - low + 1) / result.truth["n_atoms"]
        for result in results
        for said, low, high in result.n_atoms_said
        if said == level
    ]
