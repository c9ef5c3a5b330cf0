"""The picture of calibration has the promised size, and every floor and bin is on it."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from cbldm.errors import InputError
from cbldm.report.calibration_figure import COLOURS, SIZE, draw_calibration

FLOORS = (0.0, 0.05, 0.1, 0.2)


def make_report(floors=FLOORS, bins=((3, 0.4, 0.5), (7, 0.95, 1.0))):
    rows = [
        {
            "category": category,
            "floor": floor,
            "n_cases": 10,
            "motif_bins": [{"n": n, "said": said, "right": right} for n, said, right in bins],
            "motif_error": 0.03 if bins else None,
            "n_atoms_covered": {"0.5": 0.4, "0.8": 0.8, "0.95": 1.0} if bins else {},
        }
        for floor in floors
        for category in ("twin", "all")
    ]
    return {"set": "offlibrary", "seed": 0, "rows": rows}


def n_pixels(path, colour):
    return int(np.sum(np.all(np.abs(imread(path)[..., :3] - to_rgb(colour)) < 0.01, axis=-1)))


def test_every_floor_has_its_colour(tmp_path):
    draw_calibration(make_report(), tmp_path / "all.png")
    draw_calibration(make_report(FLOORS[:1]), tmp_path / "one.png")
    assert imread(tmp_path / "all.png").shape[:2] == SIZE[::-1]
    for colour in COLOURS[: len(FLOORS)]:
        assert n_pixels(tmp_path / "all.png", colour) > 50
    assert n_pixels(tmp_path / "one.png", COLOURS[0]) > 50
    assert n_pixels(tmp_path / "one.png", COLOURS[1]) == 0


def test_runs_without_any_candidate_leave_empty_axes(tmp_path):
    draw_calibration(make_report(bins=()), tmp_path / "empty.png")
    assert imread(tmp_path / "empty.png").shape[:2] == SIZE[::-1]


def test_no_row_is_refused(tmp_path):
    with pytest.raises(InputError, match="got no rows"):
        draw_calibration({**make_report(), "rows": []}, tmp_path / "none.png")
