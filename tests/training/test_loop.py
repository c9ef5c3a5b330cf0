"""Training: exact resume after a kill at the worst moments, pieces, bare machines, and refusal of what is foreign."""

from __future__ import annotations

import csv
import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from cbldm.errors import InputError
from cbldm.geometry.frames import FRAMES
from cbldm.models.cbldm import CbLdm, ModelConfig, Stage
from cbldm.models.checkpoint import load_weights, quantised, restored
from cbldm.training import StageConfig, TrainingConfig, learner, loop, read_config, train
from cbldm.training.checkpoints import read_checkpoint

STEPS = 6
#: Frames in which validation and the scale of the latents are measured here.
MEASURED = [0, 5]
WEIGHTS = "tiny-1/model.safetensors"


class KilledError(Exception):
    """Stands in for a kill."""


@pytest.fixture(scope="module", autouse=True)
def _few_validation_shapes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "N_VALIDATION", 2)
        patch.setattr(loop, "FRAMES", tuple(FRAMES[k] for k in MEASURED))
        yield


@pytest.fixture(scope="module")
def unbroken(tiny: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("unbroken")
    assert train(tiny, out, accelerator="cpu", quiet=True) == out / "tiny-1"
    return out


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "curve.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def equal(first: Any, second: Any) -> bool:
    """Bitwise, through dicts and lists."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)


def kill_in_step(settings: StageConfig, number: int) -> Callable[[pytest.MonkeyPatch], None]:
    rate = learner.rate

    def arm(patch: pytest.MonkeyPatch) -> None:
        def killed(now: StageConfig, step: int, warm_from: int) -> float:
            if now == settings and step == number:
                raise KilledError
            return rate(now, step, warm_from)

        patch.setattr(learner, "rate", killed)

    return arm


def kill_before_writing(stage: Stage, number: int) -> Callable[[pytest.MonkeyPatch], None]:
    """The row of the curve is already on disk, the checkpoint is not."""
    write = loop.write_checkpoint

    def arm(patch: pytest.MonkeyPatch) -> None:
        def killed(out: Path, state: dict[str, Any], kind: Any) -> None:
            if (state["stage"], state["step"]) == (stage, number):
                raise KilledError
            write(out, state, kind)

        patch.setattr(loop, "write_checkpoint", killed)

    return arm


@pytest.fixture(scope="module")
def resumed(tiny: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folder of a run that was killed again and again, and its checkpoint before the sculptor's first step."""
    out = tmp_path_factory.mktemp("resumed")
    kills = [
        kill_in_step(tiny.translator, 5),
        kill_before_writing("translator", STEPS),
        kill_in_step(tiny.sculptor, 0),
        kill_before_writing("sculptor", 4),
    ]
    states = []
    for arm in kills:
        with pytest.MonkeyPatch.context() as patch:
            arm(patch)
            with pytest.raises(KilledError):
                train(tiny, out, accelerator="cpu", quiet=True)
        states.append(read_checkpoint(out))
        # What was being written when the run was killed is not the checkpoint.
        (out / "unfinished").mkdir(exist_ok=True)
        (out / "unfinished" / "part-1-of-2").write_bytes(b"half a file")
    assert [(s["stage"], s["step"]) for s in states] == [
        ("translator", 4),
        ("translator", 4),
        ("translator", 6),
        ("sculptor", 2),
    ]
    train(tiny, out, accelerator="cpu", quiet=True)
    return out, states[2]


def test_a_killed_and_resumed_run_ends_where_an_unbroken_one_does(
    unbroken: Path, resumed: tuple[Path, dict[str, Any]]
) -> None:
    broken, whole = read_checkpoint(resumed[0]), read_checkpoint(unbroken)
    for part in ("config", "stage", "step", "finished", "model", "average", "optimizer"):
        assert equal(broken[part], whole[part]), part
    assert rows(resumed[0]) == rows(unbroken)
    assert (resumed[0] / WEIGHTS).read_bytes() == (unbroken / WEIGHTS).read_bytes()


def test_a_run_in_pieces_ends_where_an_unbroken_one_does(tiny: TrainingConfig, unbroken: Path, tmp_path: Path) -> None:
    assert train(tiny, tmp_path, accelerator="cpu", minutes=0.0, quiet=True) is None
    first = read_checkpoint(tmp_path)
    assert (first["stage"], first["step"], first["finished"]) == ("translator", 1, False)
    assert train(tiny, tmp_path, accelerator="cpu", minutes=60.0, quiet=True) == tmp_path / "tiny-1"
    assert (tmp_path / WEIGHTS).read_bytes() == (unbroken / WEIGHTS).read_bytes()


def test_a_run_in_compact_pieces_ends_near_an_unbroken_one(
    tiny: TrainingConfig, unbroken: Path, tmp_path: Path
) -> None:
    compact = dataclasses.replace(tiny, checkpoint="compact")
    for _ in range(3):
        assert train(compact, tmp_path, accelerator="cpu", minutes=0.0, quiet=True) is None
    assert read_checkpoint(tmp_path).keys() == {"config", "stage", "step", "finished", "seconds", "model"}
    assert train(compact, tmp_path, accelerator="cpu", quiet=True) == tmp_path / "tiny-1"
    found, wanted = (load_weights(out / "tiny-1")[0].state_dict() for out in (tmp_path, unbroken))
    # Twelve steps of at most the rate each part them by no more.
    assert max(float((found[key] - wanted[key]).abs().max()) for key in wanted if "latent" not in key) < 0.02


def test_curve_has_a_row_per_checkpoint(unbroken: Path) -> None:
    found = [(row["stage"], int(row["step"])) for row in rows(unbroken)]
    assert found == [(stage, step) for stage in get_args(Stage) for step in range(2, STEPS + 1, 2)]
    last = [row for row in rows(unbroken) if int(row["step"]) == STEPS]
    assert all(0 <= float(row[key]) <= 1 for row in last for key in ("unseen_f1", "seen_f1"))
    assert all(float(row["loss"]) == float(row["loss"]) for row in rows(unbroken))


def test_finished_weights_are_the_averaged_ones(tiny: TrainingConfig, unbroken: Path) -> None:
    model, info = load_weights(unbroken / "tiny-1")
    assert info["name"] == "tiny-1"
    assert model.config == tiny.model
    final = read_checkpoint(unbroken)
    assert final["finished"]
    assert (final["stage"], final["step"]) == ("sculptor", STEPS)
    assert equal(dict(model.state_dict()), restored(quantised(final["model"])))
    # After the last step the model holds the average, and the average what the optimizer had reached.
    averaged = CbLdm(tiny.model)
    averaged.load_state_dict(final["model"])
    pairs = list(zip(averaged.stage_parameters("sculptor"), final["average"], strict=True))
    assert all(p.shape == reached.shape for p, reached in pairs)
    assert any(not torch.equal(p, reached) for p, reached in pairs)


def test_the_card_shows_the_curve(unbroken: Path) -> None:
    card = (unbroken / "tiny-1" / "CARD.md").read_text(encoding="utf-8")
    assert "](curve.png)" in card
    assert "| sculptor | 6 |" in card
    assert "polish" not in card
    assert 5_000 < (unbroken / "tiny-1" / "curve.png").stat().st_size < 200_000


def test_the_translator_is_frozen_while_the_sculptor_learns(resumed: tuple[Path, dict[str, Any]]) -> None:
    before, final = resumed[1]["model"], read_checkpoint(resumed[0])["model"]
    assert all(equal(before[key], final[key]) for key in final if key.startswith("vae."))
    assert any(not equal(before[key], final[key]) for key in final if key.startswith("denoiser."))
    assert (before["latent_std"] == 1).all()
    assert (final["latent_std"][MEASURED] != 1).all()


def test_a_finished_run_is_not_trained_again(tiny: TrainingConfig, unbroken: Path) -> None:
    before, curve = sorted(unbroken.glob("checkpoint-*/*")), rows(unbroken)
    times = [path.stat().st_mtime_ns for path in before]
    train(tiny, unbroken, accelerator="cpu", quiet=True)
    assert sorted(unbroken.glob("checkpoint-*/*")) == before
    assert [path.stat().st_mtime_ns for path in before] == times
    assert rows(unbroken) == curve


def test_a_foreign_checkpoint_is_refused(tiny: TrainingConfig, unbroken: Path) -> None:
    other = dataclasses.replace(tiny, seed=4)
    with pytest.raises(InputError, match="another configuration") as caught:
        train(other, unbroken, accelerator="cpu", quiet=True)
    assert "\n" not in str(caught.value)


def test_pieces_on_several_devices_are_refused(tiny: TrainingConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs one process, got 2"):
        train(tiny, tmp_path, accelerator="cpu", devices=2, minutes=1.0, quiet=True)


BARE = """
import sys

sys.modules.update(dict.fromkeys({absent!r}))
import torch
from cbldm.training import loop
from cbldm.training.__main__ import main
torch.set_num_threads({threads})
loop.N_VALIDATION, loop.FRAMES = 2, {frames!r}
sys.argv = ["cbldm.training", {config!r}, {out!r}, "--accelerator", "cpu"]
sys.exit(main())
"""
ABSENT = ("ase", "rich", "typer", "lightning_fabric", "matplotlib", "safetensors", "threadpoolctl")


def test_a_bare_machine_trains_the_same_weights(
    tiny: TrainingConfig, toml: Callable[[TrainingConfig], str], unbroken: Path, tmp_path: Path
) -> None:
    """Only numpy, scipy and torch are there; the weights are written where safetensors is, from the checkpoint."""
    path, out = tmp_path / "tiny.toml", tmp_path / "run"
    path.write_text(toml(tiny), encoding="utf-8")
    assert read_config(str(path)) == tiny
    frames = tuple(FRAMES[k] for k in MEASURED)
    script = BARE.format(
        absent=ABSENT, frames=frames, config=str(path), out=str(out), threads=torch.get_num_threads()
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert f"sculptor {STEPS}/{STEPS}, loss" in done.stdout
    assert "no weights yet" in done.stdout
    assert equal(read_checkpoint(out)["model"], read_checkpoint(unbroken)["model"])
    assert train(tiny, out, accelerator="cpu", quiet=True) == out / "tiny-1"
    assert (out / WEIGHTS).read_bytes() == (unbroken / WEIGHTS).read_bytes()


def test_a_bare_machine_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    script = BARE.format(absent=ABSENT, frames=(), config="nothing", out=str(tmp_path), threads=1)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("no training config 'nothing'")
    assert done.stderr.count("\n") == 1


def small_gpu(tiny: TrainingConfig, **changes: Any) -> TrainingConfig:
    """The run of gpu.toml with a small network and few small batches."""
    short = {"translator": tiny.translator, "sculptor": tiny.sculptor, "n_atoms": (5, 30), "model": tiny.model}
    return dataclasses.replace(read_config("gpu"), **(short | {"batch": 48, "group": 16} | changes))


def test_the_run_of_the_gpu_goes_through_on_a_cpu(tiny: TrainingConfig, tmp_path: Path) -> None:
    weights = train(small_gpu(tiny), tmp_path, accelerator="cpu", quiet=True)
    assert weights == tmp_path / "gpu"
    assert all(torch.isfinite(p).all() for p in load_weights(weights)[0].parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_run_of_the_gpu_learns_on_a_gpu(tiny: TrainingConfig, tmp_path: Path) -> None:
    model, stage = ModelConfig(n_max=60), StageConfig(300, 1e-3, warmup=20, beta=0.03)
    config = small_gpu(
        tiny, model=model, translator=stage, sculptor=stage, n_atoms=(5, 60), batch=512, group=256, validate_every=100,
        checkpoint_every=100,
    )  # fmt: skip
    weights = train(config, tmp_path, accelerator="cuda", quiet=True)
    assert weights is not None
    assert all(torch.isfinite(p).all() for p in load_weights(weights)[0].parameters())
    first, *_, last = [float(row["loss"]) for row in rows(tmp_path) if row["stage"] == "translator"]
    assert last < 0.8 * first
