"""The folder of a batch: what lies in it beside a folder for each PDF, and what an earlier run has left there.

``batch.json`` says what the folder is of: a run that goes on must be of the same options and versions, or results of
two kinds would lie side by side. ``errors.csv`` has a line for each PDF that could not be solved. ``times.csv`` alone
differs from run to run.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cbldm.data.file_bytes import read_bytes
from cbldm.data.structure_files import write_text
from cbldm.errors import InputError

RECORD, ERRORS, TIMES = "batch.json", "errors.csv", "times.csv"
#: Every file that lies beside the folders of results; no PDF's folder is called so.
FILES = (RECORD, ERRORS, TIMES, "series.csv", "series.parquet", "trend.html")
#: What a killed run leaves: a folder or file that was being filled.
_LEFTOVER = re.compile(r"\.(?P<name>.+)-\w{8}|\.(?P<file>.+)\.\d+-\d+\.part")


def read_record(out: Path, *, resume: bool) -> dict[str, Any] | None:
    """What an earlier run wrote into ``batch.json``; None where the folder is new.

    Raises:
        InputError: The folder is not new and may not be gone on with, or is no folder of a batch.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {str(out)!r} is a file; a folder is needed")
    content = [path.name for path in out.iterdir() if not path.name.startswith(".")] if out.is_dir() else []
    if not content:
        return None
    if not resume:
        raise InputError(
            f"--out {str(out)!r} is not empty: choose a new folder, or go on with --resume where a batch has begun"
        )
    path = out / RECORD
    if not path.is_file():
        raise InputError(f"--out {str(out)!r} holds no {RECORD}, so no batch was begun there; choose a new folder")
    try:
        record = json.loads(read_bytes(path, RECORD))
        names = [item["name"] for item in record["inputs"]]
        whole = all(isinstance(name, str) for name in names) and isinstance(record["options"], dict)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is damaged; choose a new folder") from error
    if not whole:
        raise InputError(f"{str(path)!r} is damaged; choose a new folder")
    return dict(record)


def check_same(earlier: Mapping[str, Any], record: Mapping[str, Any], out: Path) -> None:
    """Refuse to go on with other options or versions than a batch was begun with.

    Raises:
        InputError: It says which differ.
    """
    was, now = (_flat(content) for content in (earlier, record))
    changed = [
        f"{name} {was.get(name)!r}, not {now.get(name)!r}" for name in was | now if was.get(name) != now.get(name)
    ]
    if changed:
        raise InputError(f"the batch in {str(out)!r} was begun with {'; '.join(changed)}: choose a new folder")


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    parts = (record.get(part) for part in ("options", "model", "versions"))
    return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}


def write_record(out: Path, record: Mapping[str, Any]) -> None:
    """Make the folder and write ``batch.json``.

    Raises:
        InputError: The place cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {str(out)!r} cannot be made: {error.strerror or type(error).__name__}") from error
    write_text(out / RECORD, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def remove_leftovers(out: Path, names: Iterable[str]) -> None:
    """Remove what a killed run was writing, and nothing else."""
    ours = {*names, *FILES}
    for path in out.iterdir():
        match = _LEFTOVER.fullmatch(path.name)
        if match and (match["name"] in ours or match["file"] in ours):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def is_done(folder: Path, sha256: str | None) -> bool:
    """Whether a folder holds results of data with this digest; of whatever data where the digest is unknown."""
    try:
        content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        return sha256 in (None, content["input"]["sha256"])
    except (OSError, ValueError, TypeError, KeyError):
        return False


def digest(path: Path) -> str | None:
    """SHA-256 of a file; None where it cannot be read."""
    try:
        return hashlib.sha256(read_bytes(path, "a PDF file")).hexdigest()
    except InputError:
        return None


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file at once.

    Raises:
        InputError: The place cannot be written to.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


class Times:
    """Seconds of each stage by PDF, kept as they come, so that a killed run loses none but those it was at."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, str]] = {}
        if path.is_file():
            with path.open(newline="", encoding="utf-8", errors="replace") as file:
                rows = [row for row in csv.DictReader(file) if row.get("name") and None not in row.values()]
            self.rows = {row["name"]: row for row in rows}

    def add(self, name: str, seconds: Mapping[str, float]) -> None:
        """Append a line.

        Raises:
            OSError: The file cannot be written.
        """
        row = {"name": name} | {stage: f"{value:.3f}" for stage, value in seconds.items()}
        new = not self.rows
        self.rows[name] = row
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([row.keys()] * new + [row.values()])

    def finish(self, names: Iterable[str]) -> None:
        """Write the file anew with these names in this order.

        Raises:
            InputError: The place cannot be written to.
        """
        rows = [self.rows[name] for name in names if name in self.rows]
        header = list(dict.fromkeys(stage for row in rows for stage in row)) or ["name"]
        write_rows(self.path, header, ([row.get(stage, "") for stage in header] for row in rows))
