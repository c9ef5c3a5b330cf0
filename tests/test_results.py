"""A solution on disk: complete, correctly labelled, whole or not there."""

import json
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase import Atoms

from cbldm.data.clusters import octahedron
from cbldm.data.pdf_files import pdf_from_arrays, read_pdf
from cbldm.errors import InputError
from cbldm.results import results, write_solution
from cbldm.types import Candidate, Fit, Solution


@pytest.fixture(scope="module")
def solution():
    r = np.arange(0, 20, 0.02)
    pdf = replace(pdf_from_arrays(r, np.sin(4 * r), element="Au", qmax=22), metadata={"temperature": 300.0})
    inside = (r >= 1.5) & (r <= 20)
    candidates = []
    for rank, scale in ((1, 0.98), (2, 0.9)):
        positions = 2.88 * octahedron(3, 0).positions
        candidates.append(
            Candidate(
                rank=rank, atoms=Atoms(f"Au{len(positions)}", positions=positions), motif="fcc", source="cbldm",
                fit=Fit(r[inside], np.sin(4 * r[inside]), scale * np.sin(4 * r[inside])),
                parameters={"scale": scale, "stretch": 1.0, "uiso": 0.006, "delta2": 1.0, "qdamp": 0.03},
                moved_median=0.01, moved_max=0.02, rmsd_to_rank1=0.0 if rank == 1 else None, weight=0.5, group=rank,
            )
        )  # fmt: skip
    return Solution(pdf, candidates, {"duplicates": 3}, ["a note"], {"name": "m", "sha256": "0"}, 7, "cpu",
                    {"total": 1.0}, {"dnn": 2.88})  # fmt: skip


def test_files_are_there_and_agree(solution, tmp_path):
    out = write_solution(solution, tmp_path / "out")
    written = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(results(solution)))
    for entry, candidate in zip(written["candidates"], solution.candidates, strict=True):
        atoms = ase.io.read(out / entry["file"])
        assert set(atoms.get_chemical_symbols()) == {"Au"}
        np.testing.assert_allclose(atoms.positions, candidate.atoms.positions, atol=1e-6)
        assert ase.io.read((out / entry["file"]).with_suffix(".cif")).get_chemical_formula() == "Au19"
        fit = read_pdf(out / "fits" / f"{entry['rank']:02d}.fgr")
        np.testing.assert_allclose(fit.g, candidate.fit.observed, atol=1e-9)
        assert fit.element == "Au"
    assert (out / "fit.png").stat().st_size > 10_000
    assert (out / "structures.png").stat().st_size > 10_000


def test_schema(solution):
    content = results(solution)
    assert list(content) == [
        "schema_version", "cbldm_version", "input", "model", "seed", "device", "seconds", "estimates", "rejected",
        "warnings", "flags", "ambiguity", "candidates",
    ]  # fmt: skip
    assert content["input"]["qmax"] == {"value": 22.0, "source": "option"}
    assert content["input"]["metadata"] == {"temperature": 300.0}
    assert {"rank", "file", "source", "n_atoms", "motif", "diameter_A", "rw", "scale", "stretch", "uiso_A2",
            "rmsd_to_rank1_A"} <= set(content["candidates"][0])  # fmt: skip
    assert content["candidates"][0]["rw"] == pytest.approx(0.02)
    assert content["ambiguity"] == {
        "equivalents": 1,
        "words": "one structure fits better than all others that were found: an fcc cluster of 19 atoms",
        "motif": {"fcc": 1.0},
        "n_atoms": {"0.5": [19, 19], "0.8": [19, 19], "0.95": [19, 20]},
    }
    assert [entry["group"] for entry in content["candidates"]] == [1, 2]
    assert content["candidates"][0]["rw_left_out"] is None


def test_earlier_result_is_replaced_whole(solution, tmp_path):
    out = write_solution(solution, tmp_path / "out")
    (out / "candidates" / "09.xyz").write_text("left over")
    write_solution(solution, out)
    assert sorted(p.name for p in (out / "candidates").iterdir()) == ["01.cif", "01.xyz", "02.cif", "02.xyz"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_foreign_folder_is_left_alone(solution, tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.docx"):
        write_solution(solution, tmp_path)
    assert (tmp_path / "thesis.docx").read_text() == "years of work"


def test_failure_leaves_nothing_behind(solution, tmp_path, monkeypatch):
    monkeypatch.setattr("cbldm.report.figures.draw_fit", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(InputError, match="cannot be written"):
        write_solution(solution, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
