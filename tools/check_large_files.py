"""Large files stay out of the repository: 1 MB each, model weights 25 MB.

Run with the paths to check, relative to the repository's root, as pre-commit does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

MEGABYTE = 1_000_000
WEIGHTS = PurePosixPath("src/cbldm/weights")


def limit(path: str) -> int:
    """Bytes that the file at ``path`` may have."""
    return 25 * MEGABYTE if PurePosixPath(path).is_relative_to(WEIGHTS) else MEGABYTE


def too_large(root: Path, paths: Iterable[str]) -> list[str]:
    """One line for each file under ``root`` that exceeds its limit."""
    return [
        f"{path}: {size} bytes, {limit(path)} are allowed"
        for path in paths
        if (size := (root / path).stat().st_size) > limit(path)
    ]


if __name__ == "__main__":
    lines = too_large(Path(), sys.argv[1:])
    print(*lines, sep="\n", end="\n" if lines else "", file=sys.stderr)
    sys.exit(bool(lines))
