"""What was counted once is read again exactly, and a file that is missing, damaged or foreign costs only time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cbldm import template_cache
from cbldm.data.clusters import decahedron, icosahedron
from cbldm.library import TemplateLibrary
from cbldm.template_cache import Templates, cache_folder, remembered
from cbldm.types import Cluster


def grown() -> Cluster:
    """An icosahedron that begins with the one before."""
    return Cluster(icosahedron(3).positions, "icosahedron", "mackay", {"form": "complete shells", "shells": 3})


class Maker:
    """Counts how often templates are made."""

    def __init__(self) -> None:
        inner = Cluster(grown().positions[:13], "icosahedron", "mackay", {"shells": 2})
        self.library = TemplateLibrary([decahedron(2, 2, 0), inner, grown(), decahedron(3, 1, 0)])
        self.calls = 0

    def __call__(self) -> Templates:
        self.calls += 1
        return self.library.clusters, self.library.tables


def assert_same(found: Templates, made: Templates) -> None:
    for one, other in zip(found[0], made[0], strict=True):
        assert (one.motif, one.family, dict(one.parameters)) == (other.motif, other.family, dict(other.parameters))
        np.testing.assert_array_equal(one.positions, other.positions)
    for one, other in zip(found[1], made[1], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_second_time_is_read_and_the_same(tmp_path: Path) -> None:
    make = Maker()
    made = remembered(make, tmp_path)
    found = remembered(make, tmp_path)
    assert make.calls == 1
    assert_same(found, made)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda _: b"", lambda b: b"\xff" * 64 + b[64:]])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage) -> None:
    make = Maker()
    made = remembered(make, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert_same(remembered(make, tmp_path), made)
    assert_same(remembered(make, tmp_path), made)
    assert make.calls == 2


def test_other_code_makes_another_file_and_the_old_one_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    remembered(make, tmp_path)
    (old,) = tmp_path.iterdir()
    monkeypatch.setattr(template_cache, "SOURCES", (*template_cache.SOURCES, "errors.py"))
    remembered(make, tmp_path)
    (new,) = tmp_path.iterdir()
    assert (make.calls, new == old) == (2, False)


def test_without_a_place_to_write_it_works_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    make = Maker()
    for _ in range(2):
        assert_same(remembered(make, blocked / "folder"), (make.library.clusters, make.library.tables))
    assert make.calls == 2
    assert blocked.read_text() == ""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "cbldm"
