"""How good a solver is on structures that nobody has trained on: run, compared with the truth, and summed up.

The solver is passed in, so that the generative model, the library and anything else are judged alike. Every case that
is done is a line of ``cases.jsonl``; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.table import Table

from cbldm.data.evaluation_sets import Case, CaseKey, case_keys, make_case, simulate_case
from cbldm.errors import CbldmError, InputError
from cbldm.geometry.motif import name_motif
from cbldm.metrics import f1, rmsd, rw
from cbldm.refine import fit_range
from cbldm.types import Candidate, FloatArray, Pdf, Solution

#: Told how many runs are done, and of how many.
Progress = Callable[[int, int], None]

#: An atom count this near the true one, as a share of it, is nearly right.
NEARLY = 0.05
#: A structure of the right count is right below this RMSD in Å.
RIGHT_RMSD = 0.1
#: Candidates that "best of" looks at.
BEST_OF = 10
#: Name of the category that holds all cases.
ALL = "all"


@dataclass(frozen=True)
class Comparison:
    """One candidate beside the truth.

    Attributes:
        n_atoms_true: Atoms of the truth.
        n_atoms: Atoms of the candidate.
        motif_true: Motif of the truth.
        motif: Motif of the candidate.
        rmsd: In Å, up to rigid motion, reflection and relabelling; None where the counts differ.
        f1: Share of atoms with a partner within 0.25 nearest-neighbour distances.
        rw: Agreement factor of the candidate's fit.
    """

    n_atoms_true: int
    n_atoms: int
    motif_true: str
    motif: str
    rmsd: float | None
    f1: float
    rw: float

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
        rejected: Samples that the solver did not show, by reason.
        seconds: Wall clock of the solver.
        error: Message of a solver that gave up; empty otherwise.
    """

    case: str
    floor: float
    solver: str
    category: str
    truth: Mapping[str, Any]
    rw_truth: float
    found: Sequence[Comparison]
    rejected: Mapping[str, int]
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Row:
    """What a category scores at one noise floor. Shares are of all runs, so a case without a candidate is a miss.

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
        rmsd_below_01_best: Share with an RMSD below 0.1 Å among the best 10.
        f1_best: Mean of the highest F1 among the best 10.
        rw: Median Rw of rank 1; None where no run has a candidate.
        rw_above_floor: Median of Rw minus ``rw_truth`` of rank 1; None where no run has a candidate.
        rejected: Mean number of rejected samples.
        seconds: Mean wall clock per PDF.
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
    rmsd_below_01_best: float
    f1_best: float
    rw: float | None
    rw_above_floor: float | None
    rejected: float
    seconds: float


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

    def table(self) -> Table:
        """The scores for the terminal; shares in per cent, ``a / b`` is rank 1 / best of 10."""
        table = Table(title=f"{self.set_name} (seed {self.seed}) {self.solver}".rstrip())
        for name in ("floor", "category"):
            table.add_column(name)
        numbers = "PDFs", "N exact", "N ±5 %", "RMSD < 0.1 Å", "F1", "motif", "Rw", "Rw − floor", "rejected", "s / PDF"
        for name in numbers:
            table.add_column(name, justify="right")
        for row in self.rows:
            table.add_row(
                f"{row.floor:g}",
                row.category,
                str(row.n_cases),
                f"{100 * row.count_exact:.0f} / {100 * row.count_exact_best:.0f}",
                f"{100 * row.count_within_5:.0f}",
                f"{100 * row.rmsd_below_01:.0f} / {100 * row.rmsd_below_01_best:.0f}",
                f"{row.f1:.3f} / {row.f1_best:.3f}",
                f"{100 * row.motif:.0f}",
                "-" if row.rw is None else f"{row.rw:.3f}",
                "-" if row.rw_above_floor is None else f"{row.rw_above_floor:+.3f}",
                f"{row.rejected:.1f}",
                f"{row.seconds:.1f}",
                end_section=row.category == ALL,
            )
        return table


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
    found = candidate.atoms.get_positions()
    return Comparison(
        n_atoms_true=len(positions_true),
        n_atoms=len(found),
        motif_true=name_motif(positions_true),
        motif=candidate.motif,
        rmsd=rmsd(positions_true, found) if len(found) == len(positions_true) else None,
        f1=f1(positions_true, found),
        rw=candidate.rw,
    )


def evaluate(
    set_name: str,
    *,
    solve: Callable[[Pdf], Solution],
    floors: Sequence[float] = (0.0, 0.1),
    limit: int | None = None,
    seed: int = 0,
    solver: str = "",
    out: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Run a solver on every case of a set at every noise floor.

    Args:
        set_name: One of `cbldm.data.evaluation_sets.SETS`.
        solve: The solver. A `CbldmError` that it raises counts as no candidate; any other error stops the run.
        floors: Noise floors, each from 0 to below 1.
        limit: Only so many cases, from the beginning of the set.
        seed: Seed of the set.
        solver: What to call the solver: its source, weights and options. Results of two solvers never mix in a folder.
        out: Folder for ``cases.jsonl``; runs that it already holds are not repeated.
        progress: Told after every run.

    Returns:
        The report on these cases and floors.

    Raises:
        InputError: An argument is out of range, or the folder holds results of another solver or another state of the
            set.
    """
    if not floors or any(not 0 <= floor < 1 for floor in floors):
        raise InputError(f"floors are {list(floors)}; allowed are one or more, each from 0 to below 1")
    keys = case_keys(set_name, limit, seed)
    path = None if out is None else out / "cases.jsonl"
    done = {} if path is None else _read(path, solver)
    _check_unchanged(keys, done)
    runs = [(key, floor) for key in keys for floor in dict.fromkeys(map(float, floors))]
    n_done = sum((key.id, floor) in done for key, floor in runs)
    tell = progress or (lambda done, total: None)
    tell(n_done, len(runs))
    case: Case | None = None
    for key, floor in runs:
        if (key.id, floor) in done:
            continue
        if case is None or case.key != key:
            case = make_case(key)
        result = _run(case, floor, solve, solver)
        if path is not None:
            _append(path, result)
        done[key.id, floor] = result
        n_done += 1
        tell(n_done, len(runs))
    return Report(set_name, seed, solver, [done[key.id, floor] for key, floor in runs])


def _run(case: Case, floor: float, solve: Callable[[Pdf], Solution], solver: str) -> CaseResult:
    pdf = simulate_case(case, floor)
    observed, ideal = fit_range(pdf)[1], fit_range(simulate_case(case, 0.0))[1]
    begin = time.perf_counter()
    candidates: Sequence[Candidate] = ()
    rejected: Mapping[str, int] = {}
    error = ""
    try:
        solution = solve(pdf)
        candidates, rejected = solution.candidates, solution.rejected
    except CbldmError as problem:
        error = str(problem)
    seconds = time.perf_counter() - begin
    return CaseResult(
        case=case.key.id,
        floor=floor,
        solver=solver,
        category=case.key.category,
        truth=case.describe(),
        rw_truth=rw(observed, ideal),
        found=[compare_to_truth(case.positions, candidate) for candidate in candidates[:BEST_OF]],
        rejected=dict(rejected),
        seconds=seconds,
        error=error,
    )


def _score(category: str, floor: float, results: Sequence[CaseResult]) -> Row:
    first = [result.found[0] for result in results if result.found]
    above = [result.found[0].rw - result.rw_truth for result in results if result.found]

    def share(values: Sequence[float]) -> float:
        return sum(values) / len(results)

    return Row(
        category=category,
        floor=floor,
        n_cases=len(results),
        unsolved=len(results) - len(first),
        count_exact=share([c.count_exact for c in first]),
        count_within_5=share([c.count_within_5 for c in first]),
        rmsd_below_01=share([c.rmsd_below_01 for c in first]),
        f1=share([c.f1 for c in first]),
        motif=share([c.motif == c.motif_true for c in first]),
        count_exact_best=share([any(c.count_exact for c in result.found) for result in results]),
        rmsd_below_01_best=share([any(c.rmsd_below_01 for c in result.found) for result in results]),
        f1_best=share([max((c.f1 for c in result.found), default=0.0) for result in results]),
        rw=median(c.rw for c in first) if first else None,
        rw_above_floor=median(above) if above else None,
        rejected=share([sum(result.rejected.values()) for result in results]),
        seconds=share([result.seconds for result in results]),
    )


def _append(path: Path, result: CaseResult) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result), allow_nan=False) + "\n")


def _read(path: Path, solver: str) -> dict[tuple[str, float], CaseResult]:
    """The runs that a file holds; what a killed run left of a last line is cut off."""
    if not path.is_file():
        return {}
    where, text = repr(str(path)), path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    done = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            fields = json.loads(line)
            result = CaseResult(**{**fields, "found": [Comparison(**found) for found in fields["found"]]})
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{where}, line {number} is no result of an evaluation; use another folder") from error
        if result.solver != solver:
            raise InputError(
                f"{where} holds results of the solver {result.solver!r}, not {solver!r}; use another folder"
            )
        done[result.case, result.floor] = result
    return done


def _check_unchanged(keys: Sequence[CaseKey], done: Mapping[tuple[str, float], CaseResult]) -> None:
    """Make the first finished case of each category again: a changed generator must not mix with older results."""
    names = {result.case for result in done.values()}
    first: dict[str, CaseKey] = {}
    for key in keys:
        if key.id in names:
            first.setdefault(key.category, key)
    for key in first.values():
        truth = make_case(key).describe()
        if any(result.truth != truth for result in done.values() if result.case == key.id):
            raise InputError(f"case {key.id} is no longer what the finished run had; use another folder")
