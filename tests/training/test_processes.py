"""Training in two processes (gloo) learns what one process learns, and goes on in another number of them."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cbldm.errors import InputError
from cbldm.geometry.frames import FRAMES
from cbldm.models.checkpoint import load_weights
from cbldm.training import TrainingConfig, loop, read_config, train
from cbldm.training.runner import process_layout

STEPS = 6
#: Relative difference of a loss. The same shards are learned from, but their gradients are added in another order, and
#: AdamW divides each by its own size: where a gradient is all rounding, its step may have the other sign. The curve
#: has five digits.
TOLERANCE = 1e-4
SCRIPT = Path(__file__).with_name("tiny_run.py")


@pytest.fixture(scope="module")
def config(
    tiny: TrainingConfig, toml: Callable[[TrainingConfig], str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny run in two shards."""
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(toml(dataclasses.replace(tiny, shards=2)), encoding="utf-8")
    return path


def environment(**changes: object) -> dict[str, str]:
    """That of the tests without what torchrun or a test before set."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
    kept = {k: v for k, v in os.environ.items() if k not in names and not k.startswith("TORCHELASTIC")}
    return kept | {"OMP_NUM_THREADS": "1"} | {name: str(value) for name, value in changes.items()}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run(config: Path, out: Path, *, processes: int, expected: int = 0, **changes: object) -> None:
    """Train in processes that find what torchrun would have told them."""
    shared = {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes,
              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}  # fmt: skip
    command = [sys.executable, SCRIPT, config, out, "--accelerator", "cpu"]
    started = [
        subprocess.Popen(
            command,
            env=environment(**shared, **changes, RANK=rank, LOCAL_RANK=rank),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    errors = [process.communicate(timeout=500)[1] for process in started]
    assert [process.returncode for process in started] == [expected] * processes, errors


def curve(out: Path) -> list[tuple[str, int, float]]:
    """Stage, step and loss of each row."""
    with (out / "curve.csv").open(newline="", encoding="utf-8") as file:
        return [(row["stage"], int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]


def farthest(first: Path, second: Path) -> float:
    """Largest relative difference of the losses of two runs, which have the same rows."""
    a, b = curve(first), curve(second)
    assert [row[:2] for row in a] == [row[:2] for row in b]
    assert len(a) == 2 * STEPS / 2
    return max(abs(x[2] / y[2] - 1) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def alone(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the run of one process, which takes both shards in turn."""
    out = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        # As in the script.
        patch.setattr(loop, "N_VALIDATION", 2)
        patch.setattr(loop, "FRAMES", (FRAMES[0], FRAMES[5]))
        patch.setattr(loop, "write_card", lambda *_: None)
        train(read_config(str(config)), out, accelerator="cpu", quiet=True)
    return out


def test_two_processes_learn_what_one_does(config: Path, alone: Path, tmp_path: Path) -> None:
    run(config, tmp_path, processes=2)
    assert farthest(tmp_path, alone) < TOLERANCE
    parameters = load_weights(tmp_path / "tiny-1")[0].parameters()
    assert all(math.isfinite(float(p.detach().sum())) for p in parameters)


@pytest.mark.slow
def test_other_shards_are_other_data(tiny: TrainingConfig, config: Path, alone: Path, tmp_path: Path) -> None:
    """The tolerance tells runs apart that do not learn from the same clusters."""
    other = tmp_path / "other.toml"
    other.write_text(config.read_text(encoding="utf-8").replace("shards = 2", "shards = 1"), encoding="utf-8")
    run(other, tmp_path / "run", processes=1)
    assert farthest(tmp_path / "run", alone) > 10 * TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_goes_on_in_another_number_of_processes(
    config: Path, alone: Path, tmp_path: Path, before: int, after: int
) -> None:
    run(config, tmp_path, processes=before, expected=3, STOP_BEFORE=5)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-1-translator-000004"]
    run(config, tmp_path, processes=after)
    assert farthest(tmp_path, alone) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("how", ["torchrun", "devices"])
def test_both_ways_to_start_processes(config: Path, alone: Path, tmp_path: Path, how: str) -> None:
    """torchrun starts them, or Fabric does."""
    arguments = [SCRIPT, config, tmp_path, "--accelerator", "cpu"]
    if how == "torchrun":
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    else:
        command = [sys.executable, *arguments, "--devices", "2"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert farthest(tmp_path, alone) < TOLERANCE


def test_what_torchrun_says_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process_layout(None, None) == (1, 1)
    assert process_layout(4, 2) == (4, 2)
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert process_layout(None, None) == (4, 2)
    assert process_layout(4, None) == (4, 2)
    with pytest.raises(InputError, match="torchrun started 4 devices, but 2 are asked for"):
        process_layout(2, None)
    with pytest.raises(InputError, match="torchrun started 2 nodes, but 1 are asked for"):
        process_layout(None, 1)


def test_what_cannot_be_shared_is_refused(tiny: TrainingConfig, config: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 processes cannot share the 1 shards of config tiny-1 evenly"):
        train(tiny, tmp_path, accelerator="cpu", devices=2, quiet=True)
    with pytest.raises(InputError, match="nodes must be at least 1, got 0"):
        train(tiny, tmp_path, accelerator="cpu", nodes=0, quiet=True)
    uneven = tmp_path / "uneven.toml"
    uneven.write_text(config.read_text(encoding="utf-8").replace("shards = 2", "shards = 3"), encoding="utf-8")
    with pytest.raises(InputError, match=r"shards in uneven.toml must divide the batch of 16 into equal parts, got 3"):
        read_config(str(uneven))
