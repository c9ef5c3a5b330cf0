"""Write constraints.txt: one version of every package that `make` installs, with the hashes of all its files.

Run by `make lock`, which keeps the versions that are locked as far as pyproject.toml allows; `make lock
UPGRADE=--upgrade` takes the newest. uv resolves for every platform and Python at once, so that the same lock serves
Linux and macOS, and Python 3.11 and newer.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HEADER = """\
# What `make` installs: one version of every package, with the hash of each of its files. `make lock` writes this file.
# pip takes it with --require-hashes --constraint (pip 26.1 or newer): what is not here, or has other bytes, is not
# installed. So a package that only one build of torch asks for, as CUDA's, is installed with that build alone.
# pyproject.toml says what a user may have.
"""


def with_other_builds(lock: str, other_builds: str) -> str:
    r"""The lock with the hashes of builds that the package index does not have: pip takes only what both files allow.

    >>> lock = "torch==2.13.0 \\\n    --hash=sha256:60fc\n"
    >>> with_other_builds(lock, "torch==2.13.0+cpu --hash=sha256:6746").count("--hash=sha256:")
    2

    Args:
        lock: Pins and hashes as uv writes them.
        other_builds: Lines of constraints-cpu.txt.

    Raises:
        ValueError: Another version of such a package is locked: the hash of its other build has to be found first.
    """
    for pin, digest in re.findall(r"^(\S+==[^\s+]+)\+\S+ --hash=sha256:(\w+)$", other_builds, re.MULTILINE):
        entry = re.search(rf"^{re.escape(pin)}(?=[ ;]).* \\\n", lock, re.MULTILINE)
        if not entry:
            raise ValueError(f"constraints-cpu.txt has another build of {pin}, but another version is locked now")
        # uv keeps the hashes of a version that was locked before.
        if digest not in lock:
            lock = f"{lock[: entry.end()]}    --hash=sha256:{digest} \\\n{lock[entry.end() :]}"
    return lock


def main() -> None:
    """Resolve, and write the lock in one go."""
    path = Path("constraints.txt")
    unfinished = Path("constraints.txt.unfinished")
    # Versions in the file that uv writes to are those that it keeps.
    unfinished.write_bytes(path.read_bytes() if path.is_file() else b"")
    uv = Path(sys.executable).with_name("uv")
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-config", "--no-header", "--quiet"]
    wanted = ["pyproject.toml", "--extra", "dev", "--extra", "bench", "--group", "build", "--group", "lock"]
    try:
        arguments = [*options, *wanted, *sys.argv[1:], "--output-file", str(unfinished)]
        subprocess.run([str(uv), "pip", "compile", *arguments], check=True)
        other_builds = Path("constraints-cpu.txt").read_text(encoding="utf-8")
        lock = with_other_builds(unfinished.read_text(encoding="utf-8"), other_builds)
        path.write_text(HEADER + lock, encoding="utf-8")
    finally:
        unfinished.unlink()


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
