"""The picture of an evaluation has the promised size, depends on the report alone and shows every score."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from cbldm.errors import InputError
from cbldm.report.evaluation_figure import CURVES, SIZE, draw_evaluation

KINDS = ("off-centre", "fault", "twin", "defects", "decahedron", "icosahedron", "relaxed")
SCORES = ("count_exact", "count_within_5", "rmsd_below_01", "f1")


def make_report(kinds=KINDS, floors=(0.0, 0.05, 0.1, 0.2), *, raw=0.3, first=0.5, best=0.7):
    rows = [
        {"category": kind, "floor": floor, "n_cases": 5}
        | dict.fromkeys(SCORES, first)
        | {f"{score}_best": best for score in SCORES}
        | {f"raw_{score}": raw for score in SCORES}
        for floor in floors
        for kind in (*kinds, "all")
    ]
    return {"set": "offlibrary", "seed": 0, "solver": "cbldm, seed 0", "rows": rows}


def n_pixels(path: Path, colour: str) -> int:
    """Pixels of exactly this colour."""
    return int(np.sum(np.all(np.abs(imread(path)[..., :3] - to_rgb(colour)) < 0.01, axis=-1)))


@pytest.mark.parametrize("floors", [(0.1,), (0.0, 0.05, 0.1, 0.2)])
@pytest.mark.parametrize("kinds", [KINDS[:1], KINDS])
def test_size_whatever_is_shown(tmp_path, kinds, floors):
    draw_evaluation(make_report(kinds, floors), tmp_path / "report.png")
    assert imread(tmp_path / "report.png").shape[:2] == SIZE[::-1]


def test_same_report_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        draw_evaluation(make_report(), tmp_path / name)
    draw_evaluation(make_report(first=0.6), tmp_path / "c.png")
    first, again, other = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert first == again != other


def test_every_curve_is_drawn_and_raw_samples_only_where_there_are_any(tmp_path):
    draw_evaluation(make_report(), tmp_path / "with.png")
    draw_evaluation(make_report(raw=None), tmp_path / "without.png")
    with_raw, without = (
        [n_pixels(tmp_path / name, curve[2]) for curve in CURVES] for name in ("with.png", "without.png")
    )
    assert min(with_raw) > 500
    assert min(without[:2]) > 500
    assert without[2] < 100, "text and axes have their own grey"


def test_categories_missing_at_one_floor_are_left_out(tmp_path):
    report = make_report()
    report["rows"] = [row for row in report["rows"] if row["category"] != "twin" or row["floor"] == 0.1]
    draw_evaluation(report, tmp_path / "report.png")


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one case"):
        draw_evaluation({**make_report(), "rows": []}, tmp_path / "report.png")
    with pytest.raises(InputError, match="cannot be written"):
        draw_evaluation(make_report(), tmp_path / "missing" / "report.png")
