"""Weights on disk: they come back as they were written, and what is damaged is refused in one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbldm.data.stream import Stream
from cbldm.errors import ModelError
from cbldm.models.cbldm import CbLdm, ModelConfig
from cbldm.models.checkpoint import FORMAT, LARGE, LEAST_SCALE, load_weights, quantised, restored, save_weights

TINY = ModelConfig(
    n_max=40, n_latent=8, n_read=16, n_write=24, n_code=16, vae_width=16, vae_depth=1, prior_width=16, encoder_width=16,
    encoder_depth=1, denoiser_width=16, denoiser_depth=1, tau=7.5, matrix="distance", start="noise",
)  # fmt: skip


@pytest.fixture
def model() -> CbLdm:
    torch.manual_seed(1)
    return CbLdm(TINY)


@pytest.fixture
def folder(model: CbLdm, tmp_path: Path) -> Path:
    save_weights(model, tmp_path / "deep" / "tiny-1", "tiny-1")
    return tmp_path / "deep" / "tiny-1"


def test_weights_come_back_as_they_were_stored(model: CbLdm, folder: Path) -> None:
    loaded, info = load_weights(folder)
    assert loaded.config == TINY
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert info["name"] == "tiny-1"
    assert info["sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    expected = restored(quantised(model.state_dict()))
    assert loaded.state_dict().keys() == expected.keys()
    for key, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[key])


def test_large_matrices_are_off_by_half_a_step_and_the_rest_by_half_precision(model: CbLdm) -> None:
    state = model.state_dict()
    found = restored(quantised(state))
    large = {key for key, value in state.items() if value.dim() == 2 and value.numel() > LARGE}
    assert {"vae.sites_read.0", "vae.sites_write.6", "pdf_encoder.network.enter.weight"} <= large
    for key, value in state.items():
        if key in large:
            step = value.abs().amax(dim=1, keepdim=True) / 127
            # Half precision moves a step by a two-thousandth.
            assert ((found[key] - value).abs() <= 0.5005 * step).all()
        else:
            assert torch.equal(found[key], value.half().float())


@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-5, 5e-3, 1.0, 1e4])
def test_rows_of_any_size_are_off_by_half_a_step(size: float) -> None:
    matrix = size * torch.randn(LARGE, 3, generator=torch.Generator().manual_seed(0))
    found = restored(quantised({"matrix": matrix}))["matrix"]
    step = (matrix.abs().amax(dim=1, keepdim=True) / 127).clamp_min(LEAST_SCALE)
    assert ((found - matrix).abs() <= 0.5005 * step).all()


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> tuple[CbLdm, Path]:
    """A model of the default size, whose last layers are not zero as a new one's are, and its folder."""
    torch.manual_seed(1)
    model = CbLdm(ModelConfig()).eval()
    for layer in (model.denoiser.network.leave, model.vae.shape_of_matrix):
        layer.reset_parameters()
    save_weights(model, tmp_path_factory.mktemp("default"), "default-1")
    return model, tmp_path_factory.getbasetemp() / "default0"


def test_the_default_model_takes_less_than_20_mb(default: tuple[CbLdm, Path]) -> None:
    assert (default[1] / "model.safetensors").stat().st_size < 20e6


@torch.no_grad()
def test_outputs_change_little(default: tuple[CbLdm, Path]) -> None:
    """What each part says changes by a few thousandths of its spread, and hardly a site."""
    exact, loaded = default[0], load_weights(default[1])[0]
    batch = Stream(1, 24, "train", (20, 80), textbook=0.0).batch(0, "fcc")
    frames = torch.full((len(batch.pdf),), batch.frame_index)
    angle = torch.full((len(batch.pdf),), 0.7)

    def outputs(model: CbLdm) -> dict[str, torch.Tensor]:
        posterior = model.posterior(batch)
        decoded = model.vae.decode(batch.frame_index, 3 * exact.posterior(batch).mean)
        code = model.pdf_encoder(batch.pdf, batch.conditions)
        prior = model.latent_prior(code, frames, batch.n_atoms)
        context = model.prior.context(code, frames, batch.n_atoms)
        return {
            "posterior": posterior.mean, "logits": decoded.logits, "fields": decoded.fields, "prior": prior.mean,
            "denoised": model.denoiser(posterior.mean, angle, prior, context).mean,
            "motif": model.heads.motif_logits(code), "count": model.heads.count_logits(code, frames),
        }  # fmt: skip

    wanted, found = outputs(exact), outputs(loaded)
    for name, value in wanted.items():
        assert (found[name] - value).std() < 0.02 * value.std(), name


def test_saving_what_was_loaded_changes_nothing(folder: Path, tmp_path: Path) -> None:
    loaded, info = load_weights(folder)
    save_weights(loaded, tmp_path / "again", "tiny-1")
    assert load_weights(tmp_path / "again")[1] == info


def test_settings_that_came_later_take_their_defaults(model: CbLdm, folder: Path) -> None:
    """Weights of before there was a choice of counting and of the input's unit are what they were."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for key in ("count", "unit"):
        del config["model"][key]
    path.write_text(json.dumps(config), encoding="utf-8")
    assert load_weights(folder)[0].config == TINY
    assert (TINY.count, TINY.unit) == ("explicit", "first_peak")


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


def replace_model(folder: Path, content: object) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | {"model": content}), encoding="utf-8")


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
    "no digest": without("sha256"),
    "another digest": edit(sha256="0" * 64),
    "an older format": edit(format=FORMAT - 1),
    "a format that is none": edit(format="new"),
    "a size beyond memory": edit(model={"n_latent": 10**30}),
    "a model that is a word": lambda folder: replace_model(folder, "word"),
    "nested config": lambda folder: (folder / "config.json").write_text("[" * 100_000, encoding="utf-8"),
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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edit(format=FORMAT + 1), "newer than this version's .*install a newer cbldm"),
        (edit(format=FORMAT - 1), "older than this version's .*train it again"),
        (without("format"), "names no format"),
        (without("sha256"), "no sha256, but the file has"),
        (edit(sha256="0" * 64), "000000000000…, but the file has .*copy both files again"),
    ],
)
def test_another_version_or_another_file_is_said(folder: Path, change: Callable[[Path], None], said: str) -> None:
    change(folder)
    with pytest.raises(ModelError, match=said):
        load_weights(folder)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255), st.booleans())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_weights_of_which_a_byte_is_missing_or_another_never_load(
    folder: Path, place: float, change: int, shorten: bool
) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    index = int(place * len(whole))
    path.write_bytes(whole[:index] if shorten else whole[:index] + bytes([whole[index] ^ change]) + whole[index + 1 :])
    try:
        with pytest.raises(ModelError, match="damaged or was exchanged"):
            load_weights(folder)
    finally:
        path.write_bytes(whole)


def test_missing_folder_is_named_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read the model in nowhere") as caught:
        load_weights(tmp_path / "nowhere")
    assert str(tmp_path) not in str(caught.value)
