import json
import time
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from ase import Atoms
from rich.console import Console
from typer.testing import CliRunner

from cbldm.cli import app
from cbldm.data.clusters import icosahedron
from cbldm.data.evaluation_sets import KINDS, CaseKey, case_keys, make_case, simulate_case
from cbldm.errors import CbldmError, InputError
from cbldm.evaluation import evaluate
from cbldm.geometry.motif import name_motif
from cbldm.report.evaluation_tables import calibration_table, score_table
from cbldm.scores import compare_to_truth
from cbldm.target import fit_range
from cbldm.types import Candidate, Fit, Solution

FLOORS = (0.0, 0.1)
ALL_FLOORS = (0.0, 0.05, 0.1, 0.2)
LIMIT = len(KINDS) - 1  # all but the relaxed kind, which takes longer


@pytest.fixture(scope="module")
def truths():
    """Case and noise-free G(r) by the digest of each PDF."""
    found = {}
    for key in case_keys("offlibrary", LIMIT):
        case = make_case(key)
        ideal = fit_range(simulate_case(case, 0.0))[1]
        found |= {simulate_case(case, floor).sha256: (case, ideal) for floor in FLOORS}
    return found


class Oracle:
    """A solver that knows the truth, and shows what each of `changes` makes of it, and `raw` as what was drawn."""

    def __init__(self, truths, *changes, raw=()):
        self.truths, self.changes, self.raw, self.calls = truths, changes or (lambda positions: positions,), raw, 0

    def __call__(self, pdf):
        self.calls += 1
        case, ideal = self.truths[pdf.sha256]
        candidates = [
            candidate(change(case.positions), case.element, Fit(*fit_range(pdf), ideal), rank, 1 / len(self.changes))
            for rank, change in enumerate(self.changes, start=1)
        ]
        raw = [change(case.positions) for change in self.raw]
        return Solution(pdf, candidates, {"overlapping atoms": 3}, [], {}, 0, "cpu", {}, {}, raw)


def candidate(positions, element="Pt", fit=None, rank=1, weight=1.0):
    fit = fit or Fit(*np.ones((3, 20)))
    atoms = Atoms(f"{element}{len(positions)}", positions=positions)
    return Candidate(rank, atoms, name_motif(positions), "cbldm", fit, {}, 0.0, 0.0, None, weight)


def moved(positions):
    """Turned, mirrored, shifted and relabelled."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return rng.permutation(positions) @ turn.T + 3.0


def short_of_two(positions):
    return positions[np.argsort(np.linalg.norm(positions - positions.mean(axis=0), axis=1))[:-2]]


def half(positions):
    return positions[np.argsort(positions[:, 0])[: len(positions) // 2]]


def run(solve, floors=FLOORS, limit=LIMIT, **options):
    return evaluate("offlibrary", solve=solve, floors=floors, limit=limit, **options)


def test_the_truth_scores_full_marks(truths):
    report = run(Oracle(truths, moved))
    assert [(row.floor, row.category) for row in report.rows] == [
        (floor, category) for floor in FLOORS for category in (*sorted(set(KINDS) - {"relaxed"}), "all")
    ]
    for row in report.rows:
        assert row.n_cases == (LIMIT if row.category == "all" else 1)
        shares = (row.count_exact, row.count_within_5, row.rmsd_below_01, row.f1, row.motif)
        assert shares == (1, 1, 1, 1, 1)
        assert (row.count_exact_best, row.count_within_5_best, row.rmsd_below_01_best, row.f1_best) == (1, 1, 1, 1)
        assert (row.unsolved, row.rejected) == (0, 3)
        assert row.rw_above_floor == pytest.approx(0, abs=1e-12)
        # The noise has the Rw of its floor on 1.5 to 30 Å, which is what is fitted.
        assert row.rw == pytest.approx(row.floor, rel=0.05)


def test_missing_atoms_cost_the_count_but_little_f1(truths):
    report = run(Oracle(truths, short_of_two, moved))
    row = report.rows[-1]
    assert (row.count_exact, row.rmsd_below_01) == (0, 0)
    assert (row.count_exact_best, row.count_within_5_best, row.rmsd_below_01_best, row.f1_best) == (1, 1, 1, 1)
    assert row.count_within_5 == np.mean([result.found[0].count_within_5 for result in report.results[1::2]])
    assert 0.9 < row.f1 < 1
    for result in report.results:
        first, second = result.found
        assert first.n_atoms == first.n_atoms_true - 2
        assert first.rmsd is None
        assert first.f1 == pytest.approx(2 * first.n_atoms / (2 * first.n_atoms + 2))
        assert first.count_within_5 == (first.n_atoms_true >= 40)
        assert second.rmsd < 1e-6


def test_what_was_stated_is_held_against_the_truth(truths):
    report = run(Oracle(truths, short_of_two, moved))
    row = report.rows[-1]
    assert row.motif_error == pytest.approx(0), "the motif was right, and certain"
    assert [(one.n, one.right) for one in row.motif_bins] == [(LIMIT, 1.0)]
    assert set(row.n_atoms_covered) == set(row.n_atoms_width) == {0.5, 0.8, 0.95}
    assert row.n_atoms_covered[0.95] == 1
    assert row.n_atoms_width[0.5] <= row.n_atoms_width[0.8] <= row.n_atoms_width[0.95] < 1
    assert (row.equivalents, row.truth_in_equivalents) == (2, 1)
    assert run(Oracle(truths, half)).rows[-1].truth_in_equivalents == 0


def test_only_ten_candidates_count(truths):
    report = run(Oracle(truths, *[short_of_two] * 10, moved), limit=1)
    assert all(len(result.found) == 10 for result in report.results)
    assert report.rows[-1].count_exact_best == 0


def test_raw_samples_are_scored_apart_from_what_became_of_them(truths):
    report = run(Oracle(truths, moved, raw=(short_of_two, moved, short_of_two, moved)))
    row = report.rows[-1]
    assert (row.count_exact, row.rmsd_below_01, row.f1) == (1, 1, 1)
    assert (row.raw_count_exact, row.raw_rmsd_below_01, row.raw_f1_best) == (0, 0, 1)
    assert row.raw_count_within_5 == np.mean([result.raw[0].count_within_5 for result in report.results[1::2]])
    assert 0.9 < row.raw_f1 < 1
    assert [len(result.raw) for result in report.results] == [3] * len(report.results)
    first, second, _ = report.results[0].raw
    assert (first.n_atoms, first.rmsd) == (first.n_atoms_true - 2, None)
    assert second.rmsd < 1e-6


def test_a_solver_without_a_network_has_no_raw_scores(truths):
    row = run(Oracle(truths)).rows[-1]
    assert row.f1 == 1
    raw = (row.raw_count_exact, row.raw_count_within_5, row.raw_rmsd_below_01, row.raw_f1, row.raw_f1_best)
    assert raw == (None,) * 5


def test_no_candidate_is_a_miss(truths):
    oracle = Oracle(truths, raw=(moved,))

    def solve(pdf):
        solution = oracle(pdf)
        if oracle.calls == 1:
            raise CbldmError("the solver gave up")
        return replace(solution, candidates=[]) if oracle.calls == 2 else solution

    report = run(solve)
    assert [result.error for result in report.results[:3]] == ["the solver gave up", "", ""]
    assert [row.unsolved for row in report.rows if row.category == "all"] == [1, 1]
    missed = next(row for row in report.rows if row.category == "off-centre")
    assert (missed.count_exact, missed.f1, missed.f1_best, missed.rw, missed.rw_above_floor) == (0, 0, 0, None, None)
    assert report.rows[-1].f1 == pytest.approx((LIMIT - 1) / LIMIT)
    assert [row.raw_f1 for row in report.rows if row.category == "all"] == [pytest.approx((LIMIT - 1) / LIMIT), 1]


def test_other_errors_stop_the_run(truths):
    with pytest.raises(KeyError):
        run(Oracle({}))


def test_a_run_goes_on_where_it_stopped(truths, tmp_path):
    whole, told = Oracle(truths, raw=(short_of_two,)), []
    report = run(whole, out=tmp_path, progress=lambda *count: told.append(count))
    assert told == [(done, 2 * LIMIT) for done in range(2 * LIMIT + 1)]
    lines = (tmp_path / "cases.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == whole.calls == 2 * LIMIT

    (tmp_path / "cases.jsonl").write_text("".join(lines[:5]) + lines[5][:40])  # killed while writing
    rest, told = Oracle(truths, raw=(short_of_two,)), []
    again = run(rest, out=tmp_path, progress=lambda *count: told.append(count))
    assert rest.calls == 2 * LIMIT - 5
    assert (told[0], told[-1]) == ((5, 2 * LIMIT), (2 * LIMIT, 2 * LIMIT))
    assert [result.found for result in again.results] == [result.found for result in report.results]
    assert (tmp_path / "cases.jsonl").read_text().count("\n") == 2 * LIMIT

    finished = Oracle(truths)
    assert run(finished, out=tmp_path).to_dict() == again.to_dict()
    assert finished.calls == 0


def test_results_of_two_solvers_or_sets_do_not_mix(truths, tmp_path):
    run(Oracle(truths), out=tmp_path, solver="library")
    with pytest.raises(InputError, match="holds results of the solver 'library', not 'cbldm'; use another folder"):
        run(Oracle(truths), out=tmp_path, solver="cbldm")
    path = tmp_path / "cases.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["truth"]["dnn"] += 0.1
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match="offlibrary-0-off-centre-000 is no longer what the finished run had"):
        run(Oracle(truths), out=tmp_path, solver="library")
    path.write_text("nonsense\n")
    with pytest.raises(InputError, match="line 1 is no result of an evaluation"):
        run(Oracle(truths), out=tmp_path, solver="library")


def test_report_reads_as_json_and_as_a_table(truths):
    report = run(Oracle(truths, short_of_two, moved, raw=(short_of_two,)), solver="oracle")
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (told["set"], told["seed"], told["solver"]) == ("offlibrary", 0, "oracle")
    assert len(told["cases"]) == 2 * LIMIT
    assert told["rows"][-1]["category"] == "all"
    assert told["cases"][0]["truth"] == make_case(CaseKey("offlibrary", 0, "off-centre", 0)).describe()
    file = StringIO()
    Console(width=160, file=file).print(score_table(told))
    Console(width=120, file=file).print(calibration_table(told))
    text = file.getvalue()
    assert "…" not in text, "the tables fit"
    assert "N in 95 %" in text
    assert "offlibrary (seed 0) oracle" in text
    assert "0 / 100" in text
    assert all(kind in text for kind in set(KINDS) - {"relaxed"})


def test_same_answer_twice(truths):
    first, again = (run(Oracle(truths, moved), floors=(0.1,)).results for _ in range(2))
    assert [replace(result, seconds=0) for result in first] == [replace(result, seconds=0) for result in again]


def test_compare_to_truth_names_both_motifs():
    truth = make_case(CaseKey("offlibrary", 0, "twin", 0)).positions
    other = make_case(CaseKey("offlibrary", 0, "decahedron", 0)).positions
    compared = compare_to_truth(truth, candidate(other))
    assert (compared.motif_true, compared.motif) == ("twin", "decahedron")
    assert (compared.n_atoms_true, compared.n_atoms) == (len(truth), len(other))
    assert 0 < compared.f1 < 1
    rattled = truth + np.random.default_rng(1).normal(0, 0.02, truth.shape)
    assert compare_to_truth(truth, candidate(moved(rattled))).rmsd == pytest.approx(0.02 * 3**0.5, rel=0.2)


@pytest.mark.parametrize("floors", [(), (1.0,), (-0.1,), (float("nan"),)])
def test_floors_are_checked(floors):
    with pytest.raises(InputError, match=r"floors are \[.*\]; allowed are one or more, each from 0 to below 1"):
        evaluate("textbook", solve=lambda pdf: None, floors=floors)


def test_command_writes_report_and_picture_and_goes_on(tmp_path, monkeypatch):
    cases = [make_case(key) for key in case_keys("offlibrary", 2)]
    known = [(case, fit_range(simulate_case(case, 0.0))[1]) for case in cases]
    oracle = Oracle({simulate_case(case, floor).sha256: (case, ideal) for case, ideal in known for floor in ALL_FLOORS})
    monkeypatch.setattr("cbldm.pipeline.solve", lambda pdf, **options: oracle(pdf))
    words = ["evaluate", "offlibrary", "--source", "textbook", "--limit", "2", "--out", str(tmp_path), "--quiet"]
    result = CliRunner().invoke(app, [*words, "--floor", "0", "--floor", "0.1"], catch_exceptions=False)
    assert (result.exit_code, oracle.calls) == (0, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("calibration.png", "cases.jsonl", "report.json", "report.png")
    ]

    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert (result.exit_code, oracle.calls) == (0, 8), "only the two other floors were left"
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [row["floor"] for row in told["rows"] if row["category"] == "all"] == list(ALL_FLOORS)
    assert told["solver"] == "textbook library up to 256 atoms, seed 0"
    assert "offlibrary (seed 0) textbook library up to 256 atoms, seed 0" in result.stdout


def test_large_clusters_are_compared_in_seconds():
    truth = 2.7 * icosahedron(7).positions
    begin = time.process_time()
    compared = compare_to_truth(truth, candidate(moved(truth)))
    assert (compared.n_atoms, compared.f1, compared.rmsd_below_01) == (923, 1, True)
    assert time.process_time() - begin < 20
