"""How much the app takes on, and for whom it listens."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass

from cbldm.errors import InputError


@dataclass(frozen=True)
class Limits:
    """Settings of the app, with defaults for one machine and a few people.

    Attributes:
        host: Address to listen on.
        port: Its port; 0 for any that is free.
        max_upload: Most that is taken at once, in MB.
        max_files: Files that one page may hold.
        time_limit: Seconds after which a computation is stopped.
        queue: Computations that may wait.
        jobs: Computations that run at once.

    Example:
        >>> Limits(max_upload=0)
        Traceback (most recent call last):
            ...
        cbldm.errors.InputError: --max-upload must be 0.01 to 64 MB, got 0
    """

    host: str = "127.0.0.1"
    port: int = 7860
    max_upload: float = 10.0
    max_files: int = 20
    time_limit: float = 900.0
    queue: int = 20
    jobs: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InputError: A value is out of range.
        """
        ranges = {
            "port": (0, 65535, ""), "max_upload": (0.01, 64, " MB"), "max_files": (1, 200, ""),
            "time_limit": (1, 86400, " s"), "queue": (0, 1000, ""), "jobs": (1, 64, ""),
        }  # fmt: skip
        for name, (low, high, unit) in ranges.items():
            value = getattr(self, name)
            if not math.isfinite(value) or not low <= value <= high:
                option = name.replace("_", "-")
                raise InputError(f"--{option} must be {low:g} to {high:g}{unit}, got {value:g}")

    @property
    def max_bytes(self) -> int:
        """Most bytes that are taken at once."""
        return int(self.max_upload * 1e6)

    @property
    def max_body(self) -> int:
        """Most bytes of a request: files come as base64, which is longer by a third."""
        return 4 * self.max_bytes // 3 + 2**20

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the app."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
