"""Folders of results as rows of a table, in the order of the batch."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cbldm.data.file_bytes import printable, read_bytes
from cbldm.errors import InputError
from cbldm.types import MOTIFS

#: Share of the probability that the stated range of atom counts holds, as in results.json.
LEVEL = "0.8"
#: Columns of numbers, and how ``results.json`` calls those of the best candidate.
NUMBERS = {
    "n_atoms": "n_atoms", "n_atoms_low": "", "n_atoms_high": "", "diameter_A": "diameter_A", "rw": "rw",
    "scale": "scale", "uiso_A2": "uiso_A2", "stretch": "stretch", "equivalents": "",
}  # fmt: skip
#: The posterior probability of each motif.
WEIGHTS = {motif: f"motif_{motif}" for motif in MOTIFS}
#: Every column but those of the metadata.
COLUMNS = ("file", "name", *NUMBERS, "motif", *WEIGHTS.values(), "warnings", "error")

Value = float | int | str


@dataclass(frozen=True)
class Row:
    """What is known of one input.

    Attributes:
        file: As the batch names it.
        name: Of the folder with its results, in the folder of the batch.
        values: By the names of `COLUMNS`; what is not known is left out.
        metadata: By name: numbers of the header, and what the user's table says.
        warnings: Of the solution.
        error: Why there is no structure; empty where there is one.
    """

    file: str
    name: str
    values: Mapping[str, Value] = field(default_factory=dict)
    metadata: Mapping[str, Value] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    error: str = ""


def read_rows(out: Path) -> list[Row]:
    """A row for each input, in the order of ``batch.json``; without one, of the folders by name, numbers by value.

    Raises:
        InputError: The folder holds no results, or its files are not as cbldm writes them.
    """
    if not out.is_dir():
        raise InputError(f"{str(out)!r} is no folder; a folder of results is needed")
    errors = _errors(out / "errors.csv")
    inputs = list(_inputs(out))
    rows = [_row(out, file, name, label, errors) for file, name, label in inputs]
    if not rows:
        raise InputError(f"{str(out)!r} holds neither batch.json nor folders with a results.json")
    return rows


def with_metadata(rows: Sequence[Row], path: Path) -> tuple[list[Row], list[str]]:
    """Join a user's table: its column ``file`` (else the first) has names of files, with or without their folder.

    Args:
        rows: The table.
        path: A CSV file, separated by commas, semicolons or tabs, with a line of names first.

    Returns:
        The rows, and the files of the table that are none of theirs.

    Raises:
        InputError: The file cannot be read, or names a file twice.
    """
    known: dict[str, dict[str, Value]] = {}
    for number, (name, cells) in enumerate(_user_rows(path), start=2):
        if name in known:
            raise InputError(f"{str(path)!r}, line {number}: {name!r} was there before; each file has one line")
        known[name] = cells
    joined, used = [], set()
    for row in rows:
        base = re.split(r"[/\\]", row.file)[-1]
        key = next((key for key in (row.file, base, row.name) if key in known), None)
        used.add(key)
        joined.append(row if key is None else replace(row, metadata=dict(row.metadata) | known[key]))
    return joined, [name for name in known if name not in used]


def _user_rows(path: Path) -> Iterator[tuple[str, dict[str, Value]]]:
    where = repr(str(path))
    text = read_bytes(path, "a CSV file").decode("utf-8-sig", errors="replace")
    first = text.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    try:
        header, *lines = [line for line in csv.reader(text.splitlines(), delimiter=mark) if any(line)]
    except (ValueError, csv.Error) as error:
        raise InputError(f"{where} is no CSV file with a line of names first") from error
    names = [printable(name.strip()) for name in header]
    if len(names) < 2 or len(set(names)) < len(names) or "" in names:
        raise InputError(f"{where} must have two columns or more, each with a name of its own (got {names!r:.100})")
    lowered = [name.lower() for name in names]
    key = lowered.index("file") if "file" in lowered else 0
    for number, line in enumerate(lines, start=2):
        if len(line) != len(names):
            raise InputError(f"{where}, line {number} has {len(line)} cells; the line of names has {len(names)}")
        cells = [cell.strip() for cell in line]
        yield (
            cells[key],
            {
                name: _value(cell, comma=mark != ",")
                for index, (name, cell) in enumerate(zip(names, cells, strict=True))
                if index != key and cell
            },
        )


def _value(cell: str, *, comma: bool) -> Value:
    """A number where the cell is one."""
    text = cell.replace(",", ".") if comma else cell
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) and math.isfinite(float(text)):
        return float(text)
    return printable(cell)


def _inputs(out: Path) -> Iterator[tuple[str | None, str, str]]:
    """File (None: as the results say), folder and label of each input."""
    path = out / "batch.json"
    if not path.is_file():
        folders = (folder.name for folder in out.iterdir() if (folder / "results.json").is_file())
        yield from ((None, name, "") for name in sorted(folders, key=_numbered) if not name.startswith("."))
        return
    try:
        for item in json.loads(read_bytes(path, "the batch.json of cbldm batch"))["inputs"]:
            name, file, column = item["name"], item["file"], item.get("column")
            if not isinstance(name, str) or name in ("", ".", "..") or re.search(r"[/\\\0]", name):
                raise ValueError(f"folder {name!r}")
            yield str(file) if column is None else f"{file}, column {column}", name, str(item.get("label") or "")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is not as cbldm batch writes it ({error!s:.60})") from error


def _numbered(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)]


def _errors(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    text = read_bytes(path, "the errors.csv of cbldm batch").decode(errors="replace")
    try:
        return {row["file"]: row["reason"] for row in csv.DictReader(text.splitlines())}
    except (KeyError, csv.Error) as error:
        raise InputError(f"{str(path)!r} is not as cbldm batch writes it; it has file and reason") from error


def _row(out: Path, file: str | None, name: str, label: str, errors: Mapping[str, str]) -> Row:
    path = out / name / "results.json"
    stated: dict[str, Value] = {"label": _value(label, comma=False)} if label else {}
    if not path.is_file():
        reason = errors.get(file or "", "there are no results yet")
        return Row(printable(file or name), printable(name), metadata=stated, error=printable(reason))
    try:
        content = json.loads(read_bytes(path, "the results.json of cbldm solve"))
        metadata = {str(key): float(value) for key, value in content["input"].get("metadata", {}).items()}
        file = file if file is not None else str(content["input"]["file"]) or name
        warnings = [str(line) for line in content["warnings"]]
        values = _values(content)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        kind = type(error).__name__
        raise InputError(f"{str(path)!r} is not as cbldm solve writes it ({kind}: {error!s:.60})") from error
    why = "" if values else "no structure was found"
    return Row(printable(file), name, values, metadata | stated, warnings, why)


def _values(content: Mapping[str, Any]) -> dict[str, Value]:
    if not content["candidates"]:
        return {}
    best, said = content["candidates"][0], content["ambiguity"]
    if best["motif"] not in MOTIFS:
        raise ValueError(f"motif {best['motif']!r}")
    low, high = said["n_atoms"][LEVEL]
    numbers = {column: best[key] for column, key in NUMBERS.items() if key}
    numbers |= {"n_atoms_low": low, "n_atoms_high": high, "equivalents": said["equivalents"]}
    numbers |= {column: said["motif"].get(motif, 0.0) for motif, column in WEIGHTS.items()}
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers.values()):
        raise ValueError("a number is missing")
    return numbers | {"motif": best["motif"]}
