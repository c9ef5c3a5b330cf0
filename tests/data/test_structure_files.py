"""What is written reads back the same, and what is no metal cluster is refused."""

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.cluster import Icosahedron
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from cbldm.data.pdf_files import read_pdf
from cbldm.data.structure_files import read_structure, write_cif, write_fgr, write_gr, write_text, write_xyz
from cbldm.errors import InputError
from cbldm.types import Fit

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
NEEDS_DATA = pytest.mark.skipif(not DATA.is_dir(), reason=f"the shared data are not at {DATA}")

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
METADATA = {
    "element": "Au",
    "qmin": 0.1,
    "qmax": 21.998245281,
    "qdamp": 0.031,
    "qbroad": 0.0123,
    "uiso": 0.005,
    "seed": 3,
}


@pytest.fixture
def cluster():
    atoms = Icosahedron("Pt", 3)
    return Atoms(atoms.get_chemical_symbols(), positions=atoms.get_positions())


@given(seed=st.integers(0, 2**32), uncertain=st.booleans())
@QUIET
def test_gr_reads_back_to_the_last_bit(tmp_path, seed, uncertain):
    rng = np.random.default_rng(seed)
    r = np.cumsum(rng.uniform(0.01, 0.2, 200))
    g = rng.normal(size=200) * 10.0 ** rng.integers(-9, 3)
    dg = rng.uniform(1e-6, 1, 200) if uncertain else None
    write_gr(tmp_path / "a.gr", r, g, METADATA, dg=dg)
    pdf = read_pdf(tmp_path / "a.gr")
    np.testing.assert_array_equal(pdf.r, r)
    np.testing.assert_array_equal(pdf.g, g)
    assert (pdf.dg is None) == (dg is None)
    assert dg is None or np.array_equal(pdf.dg, dg)
    assert pdf.dialect == "cbldm"
    for key in ("element", "qmin", "qmax", "qdamp", "qbroad"):
        assert (pdf.settings[key].value, pdf.settings[key].source) == (METADATA[key], "header")


def test_gr_of_a_simulation_keeps_a_qmin_in_the_small_angle_region(tmp_path):
    r = np.arange(0, 20, 0.01)
    write_gr(tmp_path / "a.gr", r, np.sin(8 * r) * np.exp(-r / 5), {"element": "Au", "qmin": 0.0, "qmax": 25})
    pdf = read_pdf(tmp_path / "a.gr")
    assert pdf.instrument.qmin == 0.0
    assert pdf.warnings == ()


def test_fgr_reads_back_as_the_observed_curve(tmp_path):
    r = np.arange(150, 2000) * 0.01
    fit = Fit(r, np.sin(3 * r) / r, 0.9 * np.sin(3 * r + 0.1) / r)
    write_fgr(tmp_path / "a.fgr", fit, METADATA)
    pdf = read_pdf(tmp_path / "a.fgr")
    np.testing.assert_array_equal(pdf.r, r)
    np.testing.assert_allclose(pdf.g, fit.observed, rtol=0, atol=1e-16)
    assert pdf.element == "Au"
    lines = (tmp_path / "a.fgr").read_text().splitlines()
    columns = np.array([line.split() for line in lines[lines.index("#L r(A) Gcalc d_r d_Gr Gdiff") + 1 :]], dtype=float)
    np.testing.assert_array_equal(columns[:, 1], fit.calculated)
    np.testing.assert_array_equal(columns[:, 4], fit.difference)


def test_a_background_is_a_last_column_that_readers_of_fgr_leave_alone(tmp_path):
    r = np.arange(150, 2000) * 0.01
    fit = Fit(r, np.sin(3 * r) / r, 0.9 * np.sin(3 * r + 0.1) / r, 0.1 * np.sin(r))
    write_fgr(tmp_path / "with.fgr", fit, METADATA)
    write_fgr(tmp_path / "without.fgr", replace(fit, background=None), METADATA)
    np.testing.assert_array_equal(read_pdf(tmp_path / "with.fgr").g, read_pdf(tmp_path / "without.fgr").g)
    texts = [(tmp_path / f"{name}.fgr").read_text() for name in ("with", "without")]
    rows, bare = (np.loadtxt(text[text.index("\n#L ") :].splitlines()) for text in texts)
    np.testing.assert_array_equal(rows[:, :5], bare)
    np.testing.assert_array_equal(rows[:, 5], fit.background)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    r = np.arange(0, 20, 0.01)
    for name in ("a.gr", "b.gr"):
        write_gr(tmp_path / name, r, np.sin(r), METADATA)
    assert (tmp_path / "a.gr").read_bytes() == (tmp_path / "b.gr").read_bytes()


def test_metadata_of_two_lines_and_ragged_columns_are_refused(tmp_path):
    r = np.arange(0, 20, 0.01)
    with pytest.raises(InputError, match="one line"):
        write_gr(tmp_path / "a.gr", r, r, {"title": "a\nqmax=3"})
    with pytest.raises(InputError, match="equally long"):
        write_gr(tmp_path / "a.gr", r, r[1:], {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.xyz", "b@1.xyz", "c[1]*.xyz", "d.cif", "-"])
def test_structure_reads_back(tmp_path, cluster, name):
    write = write_cif if name.endswith(".cif") else write_xyz
    write(tmp_path / name, cluster)
    found = read_structure(tmp_path / name)
    assert found.get_chemical_symbols() == ["Pt"] * 55
    assert not found.pbc.any()
    np.testing.assert_allclose(pdist(found.positions), pdist(cluster.positions), atol=1e-6)


def test_xyz_carries_element_positions_and_info(tmp_path, cluster):
    cluster.info.update(rw=0.123, motif="icosahedron", rank=1)
    write_xyz(tmp_path / "a.xyz", cluster)
    found = ase.io.read(tmp_path / "a.xyz")
    assert found.info["rw"] == 0.123
    assert found.info["motif"] == "icosahedron"
    np.testing.assert_allclose(found.positions, cluster.positions, atol=1e-8)
    assert (tmp_path / "a.xyz").read_text().splitlines()[2].split()[0] == "Pt"


def test_cif_holds_every_atom_once_with_vacuum_around(tmp_path, cluster):
    write_cif(tmp_path / "a.cif", cluster)
    found = ase.io.read(tmp_path / "a.cif")
    assert len(found) == 55
    scaled = found.get_scaled_positions(wrap=False)
    edges = found.cell.lengths()
    assert np.all(scaled * edges > 9.9)
    assert np.all((1 - scaled) * edges > 9.9)
    np.testing.assert_allclose(pdist(found.positions), pdist(cluster.positions), atol=1e-6)


def test_a_flat_or_straight_cluster_fits_in_a_cif(tmp_path):
    for positions in ([[0, 0, 0], [0, 0, 2.5]], [[0, 0, 0], [2.5, 0, 0], [0, 2.5, 0]]):
        write_cif(tmp_path / "a.cif", Atoms(["Ni"] * len(positions), positions))
        np.testing.assert_allclose(pdist(read_structure(tmp_path / "a.cif").positions), pdist(positions), atol=1e-6)


def test_files_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(InputError, match=r"cannot be written: No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_refused_with_one_line(tmp_path, cluster):
    with pytest.raises(InputError, match="cannot be written"):
        write_xyz(tmp_path / "none" / "a.xyz", cluster)


def save(folder, atoms, name="a.xyz"):
    ase.io.write(folder / name, atoms)
    return folder / name


def test_several_elements_are_named(tmp_path, cluster):
    cluster.symbols[:10] = "Au"
    cluster.symbols[10:12] = "S"
    with pytest.raises(InputError, match="holds Au, Pt, S; a cluster of one metal"):
        read_structure(save(tmp_path, cluster))


def test_overlapping_atoms_are_named(tmp_path, cluster):
    cluster.positions[7] = cluster.positions[3] + [0.2, 0, 0]
    with pytest.raises(InputError, match=r"atoms (4 and 8|8 and 4) are 0.2 Å apart"):
        read_structure(save(tmp_path, cluster))


def test_positions_that_are_no_numbers_are_named(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("3\nx\nPt 0 0 0\nPt 0 0 nan\nPt 0 0 5\n")
    with pytest.raises(InputError, match="position of atom 2 is not finite"):
        read_structure(path)


@pytest.mark.parametrize("atoms", [bulk("Pt", cubic=True) * (3, 3, 3), bulk("Pt") * (2, 2, 2)])
def test_a_crystal_is_not_a_cluster(tmp_path, atoms):
    with pytest.raises(InputError, match="periodic with"):
        read_structure(save(tmp_path, atoms, "a.cif"))


def test_a_cluster_in_a_slanted_box_is_a_cluster(tmp_path, cluster):
    cluster.set_cell([[40, 0, 0], [15, 40, 0], [10, 12, 40]])
    cluster.center()
    cluster.pbc = True
    np.testing.assert_allclose(
        pdist(read_structure(save(tmp_path, cluster)).positions), pdist(cluster.positions), atol=1e-6
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read as a structure"),
        ("1\n\nPt 0 0 0\n", "holds 1 atoms"),
        ("2\n\nPt 0 0 0\nPt 0 0 3\n2\n\nPt 0 0 0\nPt 0 0 3\n", "holds 2 structures"),
        ("2\n\nPt 0 0 0\n", "cannot be read as a structure"),
        ("2\n\nQq 0 0 0\nQq 0 0 3\n", "cannot be read as a structure"),
        ("2\n\nX 0 0 0\nX 0 0 3\n", "holds X"),
    ],
)
def test_what_is_no_structure_is_refused_with_one_line(tmp_path, text, reason):
    path = tmp_path / "a.xyz"
    path.write_text(text)
    with pytest.raises(InputError, match=reason) as error:
        read_structure(path)
    assert "\n" not in str(error.value)


def test_places_without_a_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="not there"):
        read_structure(tmp_path / "a.xyz")
    with pytest.raises(InputError, match="folder"):
        read_structure(tmp_path)


def cluster_or_line(path):
    try:
        return len(read_structure(path)) > 1
    except InputError as error:
        return "\n" not in str(error)


@given(st.sampled_from([".xyz", ".cif"]), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8))
@QUIET
def test_damaged_files_give_a_cluster_or_one_line(tmp_path, suffix, damage):
    path = tmp_path / f"a{suffix}"
    (write_cif if suffix == ".cif" else write_xyz)(path, Icosahedron("Pt", 2))
    data = bytearray(path.read_bytes())
    for place, byte in damage:
        data[int(place * (len(data) - 1))] = byte
    path.write_bytes(data)
    assert cluster_or_line(path)


@given(
    st.binary(max_size=300) | st.text(alphabet="0123 PtAu.\n_-data loopcellx", max_size=300).map(str.encode),
    st.sampled_from([".xyz", ".cif", ".pdb", ".vasp", ".gen", ".sdf", "", ".gr", ".json", ".traj"]),
)
@QUIET
def test_any_bytes_give_a_cluster_or_one_line(tmp_path, data, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    assert cluster_or_line(path)


@NEEDS_DATA
@pytest.mark.parametrize("path", sorted((DATA / "simulated").glob("*.xyz")), ids=lambda path: path.stem)
def test_true_structures_are_read(path):
    atoms = read_structure(path)
    assert set(atoms.get_chemical_symbols()) == {path.stem.split("_")[-1]}
    assert 50 < len(atoms) < 200
