"""Training: exact resume after a kill at the worst moments, and refusal of what does not belong."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from cbldm import training
from cbldm.errors import InputError
from cbldm.geometry.frames import FRAMES
from cbldm.models.cbldm import ModelConfig, Stage
from cbldm.models.checkpoint import load_weights
from cbldm.training import Average, StageConfig, TrainingConfig, read_config, train

STEPS = 6
#: Frames in which validation and the scale of the latents are measured here.
MEASURED = [0, 5]
CONFIG = TrainingConfig(
    name="tiny-1",
    seed=3,
    model=ModelConfig(
        n_max=30, n_latent=12, n_site=32, n_code=32, vae_width=32, vae_depth=1, encoder_width=32, encoder_depth=1,
        denoiser_width=32, denoiser_depth=1,
    ),
    translator=StageConfig(STEPS, 1e-3, warmup=2, beta=0.1, beta_steps=4),
    polish=StageConfig(STEPS, 5e-4, warmup=2, beta=0.05, beta_steps=1),
    sculptor=StageConfig(STEPS, 1e-3, warmup=2),
    batch=16,
    n_atoms=(5, 30),
    textbook=0.0,
    validate_every=STEPS,
    checkpoint_every=2,
)  # fmt: skip


class KilledError(Exception):
    """Stands in for a kill."""


@pytest.fixture(scope="module", autouse=True)
def _few_validation_shapes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "N_VALIDATION", 2)
        patch.setattr(training, "FRAMES", tuple(FRAMES[k] for k in MEASURED))
        yield


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("unbroken")
    assert train(CONFIG, out, accelerator="cpu", quiet=True) == out / "tiny-1"
    return out


def state(out: Path) -> dict[str, Any]:
    return torch.load(out / "checkpoint.pt", weights_only=True)


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
    rate = training._rate

    def arm(patch: pytest.MonkeyPatch) -> None:
        def killed(now: StageConfig, step: int) -> float:
            if now == settings and step == number:
                raise KilledError
            return rate(now, step)

        patch.setattr(training, "_rate", killed)

    return arm


def kill_before_writing(stage: Stage, number: int) -> Callable[[pytest.MonkeyPatch], None]:
    """The row of the curve is already on disk, the checkpoint is not."""
    write = training._Progress.write

    def arm(patch: pytest.MonkeyPatch) -> None:
        def killed(self: Any, now: Stage, step: int, *rest: Any) -> None:
            if (now, step) == (stage, number):
                raise KilledError
            write(self, now, step, *rest)

        patch.setattr(training._Progress, "write", killed)

    return arm


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folder of a run that was killed again and again, and its checkpoint before the sculptor's first step."""
    out = tmp_path_factory.mktemp("resumed")
    kills = [
        kill_in_step(CONFIG.translator, 5),
        kill_before_writing("polish", STEPS),
        kill_in_step(CONFIG.sculptor, 0),
        kill_before_writing("sculptor", 4),
    ]
    states = []
    for arm in kills:
        with pytest.MonkeyPatch.context() as patch:
            arm(patch)
            with pytest.raises(KilledError):
                train(CONFIG, out, accelerator="cpu", quiet=True)
        states.append(state(out))
        # A file that was being written when the run was killed is not the checkpoint.
        (out / "checkpoint.partial").write_bytes(b"half a file")
    assert [(s["stage"], s["step"]) for s in states] == [
        ("translator", 4),
        ("polish", 4),
        ("polish", 6),
        ("sculptor", 2),
    ]
    train(CONFIG, out, accelerator="cpu", quiet=True)
    return out, states[2]


def test_a_killed_and_resumed_run_ends_where_an_unbroken_one_does(
    unbroken: Path, resumed: tuple[Path, dict[str, Any]]
) -> None:
    broken, whole = state(resumed[0]), state(unbroken)
    for part in ("config", "stage", "step", "finished", "model", "average", "optimizer"):
        assert equal(broken[part], whole[part]), part
    assert rows(resumed[0]) == rows(unbroken)
    name = "tiny-1/model.safetensors"
    assert (resumed[0] / name).read_bytes() == (unbroken / name).read_bytes()


def test_curve_has_a_row_per_checkpoint(unbroken: Path) -> None:
    found = [(row["stage"], int(row["step"])) for row in rows(unbroken)]
    assert found == [(stage, step) for stage in get_args(Stage) for step in range(2, STEPS + 1, 2)]
    last = [row for row in rows(unbroken) if int(row["step"]) == STEPS]
    assert all(0 <= float(row[key]) <= 1 for row in last for key in ("unseen_f1", "seen_f1"))
    assert all(float(row["loss"]) == float(row["loss"]) for row in rows(unbroken))


def test_finished_weights_are_the_averaged_ones(unbroken: Path) -> None:
    model, info = load_weights(unbroken / "tiny-1")
    assert info["name"] == "tiny-1"
    assert model.config == CONFIG.model
    final = state(unbroken)
    assert final["finished"]
    assert (final["stage"], final["step"]) == ("sculptor", STEPS)
    for key, value in model.state_dict().items():
        assert torch.equal(value, final["model"][key].half().float())
    # After the last step the model holds the average, and the average what the optimizer had reached.
    parameters = [p.detach() for p in model.stage_parameters("sculptor")]
    assert any(not torch.equal(p, a.half().float()) for p, a in zip(parameters, final["average"], strict=True))
    assert (unbroken / "tiny-1" / "CARD.md").is_file()


def test_the_translator_is_frozen_while_the_sculptor_learns(resumed: tuple[Path, dict[str, Any]]) -> None:
    before, final = resumed[1]["model"], state(resumed[0])["model"]
    assert all(equal(before[key], final[key]) for key in final if key.startswith("vae."))
    assert any(not equal(before[key], final[key]) for key in final if key.startswith("denoiser."))
    assert (before["latent_std"] == 1).all()
    assert (final["latent_std"][MEASURED] != 1).all()


def test_a_finished_run_is_not_trained_again(unbroken: Path) -> None:
    before, curve = (unbroken / "checkpoint.pt").read_bytes(), rows(unbroken)
    train(CONFIG, unbroken, accelerator="cpu", quiet=True)
    assert (unbroken / "checkpoint.pt").read_bytes() == before
    assert rows(unbroken) == curve


def test_a_foreign_checkpoint_is_refused(unbroken: Path) -> None:
    other = dataclasses.replace(CONFIG, seed=4)
    with pytest.raises(InputError, match="another configuration") as caught:
        train(other, unbroken, accelerator="cpu", quiet=True)
    assert "\n" not in str(caught.value)


def test_average_follows_and_swaps() -> None:
    torch.manual_seed(0)
    model = training.CbLdm(CONFIG.model)
    average = Average(model, "sculptor")
    start = [p.detach().clone() for p in average.parameters]
    for p in average.parameters:
        p.data.add_(1.0)
    average.update()
    # The first decay is (1 + 1) / (10 + 1).
    for shadow, old in zip(average.shadow, start, strict=True):
        torch.testing.assert_close(shadow, old + 9 / 11)
    average.swap()
    for p, old in zip(average.parameters, start, strict=True):
        torch.testing.assert_close(p.detach(), old + 9 / 11)
    average.swap()
    for p, old in zip(average.parameters, start, strict=True):
        torch.testing.assert_close(p.detach(), old + 1)


def test_rate_warms_up_and_falls() -> None:
    settings = StageConfig(100, 1e-3, warmup=10)
    rates = [training._rate(settings, step) for step in range(100)]
    assert max(rates) == pytest.approx(1e-3, rel=0.05)
    assert rates.index(max(rates)) in range(8, 12)
    assert rates[0] == pytest.approx(1e-4, rel=0.01)
    assert rates[-1] == pytest.approx(2e-5, rel=0.05)
    assert all(a > b for a, b in pairwise(rates[12:]))


def test_shipped_configuration_is_complete() -> None:
    config = read_config("cpu-small")
    assert config.name == "cpu-small"
    assert config.n_atoms == (5, 256)
    assert config.model.n_max >= config.n_atoms[1]
    assert config.digest == read_config("cpu-small").digest
    for field in dataclasses.fields(config):
        if field.name in ("seed", "batch", "textbook"):
            changed = dataclasses.replace(config, **{field.name: getattr(config, field.name) + 1})
            assert changed.digest != config.digest


GOOD = """name = "mine"
seed = 5
n_atoms = [5, 40]
[model]
n_latent = 16
[translator]
steps = 10
learning_rate = 1e-3
[polish]
steps = 5
learning_rate = 1e-3
[sculptor]
steps = 10
learning_rate = 1e-3
"""


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    config = read_config(str(path))
    assert (config.name, config.seed, config.n_atoms, config.model.n_latent) == ("mine", 5, (5, 40), 16)
    assert config.sculptor == StageConfig(10, 1e-3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 5", "seed = 5\nsead = 6", "unknown key 'sead' in mine.toml; allowed: .*seed"),
        ("n_latent = 16", "latents = 16", r"unknown key 'latents' in \[model\] of mine.toml; allowed: .*n_latent"),
        ("steps = 5", "step = 5", r"unknown key 'step' in \[polish\]"),
        ("seed = 5\n", "", "mine.toml: .*seed"),
        ("steps = 5\n", "", "mine.toml: .*steps"),
        ("seed = 5", "seed = ", "mine.toml is not valid TOML"),
        ("n_atoms = [5, 40]", "n_atoms = [5]", "mine.toml"),
        ("n_atoms = [5, 40]", "n_atoms = 5", "mine.toml"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_config(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("steps = 5", 'steps = "five"'),
        ("seed = 5", "seed = 1.5"),
        ("n_latent = 16", 'n_latent = "many"'),
        ("seed = 5", 'seed = 5\nprecision = "64-bits"'),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.toml"):
        read_config(str(path))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no training config 'gpu-huge'.*cpu-small"):
        read_config("gpu-huge")
