"""The pictures have the promised size, depend on the solution alone, and show what they claim to show."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from ase import Atoms
from ase.cluster import Decahedron, Icosahedron, Octahedron
from matplotlib.image import imread
from scipy.spatial.transform import Rotation

from cbldm.errors import InputError
from cbldm.report.figures import draw_fit, draw_structures
from cbldm.report.spheres import TILT, neighbours, pose, render
from cbldm.types import Candidate, Fit, FloatArray, Pdf, Setting, Solution

RED, BLUE = np.eye(3)[[0, 2]]
GOLD = np.array([0xC0, 0x8A, 0x1E]) / 255


def make_solution(clusters: list[Atoms], file: str = "Pt_sample.gr") -> Solution:
    """A solution whose candidates are these clusters, with made-up curves that get worse with rank."""
    rng = np.random.default_rng(0)
    r = np.arange(1.5, 20.0, 0.01)
    observed = np.exp(-0.1 * r) * np.sin(2.6 * r) + 0.02 * rng.normal(size=len(r))
    candidates = []
    for rank, atoms in enumerate(clusters, 1):
        fit = Fit(r, observed, np.exp(-0.1 * r) * np.sin((2.6 + 0.01 * rank) * r))
        candidates.append(Candidate(rank, atoms, "fcc", "cbldm", fit, {}, 0.02, 0.05, None))
    values = {"element": "Pt", "qmin": 0.8, "qmax": 22.0, "qdamp": 0.03, "qbroad": 0.0, "rmin": 1.5, "rmax": 20.0}
    pdf = Pdf(r, observed, None, {key: Setting(value, "option") for key, value in values.items()}, file)
    return Solution(pdf, candidates, {}, [], {}, 0, "cpu", {}, {})


def fcc_atoms(n_atoms: int) -> Atoms:
    """The atoms of an fcc crystal nearest to the middle of one."""
    atoms = Octahedron("Pt", 9)
    distances = np.linalg.norm(atoms.positions - atoms.positions.mean(axis=0), axis=1)
    return atoms[np.argsort(distances, kind="stable")[:n_atoms]]


def size_of(path: Path) -> tuple[int, int]:
    """Width and height in pixels."""
    height, width = imread(path).shape[:2]
    return width, height


@pytest.fixture(scope="module")
def solution() -> Solution:
    return make_solution([Icosahedron("Pt", 2), Decahedron("Pt", 2, 2, 0), Octahedron("Pt", 3)])


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spheres with rough edges, for tests that look at the layout."""
    monkeypatch.setattr("cbldm.report.spheres.OVERSAMPLING", 1)


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("n_candidates", range(1, 11))
def test_any_number_of_candidates_is_drawn(tmp_path: Path, n_candidates: int) -> None:
    found = make_solution([Icosahedron("Pt", 2)] * n_candidates)
    draw_structures(found, tmp_path / "structures.png")
    width, height = size_of(tmp_path / "structures.png")
    assert width == 2000
    assert 500 < height < 2000


@pytest.mark.parametrize("n_atoms", [5, 256])
def test_smallest_and_largest_clusters_are_drawn(tmp_path: Path, n_atoms: int) -> None:
    found = make_solution([fcc_atoms(n_atoms)])
    draw_fit(found, tmp_path / "fit.png")
    draw_structures(found, tmp_path / "structures.png")
    assert size_of(tmp_path / "fit.png") == (1600, 1000)
    assert size_of(tmp_path / "structures.png")[0] == 2000


@pytest.mark.usefixtures("coarse")
def test_no_more_than_ten_candidates_are_drawn(tmp_path: Path) -> None:
    for n_candidates in (10, 12):
        draw_structures(make_solution([fcc_atoms(5)] * n_candidates), tmp_path / f"{n_candidates}.png")
    assert size_of(tmp_path / "10.png") == size_of(tmp_path / "12.png")


@pytest.mark.parametrize("draw", [draw_fit, draw_structures])
def test_bytes_depend_on_the_solution_alone(tmp_path: Path, solution: Solution, draw) -> None:
    draw(solution, tmp_path / "first.png")
    odd = {"font.size": 30, "savefig.bbox": "tight", "savefig.dpi": 50, "lines.linewidth": 9, "axes.grid": True}
    with mpl.rc_context(odd):
        draw(solution, str(tmp_path / "second.png"))
        assert mpl.rcParams["font.size"] == 30
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.png", "second.png"]


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("draw", [draw_fit, draw_structures])
@pytest.mark.parametrize("file", ["", "$a_{$.gr", "铂\n粒子.gr", "x" * 200 + ".gr"])
def test_any_file_name_is_drawn_without_a_warning(tmp_path: Path, draw, file: str) -> None:
    draw(make_solution([fcc_atoms(5)], file), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.parametrize("draw", [draw_fit, draw_structures])
def test_nothing_to_draw_is_said_and_leaves_the_old_file(tmp_path: Path, draw) -> None:
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match=r"'Pt_sample.gr' without candidates; must have at least one"):
        draw(make_solution([]), path)
    assert path.read_bytes() == b"old"


def test_failed_write_leaves_the_folder_as_it_was(tmp_path: Path, solution: Solution) -> None:
    (tmp_path / "fit.png").mkdir()
    with pytest.raises(InputError, match=r"fit.png' cannot be written"):
        draw_fit(solution, tmp_path / "fit.png")
    assert [path.name for path in tmp_path.iterdir()] == ["fit.png"]


def test_pyplot_is_never_imported(tmp_path: Path, solution: Solution) -> None:
    (tmp_path / "solution.pickle").write_bytes(pickle.dumps(solution))
    script = (
        "import pickle, sys; from pathlib import Path; from cbldm.report.figures import draw_fit, draw_structures\n"
        "folder = Path(sys.argv[1]); solution = pickle.loads((folder / 'solution.pickle').read_bytes())\n"
        "draw_fit(solution, folder / 'fit.png'); draw_structures(solution, folder / 'structures.png')\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script, tmp_path], check=True)


@pytest.mark.parametrize("seed", range(3))
def test_a_decahedron_is_seen_down_its_fivefold_axis_before_the_tilt(seed: int) -> None:
    rotation = Rotation.random(random_state=seed)
    upright = Decahedron("Pt", 3, 2, 0).positions
    turned = rotation.apply(upright) + 0.02 * np.random.default_rng(seed).normal(size=upright.shape)
    axis = rotation_between(turned, pose(turned)) @ rotation.apply([0, 0, 1])
    expected = np.prod(np.cos(np.deg2rad(TILT)))
    assert abs(axis[2]) == pytest.approx(expected, abs=0.02)


def test_a_pose_keeps_the_hand_and_is_centred() -> None:
    atoms = fcc_atoms(57).positions
    rotation = rotation_between(atoms, pose(atoms))
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert pose(atoms).max(axis=0) == pytest.approx(-pose(atoms).min(axis=0))


def rotation_between(before: FloatArray, after: FloatArray) -> FloatArray:
    """The (3, 3) linear map from the centred ``before`` to the centred ``after``."""
    before, after = before - before.mean(axis=0), after - after.mean(axis=0)
    return np.linalg.lstsq(before, after, rcond=None)[0].T


def test_neighbours_are_those_that_nature_fixes() -> None:
    counts = np.sum(neighbours(Icosahedron("Pt", 3).positions), axis=1)
    assert dict(zip(*np.unique(counts, return_counts=True), strict=True)) == {6: 12, 8: 30, 12: 13}


def test_the_sphere_in_front_hides_the_one_behind() -> None:
    for z in (1.0, -1.0):
        picture = render(np.array([[0.0, 0, z], [0, 0, -z]]), 20.0, np.array([RED, BLUE]), (50, 60))
        front, back = (0, 2) if z > 0 else (2, 0)
        assert picture.shape == (50, 60, 3)
        assert picture[25, 30, front] > 100 + picture[25, 30, back]


def test_right_is_right_up_is_up_and_light_comes_from_the_upper_left() -> None:
    picture = render(np.array([[10.0, 10.0, 0.0]]), 5.0, RED[None], (40, 40)).astype(float)
    row, column, _ = np.argwhere(picture < 255).T
    assert (row.mean(), column.mean()) == pytest.approx((9.5, 29.5), abs=0.2)
    assert picture[7, 27, 0] > picture[12, 32, 0]


def test_a_point_between_spheres_is_darker_than_on_a_lone_sphere() -> None:
    centres = np.array([[-10.0, 0, 0], [10, 0, 0]])
    lone = render(centres[:1], 10.0, RED[None], (40, 60))
    pair = render(centres, 10.0, np.array([RED, RED]), (40, 60))
    assert pair[20, 27, 0] < lone[20, 27, 0]
    assert pair[20, 12, 0] == lone[20, 12, 0]


def test_a_background_is_drawn_where_there_is_one(solution, tmp_path):
    best = solution.candidates[0]
    smooth = 0.3 * np.sin(1.2 * best.fit.r)
    with_it = replace(best, fit=replace(best.fit, background=smooth))
    gold = []
    for number, candidate in enumerate((best, with_it)):
        path = tmp_path / f"{number}.png"
        draw_fit(replace(solution, candidates=[candidate]), path)
        gold.append(np.sum(np.abs(imread(path)[..., :3] - GOLD).max(axis=-1) < 0.02))
    assert gold[0] == 0
    assert gold[1] > 1000
