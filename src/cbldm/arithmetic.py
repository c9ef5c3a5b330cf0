"""Which arithmetic a device is fast in."""

from __future__ import annotations

import torch


def has_bfloat16(device: str | torch.device) -> bool:
    """Whether a device multiplies matrices in bfloat16 itself: processors that emulate it take 7 to 70 times as long.

    Args:
        device: Torch device; GPUs that training is meant for do, processors are asked (by torch 2.6 and newer; no
            otherwise).

    Example:
        >>> has_bfloat16("cuda")
        True
    """
    if torch.device(device).type != "cpu":
        return True
    abilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
