"""Whatever lies at the place that a user names: the bytes, or one line that says what is there instead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cbldm.data import file_bytes
from cbldm.data.file_bytes import check_file, printable, read_bytes
from cbldm.errors import InputError


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_bytes(path, "a PDF file")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_bytes_come_back(tmp_path):
    path = tmp_path / "a.gr"
    path.write_bytes(bytes(range(256)))
    assert read_bytes(path, "a PDF file") == bytes(range(256))
    (tmp_path / "link.gr").symlink_to(path)
    assert read_bytes(tmp_path / "link.gr", "a PDF file") == bytes(range(256))


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.gr")
    (tmp_path / "loop.gr").symlink_to(tmp_path / "loop.gr")
    (tmp_path / "nowhere.gr").symlink_to(tmp_path / "gone.gr")
    (tmp_path / "file").write_bytes(b"1 2")
    assert "is a folder; a PDF file is needed" in refusal(tmp_path)
    assert "is no regular file" in refusal(tmp_path / "pipe.gr")
    assert "symbolic links" in refusal(tmp_path / "loop.gr")
    assert "is not there" in refusal(tmp_path / "nowhere.gr")
    assert "is not there" in refusal(tmp_path / "file" / "a.gr")
    assert "too long" in refusal(tmp_path / ("a" * 300))
    assert "null" in refusal(Path("a\0b\n.gr"))


@pytest.fixture
def _nobody() -> Iterator[None]:
    """Without the rights of root, where the tests run with them."""
    user = os.geteuid()
    if user:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(user)


def test_a_file_without_permission_is_named(tmp_path, request):
    path = tmp_path / "a.gr"
    path.write_bytes(b"1 2")
    path.chmod(0)
    request.getfixturevalue("_nobody")
    assert "Permission denied" in refusal(path)


def test_a_file_beyond_the_limit_or_growing_beyond_it_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(file_bytes, "MAX_BYTES", 2**20)
    path = tmp_path / "a.gr"
    path.write_bytes(bytes(2**20))
    assert len(read_bytes(path, "a PDF file")) == 2**20
    with path.open("ab") as file:
        file.truncate(3 * 2**20)
    assert "has 3 MiB; a PDF file has at most 1" in refusal(path)
    monkeypatch.setattr(file_bytes, "check_file", lambda path, what: None)
    assert "grows beyond 1 MiB" in refusal(path)


def test_a_size_is_checked_without_reading(tmp_path):
    path = tmp_path / "a.xyz"
    with path.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(InputError, match="65 MiB; a structure file has at most 64"):
        check_file(path, "a structure file")


def test_names_are_fit_to_print(tmp_path):
    assert printable("Pt 5 K, Å.gr") == "Pt 5 K, Å.gr"
    shown = printable(os.fsdecode(b"a\xff\n\x1b[31m.gr"))
    assert shown.isprintable()
    assert shown.encode().decode() == shown
