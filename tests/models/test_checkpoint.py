"""Weights on disk: they come back as they were written, and what is damaged is refused in one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cbldm.errors import ModelError
from cbldm.models.cbldm import CbLdm, ModelConfig
from cbldm.models.checkpoint import FORMAT, load_weights, save_weights

TINY = ModelConfig(
    n_max=40, n_latent=8, n_site=16, n_code=16, vae_width=16, vae_depth=1, encoder_width=16, encoder_depth=1,
    denoiser_width=16, denoiser_depth=1, tau=7.5, matrix="distance", start="noise",
)  # fmt: skip


@pytest.fixture
def model() -> CbLdm:
    torch.manual_seed(1)
    return CbLdm(TINY)


@pytest.fixture
def folder(model: CbLdm, tmp_path: Path) -> Path:
    save_weights(model, tmp_path / "deep" / "tiny-1", "tiny-1")
    return tmp_path / "deep" / "tiny-1"


def test_weights_come_back_in_half_precision(model: CbLdm, folder: Path) -> None:
    loaded, info = load_weights(folder)
    assert loaded.config == TINY
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert info["name"] == "tiny-1"
    assert info["sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    state = model.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    for key, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, state[key].half().float())


def test_saving_what_was_loaded_changes_nothing(folder: Path, tmp_path: Path) -> None:
    loaded, info = load_weights(folder)
    save_weights(loaded, tmp_path / "again", "tiny-1")
    assert load_weights(tmp_path / "again")[1] == info


def test_config_is_readable(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["format"] == FORMAT
    assert config["model"] == TINY.to_dict()


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def scramble_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])


def edit(**changes: object) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["model"] |= changes.pop("model", {})  # type: ignore[arg-type]
        path.write_text(json.dumps(config | changes), encoding="utf-8")

    return apply


def without(key: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        del config[key]
        path.write_text(json.dumps(config), encoding="utf-8")

    return apply


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "no config": lambda folder: (folder / "config.json").unlink(),
    "config not JSON": lambda folder: (folder / "config.json").write_text("{", encoding="utf-8"),
    "another format": edit(format=FORMAT + 1),
    "another width": edit(model={"vae_width": 24}),
    "unknown setting": edit(model={"colour": 3}),
    "no model": without("model"),
}
DAMAGE |= {
    "cut short": cut,
    "scrambled": scramble_header,
    "config not an object": lambda folder: (folder / "config.json").write_text("[]", encoding="utf-8"),
    "no name": without("name"),
}


@pytest.mark.parametrize("damage", sorted(DAMAGE))
def test_damage_is_refused_in_one_line(folder: Path, damage: str) -> None:
    DAMAGE[damage](folder)
    with pytest.raises(ModelError, match=folder.name) as caught:
        load_weights(folder)
    assert "\n" not in str(caught.value)


def test_missing_folder_is_named_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read the model in nowhere") as caught:
        load_weights(tmp_path / "nowhere")
    assert str(tmp_path) not in str(caught.value)
