"""The bytes of a file that a user named: whatever lies at that place, the answer is bytes or one line."""

from __future__ import annotations

import stat
from pathlib import Path

from cbldm.errors import InputError

#: Largest file that is read, in bytes.
MAX_BYTES = 64 * 2**20


def check_file(path: Path, what: str) -> None:
    """Refuse a place that holds no file of a size that can be read.

    Args:
        path: The place.
        what: What is needed there, as in a message: ``a PDF file``.

    Raises:
        InputError: There is nothing, a folder, a device, a loop of links, no permission, or too much.
    """
    where = repr(str(path))
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{where} is not there; {what} is needed") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{where} cannot be read: {_reason(error)}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise InputError(f"{where} is {kind}; {what} is needed")
    if found.st_size > MAX_BYTES:
        raise InputError(f"{where} has {found.st_size / 2**20:.0f} MiB; {what} has at most {MAX_BYTES // 2**20}")


def read_bytes(path: Path, what: str) -> bytes:
    """The whole file.

    Args:
        path: The place.
        what: As for `check_file`.

    Raises:
        InputError: As for `check_file`; a file that grows beyond the limit while it is read counts too.
    """
    check_file(path, what)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {_reason(error)}") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{str(path)!r} grows beyond {MAX_BYTES // 2**20} MiB, the most that {what} has")
    return content


def printable(name: str) -> str:
    r"""A file's name for reports: what cannot be printed or encoded becomes a replacement character.

    >>> printable("a\x1b[2J\udcff.gr")
    'a�[2J�.gr'
    """
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
