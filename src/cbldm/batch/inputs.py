"""What is to be solved: folders, patterns, lists and series files as PDFs in a fixed order, each with a name."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cbldm.batch.layout import FILES
from cbldm.data.file_bytes import read_bytes
from cbldm.data.pdf_text import decode
from cbldm.data.series_files import read_head, series_columns
from cbldm.errors import InputError

#: What is taken of a folder.
SUFFIX = ".gr"
#: Longest name of a folder, in bytes: file systems allow 255, and names of partial folders are longer.
LONGEST = 200

_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')


@dataclass(frozen=True)
class Input:
    """One PDF.

    Attributes:
        file: Path as given or found.
        column: Which G(r) of a series file, from 1; None where the file holds one PDF.
        label: What a series file calls the column, or an empty string.
    """

    file: str
    column: int | None = None
    label: str = ""

    @property
    def shown(self) -> str:
        """The file, and the column where it holds several."""
        return self.file if self.column is None else f"{self.file}, column {self.column}"


def find_inputs(words: Sequence[str]) -> list[Input]:
    """The PDFs that words of the command line stand for, in their order, each once.

    A word is a file, a folder (its ``.gr`` files), a pattern such as ``run/*.gr`` or ``run/**/*.gr``, or a text file
    that lists such words line by line, relative to its own folder. A file with many columns of G(r) gives as many PDFs.
    Numbers in names are counted, so that ``scan_10`` comes after ``scan_9``.

    Raises:
        InputError: A word stands for nothing.
    """
    found: dict[tuple[str, int | None], Input] = {}
    for word in words:
        for item in _pdfs(_paths(word)):
            found.setdefault((os.path.abspath(item.file), item.column), item)  # noqa: PTH100 - links are not followed
    return list(found.values())


def name_inputs(inputs: Sequence[Input], earlier: Mapping[tuple[str, int | None], str]) -> list[str]:
    """A folder name for each PDF: the stem of its file, numbered where it holds a series or where stems collide.

    Args:
        inputs: The PDFs.
        earlier: Names that an earlier run gave, by file and column; they stay.

    Example:
        >>> name_inputs([Input("a/x.gr"), Input("b/x.gr"), Input("s.csv", 7)], {})
        ['x', 'x-2', 's-0007']
    """
    # Some file systems do not tell upper from lower case.
    taken = {name.casefold() for name in (*FILES, *earlier.values())}
    names = []
    for item in inputs:
        name = earlier.get((item.file, item.column))
        if name is None:
            stem = _stem(item)
            options = (stem if number == 1 else f"{stem}-{number}" for number in range(1, len(taken) + 3))
            name = next(option for option in options if option.casefold() not in taken)
            taken.add(name.casefold())
        names.append(name)
    return names


def _stem(item: Input) -> str:
    """A name that is no path and is not hidden."""
    text = _NOT_IN_NAMES.sub("_", Path(item.file).stem).strip(". ") or "pdf"
    text = text.encode()[:LONGEST].decode(errors="ignore")
    return text if item.column is None else f"{text}-{item.column:04d}"


def _pdfs(paths: Sequence[Path]) -> Iterator[Input]:
    for path in paths:
        columns = series_columns(path)
        if columns:
            yield from (Input(str(path), column.number, column.label) for column in columns)
        else:
            yield Input(str(path))


def _paths(word: str, folder: Path | None = None) -> list[Path]:
    """The files of a word; with a folder, of a line in a list that lies there."""
    path = Path(word) if folder is None else folder / word
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() == SUFFIX and not file.name.startswith(".")]
        if not files:
            raise InputError(f"{str(path)!r} holds no {SUFFIX} file; a pattern such as '{path}/*.txt' names others")
        return sorted(files, key=_order)
    if path.exists():
        lines = _list_lines(path) if folder is None else []
        return [file for line in lines for file in _paths(line, path.parent)] if lines else [path]
    if glob.has_magic(word):
        files = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - may be absolute
        files = [file for file in files if file.is_file()]
        if not files:
            raise InputError(f"no file is named as {str(path)!r}")
        return sorted(files, key=_order)
    if folder is not None:
        return [path]  # one line of a list that leads nowhere is a bad file among others
    raise InputError(f"{word!r} is not there; a file, a folder or a pattern is needed")


def _order(path: Path) -> list[tuple[int, str]]:
    """Numbers by value, all else by letters."""
    parts = re.split(r"([0-9]+)", str(path))
    return [(int(part), "") if index % 2 else (0, part) for index, part in enumerate(parts)]


def _list_lines(path: Path) -> list[str]:
    """The lines of a list of files; none where the file is no list.

    A list has no row of numbers, and at least one of its lines names what is there.
    """
    if read_head(path) is not None:
        return []
    try:
        text = decode(read_bytes(path, "a list of files"), "the file")
    except InputError:
        return []
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    return lines if any(_leads_somewhere(path.parent, line) for line in lines) else []


def _leads_somewhere(folder: Path, line: str) -> bool:
    try:
        return (folder / line).exists() or (glob.has_magic(line) and any(glob.iglob(str(folder / line))))  # noqa: PTH207
    except (OSError, ValueError):
        return False
