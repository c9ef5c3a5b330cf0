"""Checkpoints: small files that come back as they were, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cbldm.errors import InputError
from cbldm.models.cbldm import CbLdm
from cbldm.training import checkpoints, read_config
from cbldm.training.checkpoints import PART_BYTES, read_checkpoint, write_checkpoint
from cbldm.training.plain_state import from_bytes, to_bytes


def some_state(step: int = 100, stage: str = "translator") -> dict[str, Any]:
    generator = torch.Generator().manual_seed(step)
    weight, bias = torch.randn(100, 80, generator=generator), torch.randn(100, generator=generator)
    return {
        "config": "abc", "stage": stage, "step": step, "finished": False, "seconds": {stage: 1.5},
        "model": {"weight": weight, "bias": bias},
        "optimizer": {"state": {0: {"exp_avg": weight / 3}}, "param_groups": [{"lr": 1e-3}]},
        "average": [weight / 2, bias / 2],
    }  # fmt: skip


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)


def names(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "PART_BYTES", 30_000)


def test_an_exact_checkpoint_comes_back_whole_from_small_files(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, some_state(), "exact")
    assert equal(read_checkpoint(tmp_path), some_state())
    sizes = [path.stat().st_size for path in tmp_path.rglob("part-*")]
    assert len(sizes) == 4
    assert max(sizes) <= 30_000
    assert names(tmp_path)[0] == "checkpoint-1-translator-000100/part-1-of-4"


def test_a_compact_checkpoint_keeps_the_weights_alone(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, some_state(), "compact")
    found, state = read_checkpoint(tmp_path), some_state()
    assert found.keys() == state.keys() - {"optimizer", "average"}
    assert torch.equal(found["model"]["weight"], state["model"]["weight"].half())
    assert torch.equal(found["model"]["bias"], state["model"]["bias"])


def test_the_last_checkpoint_replaces_the_one_before(tmp_path: Path) -> None:
    for state in (some_state(900), some_state(1000), some_state(20, "sculptor")):
        write_checkpoint(tmp_path, state, "exact")
        assert equal(read_checkpoint(tmp_path), state)
        assert len({name.split("/")[0] for name in names(tmp_path)}) == 1


@pytest.mark.parametrize("broken", ["write_bytes", "rename"])
def test_a_kill_while_writing_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    write_checkpoint(tmp_path, some_state(100), "exact")
    original: Callable[..., Any] = getattr(Path, broken)

    def killed(path: Path, *rest: Any) -> Any:
        if broken == "rename" or path.name.startswith("part-3"):
            raise KeyboardInterrupt
        return original(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Path, broken, killed)
        with pytest.raises(KeyboardInterrupt):
            write_checkpoint(tmp_path, some_state(200), "exact")
    assert equal(read_checkpoint(tmp_path), some_state(100))
    write_checkpoint(tmp_path, some_state(300), "exact")
    assert equal(read_checkpoint(tmp_path), some_state(300))
    assert {name.split("/")[0] for name in names(tmp_path)} == {"checkpoint-1-translator-000300"}


def test_a_kill_before_the_old_one_is_gone_leaves_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path, some_state(100), "exact")
    remove = checkpoints.shutil.rmtree

    def killed(path: Path, **options: bool) -> None:
        if path.name.startswith("checkpoint"):
            raise KeyboardInterrupt
        remove(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            write_checkpoint(tmp_path, some_state(200), "exact")
    assert equal(read_checkpoint(tmp_path), some_state(200))


def test_a_folder_without_a_checkpoint_is_a_beginning(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path) == {}


def empty(folder: Path) -> None:
    for part in folder.iterdir():
        part.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


DAMAGE: dict[str, Callable[[Path], None]] = {
    "no first part": lambda folder: (folder / "part-1-of-4").unlink(),
    "no last part": lambda folder: (folder / "part-4-of-4").unlink(),
    "a part cut short": lambda folder: cut(folder / "part-2-of-4"),
    "the end cut short": lambda folder: cut(folder / "part-4-of-4"),
    "no part": empty,
}


@pytest.mark.parametrize("damage", sorted(DAMAGE))
def test_damage_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    write_checkpoint(tmp_path, some_state(), "exact")
    DAMAGE[damage](tmp_path / "checkpoint-1-translator-000100")
    with pytest.raises(InputError, match="lacks a part or is damaged") as caught:
        read_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    """What `torch.save` writes holds instructions, and is not so much as opened."""
    folder = tmp_path / "checkpoint-1-translator-000100"
    folder.mkdir()
    torch.save(some_state(), folder / "part-1-of-1")
    with pytest.raises(InputError, match="of another version: another layout"):
        read_checkpoint(tmp_path)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255), st.booleans())
@settings(max_examples=200)
def test_a_state_of_which_a_byte_is_missing_or_another_never_loads(place: float, change: int, shorten: bool) -> None:
    whole = to_bytes(some_state())
    index = int(place * len(whole))
    altered = whole[:index] + bytes([whole[index] ^ change]) + whole[index + 1 :]
    with pytest.raises(ValueError, match=r"another layout|altered or cut short"):
        from_bytes(whole[:index] if shorten else altered)


def test_every_kind_of_value_comes_back() -> None:
    state = {
        "none": None, "flag": True, "float": 0.1, "text": "σ\n", "nan": [float("inf")], "pair": (1, (2,)),
        "half": torch.ones(2, 3).half(), "brain": torch.ones(3, dtype=torch.bfloat16), "empty": torch.empty(0, 4),
        "count": torch.tensor(5), "mask": torch.tensor([True, False]), "by number": {3: {4: torch.arange(2)}},
    }  # fmt: skip
    found = from_bytes(to_bytes(state))
    assert equal(found, state)
    assert all(found[key].dtype == state[key].dtype for key in ("half", "brain", "count", "mask"))
    assert found["empty"].shape == (0, 4)
    with pytest.raises(TypeError, match="plain values and tensors, got set"):
        to_bytes({"odd": {1}})


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_compact_checkpoints_of_shipped_configs_are_four_files_of_60_mb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(checkpoints, "PART_BYTES", PART_BYTES)
    state = some_state() | {"model": CbLdm(read_config(name).model).state_dict()}
    write_checkpoint(tmp_path, state, "compact")
    sizes = [path.stat().st_size for path in tmp_path.rglob("part-*")]
    assert len(sizes) <= 4
    assert max(sizes) <= 15e6
    assert sum(sizes) < 60e6
