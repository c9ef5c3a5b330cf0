"""How good a solver is on structures that nobody has trained on: run, compared with the truth, and summed up.

The solver is passed in, so that the generative model, the library and anything else are judged alike. Every case that
is done is a line of ``cases.jsonl``; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from cbldm.ambiguity import summarise
from cbldm.data.evaluation_sets import Case, CaseKey, case_keys, make_case, simulate_case
from cbldm.errors import CbldmError, InputError
from cbldm.metrics import rw
from cbldm.scores import BEST_OF, N_RAW, CaseResult, Comparison, Overlap, Report, compare_to_truth, overlap
from cbldm.target import fit_range
from cbldm.types import Candidate, FloatArray, Pdf, Solution

#: Told how many runs are done, and of how many.
Progress = Callable[[int, int], None]

#: Noise floors that are reported, as Rw.
FLOORS = (0.0, 0.05, 0.1, 0.2)


def evaluate(
    set_name: str,
    *,
    solve: Callable[[Pdf], Solution],
    floors: Sequence[float] = FLOORS,
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
    raw: Sequence[FloatArray] = ()
    rejected: Mapping[str, int] = {}
    error = ""
    try:
        solution = solve(pdf)
        candidates, raw, rejected = solution.candidates, solution.raw, solution.rejected
    except CbldmError as problem:
        error = str(problem)
    seconds = time.perf_counter() - begin
    said = summarise(candidates) if candidates else None
    return CaseResult(
        case=case.key.id,
        floor=floor,
        solver=solver,
        category=case.key.category,
        truth=case.describe(),
        rw_truth=rw(observed, ideal),
        found=[compare_to_truth(case.positions, candidate) for candidate in candidates[:BEST_OF]],
        raw=[overlap(case.positions, positions) for positions in raw[:N_RAW]],
        rejected=dict(rejected),
        seconds=seconds,
        motif_said={} if said is None else dict(said.motif),
        n_atoms_said=[] if said is None else [(level, *ends) for level, ends in said.n_atoms.items()],
        error=error,
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
            found = [Comparison(**entry) for entry in fields["found"]]
            raw = [Overlap(**entry) for entry in fields["raw"]]
            said = [(level, low, high) for level, low, high in fields["n_atoms_said"]]
            result = CaseResult(**{**fields, "found": found, "raw": raw, "n_atoms_said": said})
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
