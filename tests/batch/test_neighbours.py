"""Warm starts: from a finished batch of the same files, from next door alone, and the same each time."""

import json

import pytest
from ase.cluster import Octahedron

from cbldm.batch import work
from cbldm.batch.inputs import Input
from cbldm.batch.neighbours import neighbours, structures
from cbldm.batch.run import Pool, batch
from cbldm.data.structure_files import write_gr, write_xyz
from cbldm.errors import InputError
from cbldm.simulate import simulate_structure

FILES = ("a.gr", "b.gr", "c.gr", "d.gr")


@pytest.fixture
def first(tmp_path):
    """A finished batch of four files, of which the third failed."""
    out = tmp_path / "first"
    for name in "abd":
        (out / name / "candidates").mkdir(parents=True)
        (out / name / "results.json").write_text("{}")
        for rank in (1, 2):
            write_xyz(out / name / "candidates" / f"0{rank}.xyz", Octahedron("Pt", 2 + rank))
    inputs = [{"name": file[0], "file": file, "column": None} for file in FILES]
    (out / "batch.json").write_text(json.dumps({"inputs": inputs, "options": {}}))
    (out / "errors.csv").write_text("file,reason\nc.gr,no PDF\n")
    return out


def test_neighbours_are_those_next_door_that_were_solved(first):
    found = neighbours(first, [Input(file) for file in FILES])
    assert [[folder.name for folder in around] for around in found] == [["b"], ["a"], ["b", "d"], []]
    assert all(folder.is_absolute() for around in found for folder in around)
    assert [len(atoms) for atoms in structures(found[2])] == [19, 44, 19, 44]


def test_other_files_and_a_batch_that_is_not_finished_are_refused(first):
    with pytest.raises(InputError, match="it has nothing of"):
        neighbours(first, [Input("x.gr")])
    (first / "errors.csv").unlink()
    with pytest.raises(InputError, match="no finished batch"):
        neighbours(first, [Input("a.gr")])


def test_results_that_are_gone_are_said(first):
    with pytest.raises(InputError, match="must stay"):
        structures([first / "c"])


def test_every_pdf_is_solved_with_what_its_neighbours_had(first, tmp_path, monkeypatch):
    """And with other starts a batch is not gone on with."""
    monkeypatch.chdir(tmp_path)
    r, g, metadata = simulate_structure(
        Octahedron("Pt", 3), qmin=0.8, qmax=22, qdamp=0.03, qbroad=0, uiso=0.006, delta2=0, rmax=20, rstep=0.02,
        noise_floor=0, seed=0,
    )  # fmt: skip
    for file in FILES:
        write_gr(tmp_path / file, r, g, metadata)
    given = {}

    def solve(pdf, *, starts, **choices):
        given[pdf.file] = [len(atoms) for atoms in starts]
        raise InputError("enough is known")

    monkeypatch.setattr(work, "solve", solve)
    options = {"reading": {"instrument": None}, "choices": {"source": "textbook", "weights": None}}
    batch(FILES, tmp_path / "warm", warm=first, pool=Pool(workers=1), **options)
    assert given == {"a.gr": [19, 44], "b.gr": [19, 44], "c.gr": [19, 44, 19, 44], "d.gr": []}
    with pytest.raises(InputError, match="was begun with warm"):
        batch(FILES, tmp_path / "warm", resume=True, pool=Pool(workers=1), **options)
