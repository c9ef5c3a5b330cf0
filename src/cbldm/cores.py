"""How many cores there are for this process. Needs no torch, as whoever asks may be there before it is loaded."""

from __future__ import annotations

import os


def n_cores() -> int:
    """Cores that this process may use, where the system says so; else those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
