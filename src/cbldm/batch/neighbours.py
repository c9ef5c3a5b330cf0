"""Warm starts: what a finished batch of the same files has found for the neighbours of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ase import Atoms

from cbldm.batch.inputs import Input
from cbldm.batch.layout import ERRORS, RECORD, digest, read_record
from cbldm.data.structure_files import read_structure
from cbldm.errors import InputError


def neighbours(first: Path, inputs: Sequence[Input]) -> list[tuple[Path, ...]]:
    """The results of the file before and of the file after each input, as far as these were solved.

    They come from a batch that is finished, so that neither the number of workers nor a stop changes what is found.

    Args:
        first: The folder of that batch.
        inputs: What is to be solved, named as it was for that batch.

    Returns:
        Absolute paths of folders of results.

    Raises:
        InputError: The folder holds no finished batch, or one without these files.
    """
    if not all((first / name).is_file() for name in (RECORD, ERRORS)):
        raise InputError(f"--warm {str(first)!r} holds no finished batch; cbldm batch writes one, of the same files")
    known = (read_record(first, resume=True) or {})["inputs"]
    places = {(str(item["file"]), item.get("column")): place for place, item in enumerate(known)}
    folders = [first.absolute() / item["name"] for item in known]
    found = []
    for item in inputs:
        place = places.get((item.file, item.column))
        if place is None:
            raise InputError(f"--warm {str(first)!r} is of other files: it has nothing of {item.shown!r}")
        around = [folders[k] for k in (place - 1, place + 1) if 0 <= k < len(folders)]
        found.append(tuple(folder for folder in around if (folder / "results.json").is_file()))
    return found


def identity(first: Path) -> str | None:
    """Digest of what a batch is of: files, options and versions."""
    return digest(first / RECORD)


def structures(folders: Iterable[Path]) -> list[Atoms]:
    """The candidates in folders of results, best first in each.

    Raises:
        InputError: A folder is gone, or a file in it cannot be read.
    """
    found = []
    for folder in folders:
        if not (folder / "results.json").is_file():
            raise InputError(f"{str(folder)!r} is gone; what --warm names must stay until the batch is done")
        found += [read_structure(path) for path in sorted((folder / "candidates").glob("*.xyz"))]
    return found
