"""Weights on disk: safetensors with config.json and CARD.md beside it."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cbldm.errors import ModelError
from cbldm.models.cbldm import CbLdm, ModelConfig

#: Folder of the weights that ship, inside the package.
SHIPPED = "cpu-small-1"
FORMAT = 1


def save_weights(model: CbLdm, folder: Path, name: str) -> None:
    """Write ``model.safetensors`` in half precision and ``config.json``.

    Args:
        model: The model.
        folder: Created where it is missing.
        name: Name and version, as shown in results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        key: value.detach().cpu().to(torch.float16 if value.is_floating_point() else value.dtype).contiguous()
        for key, value in model.state_dict().items()
    }
    save_file(tensors, folder / "model.safetensors")
    # The library writes for the owner alone; weights are for everyone who may read the folder.
    (folder / "model.safetensors").chmod(0o644)
    config = {"format": FORMAT, "name": name, "model": model.config.to_dict()}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def shipped_weights() -> Path:
    """Folder of the weights inside the package."""
    return Path(str(files("cbldm"))) / "weights" / SHIPPED


def load_weights(folder: Path | None = None, device: str = "cpu") -> tuple[CbLdm, dict[str, str]]:
    """Load a model for sampling.

    Args:
        folder: Holds ``model.safetensors`` and ``config.json``; the shipped weights when None.
        device: Torch device.

    Returns:
        The model in evaluation mode, and ``name`` and ``sha256`` of its weights.

    Raises:
        ModelError: A file is missing or damaged, or was written by another version of the format.
    """
    folder = folder or shipped_weights()
    weights = folder / "model.safetensors"
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        content = weights.read_bytes()
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the model in {folder.name}: {error.__class__.__name__}; "
                         "expected model.safetensors and config.json") from error  # fmt: skip
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ModelError(f"config.json in {folder.name} is not of format {FORMAT}, which this version reads")
    try:
        identity = {"name": config["name"], "sha256": hashlib.sha256(content).hexdigest()}
        model = CbLdm(ModelConfig(**config["model"]))
        state = load_file(weights, device="cpu")
        model.load_state_dict({key: value.float() for key, value in state.items()})
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        line = str(error).splitlines()[0]
        raise ModelError(f"the weights in {folder.name} do not fit their config.json: {line}") from error
    model.eval().requires_grad_(False)
    return model.to(device), identity
