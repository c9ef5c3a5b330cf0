"""The cost model and the simulated cluster behind docs/scaling.md."""

import csv
import random
import sys
from pathlib import Path

import pytest

from cbldm.errors import InputError

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import fit_costs
import simulate_cluster
from simulate_cluster import Death, Job, Task, model, sleep_job


def write(out, rows):
    out.mkdir()
    for name, columns in (("series.csv", ("name", "n_atoms")), ("times.csv", ("name", "search", "rank", "total"))):
        with (out / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    return out


def test_costs_that_grow_with_the_atom_count_are_found_and_add_up(tmp_path):
    rows = [{"name": n, "n_atoms": n, "search": 2 + 0.05 * n, "rank": 0.5, "total": 99} for n in (30, 90, 200)]
    rows += [{"name": "failed", "n_atoms": "", "search": 1e3, "rank": 1e3, "total": 2e3}]
    costs = fit_costs.fit_costs(list(fit_costs.read_times(write(tmp_path / "out", rows))))
    assert list(costs) == ["search", "rank", "total"]
    assert (costs["search"].fixed, costs["search"].each) == pytest.approx((2, 0.05))
    assert (costs["rank"].fixed, costs["rank"].each) == pytest.approx((0.5, 0), abs=1e-9)
    assert costs["total"].at(150) == pytest.approx(costs["search"].at(150) + costs["rank"].at(150))
    assert costs["total"].spread == pytest.approx(0, abs=1e-9)


def test_pdfs_of_one_size_have_a_mean(tmp_path):
    rows = [{"name": k, "n_atoms": 55, "search": seconds, "total": seconds} for k, seconds in enumerate((3, 5))]
    cost = fit_costs.fit_costs(list(fit_costs.read_times(write(tmp_path / "out", rows))))["total"]
    assert (cost.at(55), cost.spread) == pytest.approx((4, 0.25))


def test_a_folder_that_is_no_batch_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"times\.csv and series\.csv"):
        list(fit_costs.read_times(tmp_path))
    with pytest.raises(InputError, match="no PDF"):
        fit_costs.fit_costs([])


def test_list_scheduling_keeps_to_its_bounds():
    seconds = simulate_cluster.draw_seconds(300, random.Random(0), faults=True)
    assert model(seconds, 1) == pytest.approx(sum(seconds))
    for workers in (2, 16, 400):
        least = max(sum(seconds) / workers, max(seconds))
        # Graham 1966: no list schedule is worse than this.
        most = sum(seconds) / workers + (1 - 1 / workers) * max(seconds)
        assert least - 1e-9 <= model(seconds, workers) <= most + 1e-9


def test_a_death_costs_the_work_that_was_begun_and_the_time_away():
    assert model([5.0], 1, [Death(2.0, 0, 3.0)], start=1.0) == pytest.approx(2 + 3 + 1 + 5)
    assert model([3.0, 2.0, 2.0, 1.0], 2, [Death(1.0, 0, 5.0)]) == 7.0
    assert model([3.0, 2.0], 2, [Death(2.5, 1, 5.0)]) == 3.0


def test_a_job_whose_folder_is_there_is_not_solved_again(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMULATED_START", "done")
    (tmp_path / "out").mkdir()
    task = Task(tmp_path / "out", tmp_path / "log", 0.0)
    for _ in range(2):
        assert sleep_job(Job("a", 0.0), task).name == "a"
    assert [line.split()[2] for line in task.log.read_text().splitlines()] == ["begin", "solved", "end", "begin", "end"]
    assert [path.name for path in task.out.iterdir()] == ["a"]
