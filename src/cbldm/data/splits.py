"""One split for every stage: a cluster belongs to train, validation or test by its shape alone."""

from __future__ import annotations

from typing import Literal, overload

import torch

Split = Literal["train", "validation", "test"]

_BUCKETS = 1000
#: Upper bucket of each split: 75 % train, 5 % validation, 20 % test.
_LIMITS: dict[Split, tuple[int, int]] = {"train": (0, 750), "validation": (750, 800), "test": (800, _BUCKETS)}


@overload
def in_split(shape_hash: int, split: Split) -> bool: ...
@overload
def in_split(shape_hash: torch.Tensor, split: Split) -> torch.Tensor: ...
def in_split(shape_hash: int | torch.Tensor, split: Split) -> bool | torch.Tensor:
    """Whether shapes belong to a split, decided by their hash and nothing else.

    Args:
        shape_hash: One hash of `cbldm.geometry.fingerprint`, or (batch,) int64.
        split: ``train``, ``validation`` or ``test``.

    Returns:
        A bool, or (batch,) bool.

    >>> sum(in_split(12345, split) for split in ("train", "validation", "test"))
    1
    """
    low, high = _LIMITS[split]
    bucket = shape_hash % _BUCKETS
    return (low <= bucket) & (bucket < high)
