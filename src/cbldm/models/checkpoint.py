"""Weights on disk: safetensors in 8 bits, with config.json and CARD.md beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from cbldm.errors import ModelError
from cbldm.models.cbldm import CbLdm, ModelConfig

#: Folder of the weights that ship, inside the package.
SHIPPED = "cpu-1"
#: 2: matrices in 8 bits with a scale for each row, everything else in half precision.
FORMAT = 2
#: Matrices of more entries than this are stored in 8 bits.
LARGE = 4096
#: Smallest scale, at which half precision still has all of its digits.
LEAST_SCALE = 2.0**-14
#: Ending of the name of the tensor that holds a matrix's scales.
SCALE = ".scale"


def quantised(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors as they are stored: an entry of a large matrix is an integer of -127 to 127 times its row's scale.

    Rounding is to nearest, so that an entry is off by half a scale at most. What was restored is stored unchanged.

    >>> matrix = torch.linspace(-1, 1, 2 * LARGE).reshape(LARGE, 2)
    >>> stored = quantised({"matrix": matrix})
    >>> [(name, tensor.dtype) for name, tensor in stored.items()]
    [('matrix', torch.int8), ('matrix.scale', torch.float16)]
    >>> bool(((restored(stored)["matrix"] - matrix).abs() <= 0.5 * stored["matrix.scale"].float()).all())
    True
    """
    stored = {}
    for key, tensor in state.items():
        value = tensor.detach().cpu()
        if value.is_floating_point() and value.dim() == 2 and value.numel() > LARGE:
            scale = (value.abs().amax(dim=1, keepdim=True) / 127).clamp_min(LEAST_SCALE).half()
            stored[key] = (value / scale.float()).round().clamp(-127, 127).to(torch.int8)
            stored[key + SCALE] = scale
        else:
            stored[key] = value.half() if value.is_floating_point() else value
    return {key: value.contiguous() for key, value in stored.items()}


def restored(stored: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inverse of `quantised`, in single precision."""
    return {
        key: value.float() * stored[key + SCALE].float() if value.dtype == torch.int8 else value.float()
        for key, value in stored.items()
        if not key.endswith(SCALE)
    }


def save_weights(model: CbLdm, folder: Path, name: str) -> None:
    """Write ``model.safetensors`` in 8 bits and ``config.json``.

    Args:
        model: The model.
        folder: Created where it is missing.
        name: Name and version, as shown in results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(quantised(model.state_dict()), folder / "model.safetensors")
    # The library writes for the owner alone; weights are for everyone who may read the folder.
    (folder / "model.safetensors").chmod(0o644)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    config = {"format": FORMAT, "name": name, "sha256": digest, "model": model.config.to_dict()}
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
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"cannot read the model in {folder.name}: {error.__class__.__name__}; "
                         "expected model.safetensors and config.json") from error  # fmt: skip
    _check_format(config, folder.name)
    digest = hashlib.sha256(content).hexdigest()
    if config.get("sha256") != digest:
        said = f"sha256 {str(config['sha256'])[:12]}…" if "sha256" in config else "no sha256"
        raise ModelError(
            f"model.safetensors in {folder.name} is not the one that config.json describes ({said}, but the file has "
            f"{digest[:12]}…): it is damaged or was exchanged; copy both files again"
        )
    try:
        identity = {"name": str(config["name"]), "sha256": digest}
        model = CbLdm(ModelConfig(**config["model"]))
        model.load_state_dict(restored(load(content)))
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, SafetensorError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"the weights in {folder.name} do not fit their config.json: {line}") from error
    model.eval().requires_grad_(False)
    return model.to(device), identity


def _check_format(config: object, folder: str) -> None:
    """Refuse a configuration of another version, and say which of the two is the older one."""
    found = config.get("format") if isinstance(config, dict) else None
    if found == FORMAT:
        return
    if not isinstance(found, int) or isinstance(found, bool):
        raise ModelError(f"config.json in {folder} names no format; this version reads format {FORMAT}")
    remedy = "install a newer cbldm" if found > FORMAT else "train it again or use the cbldm that wrote it"
    age = "newer" if found > FORMAT else "older"
    raise ModelError(f"the model in {folder} is of format {found}, {age} than this version's {FORMAT}: {remedy}")
