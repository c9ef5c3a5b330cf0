"""Settings of a run: the files that ship are complete, and what is wrong in a file is refused in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cbldm.errors import InputError
from cbldm.models.cbldm import CbLdm
from cbldm.training import StageConfig, read_config


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_shipped_configuration_is_complete(name: str) -> None:
    config = read_config(name)
    assert config.name == name
    assert config.n_atoms == (5, 256)
    assert config.model.n_max >= config.n_atoms[1]
    assert config.digest == read_config(name).digest
    for field in dataclasses.fields(config):
        if field.name in ("seed", "batch", "textbook"):
            changed = dataclasses.replace(config, **{field.name: getattr(config, field.name) + 1})
            assert changed.digest != config.digest


def test_weights_of_the_larger_network_stay_below_the_limit() -> None:
    """25 MB, at a byte per parameter and a little for scales and vectors."""
    assert sum(p.numel() for p in CbLdm(read_config("gpu").model).parameters()) < 23e6


GOOD = """name = "mine"
seed = 5
n_atoms = [5, 40]
[model]
n_latent = 16
[translator]
steps = 10
learning_rate = 1e-3
[sculptor]
steps = 5
learning_rate = 1e-3
"""


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    config = read_config(str(path))
    assert (config.name, config.seed, config.n_atoms, config.model.n_latent) == ("mine", 5, (5, 40), 16)
    assert config.sculptor == StageConfig(5, 1e-3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 5", "seed = 5\nsead = 6", "unknown key 'sead' in mine.toml; allowed: .*seed"),
        ("n_latent = 16", "latents = 16", r"unknown key 'latents' in \[model\] of mine.toml; allowed: .*n_latent"),
        ("steps = 5", "step = 5", r"unknown key 'step' in \[sculptor\]"),
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
        ("seed = 5", 'seed = 5\ncheckpoint = "small"'),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.toml"):
        read_config(str(path))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no training config 'gpu-huge'.*cpu, gpu"):
        read_config("gpu-huge")
