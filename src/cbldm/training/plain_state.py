"""The state of a run as bytes: a digest, a description in JSON, and the numbers of its tensors. Nothing in it can act.

No pickle: whoever hands over a checkpoint hands over numbers. The digest comes before anything is looked at, so that a
cut or altered one is never taken for a whole one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch

#: First bytes of a state; the number is that of the layout.
MAGIC = b"cbldm state 1\n"
#: Length of a SHA-256 digest, and of the length of the description, in bytes.
_DIGEST, _LENGTH = 32, 8


def to_bytes(state: Mapping[str, Any]) -> bytes:
    """Plain values, tensors, and dictionaries, lists and tuples of them as bytes.

    >>> from_bytes(to_bytes({"step": 3, "groups": [{"betas": (0.9, 0.99)}], "moments": {0: torch.ones(2)}}))
    {'step': 3, 'groups': [{'betas': (0.9, 0.99)}], 'moments': {0: tensor([1., 1.])}}
    """
    blobs: list[bytes] = []
    description = json.dumps(_described(dict(state), blobs)).encode()
    body = b"".join([len(description).to_bytes(_LENGTH, "big"), description, *blobs])
    return MAGIC + hashlib.sha256(body).digest() + body


def from_bytes(content: bytes) -> dict[str, Any]:
    """The inverse of `to_bytes`, tensors on the CPU.

    Raises:
        ValueError: The bytes are of another layout, cut short or altered.
    """
    if not content.startswith(MAGIC):
        raise ValueError("another layout")
    start = len(MAGIC) + _DIGEST
    body = memoryview(content)[start:]
    if hashlib.sha256(body).digest() != content[len(MAGIC) : start]:
        raise ValueError("altered or cut short")
    end = _LENGTH + int.from_bytes(body[:_LENGTH], "big")
    return dict(_restored(json.loads(bytes(body[_LENGTH:end])), body[end:]))


def _described(value: Any, blobs: list[bytes]) -> Any:
    """The value in JSON, its tensors named by type, shape and place; their bytes go into `blobs`."""
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu().contiguous()
        place = sum(map(len, blobs))
        blobs.append(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        return {"tensor": [str(tensor.dtype).removeprefix("torch."), list(tensor.shape), place]}
    if isinstance(value, Mapping):
        return {"dict": [[key, _described(item, blobs)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"list" if isinstance(value, list) else "tuple": [_described(item, blobs) for item in value]}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"a state holds plain values and tensors, got {type(value).__name__}")


def _restored(value: Any, data: memoryview) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        name, shape, place = content
        dtype: torch.dtype = getattr(torch, name)
        n_bytes = torch.Size(shape).numel() * dtype.itemsize
        empty = torch.empty(shape, dtype=dtype)
        return (
            torch.frombuffer(bytearray(data[place : place + n_bytes]), dtype=dtype).reshape(shape) if n_bytes else empty
        )
    if kind == "dict":
        return {key: _restored(item, data) for key, item in content}
    items = [_restored(item, data) for item in content]
    return items if kind == "list" else tuple(items)
