"""The repository holds what it may hold: small files, no names of other machines, whole packages."""

import re
import subprocess
from pathlib import Path

import pytest

from check_large_files import limit, too_large

# Written in two halves, so that this file passes its own test.
REGISTRY_HOSTS = re.compile(
    "|".join(
        re.escape(name + tld)
        for name, tld in [
            ("pypi", ".org"),
            ("pythonhosted", ".org"),
            ("download.pytorch", ".org"),
            ("deb.debian", ".org"),
            ("npmjs", ".org"),
            ("anaconda", ".org"),
        ]
    )
)
LOCAL_PATH = re.compile(r"(?<![\w.~])/(?:work|root|home|Users|opt)/\w")


@pytest.fixture(scope="module")
def files(root: Path) -> list[str]:
    """Every file that git tracks or would track, relative to the repository."""
    if not (root / ".git").exists():
        pytest.skip("needs a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    return [name for name in listing.split("\0") if name and (root / name).is_file()]


def test_files_are_small(root, files):
    assert too_large(root, files) == []


def test_only_weights_may_exceed_one_megabyte(tmp_path):
    for name in ("data.npz", "src/cbldm/weights/tiny/model.safetensors"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1_000_001))
    assert len(too_large(tmp_path, ["data.npz", "src/cbldm/weights/tiny/model.safetensors"])) == 1
    assert limit("src/cbldm/weights/tiny/model.safetensors") == 25_000_000
    assert limit("src/cbldm/weights.npz") == 1_000_000


@pytest.mark.parametrize("pattern", [REGISTRY_HOSTS, LOCAL_PATH], ids=["registry host", "local path"])
def test_no_file_names_another_machine(root, files, pattern):
    found = {}
    for name in files:
        text = (root / name).read_bytes().decode("utf-8", errors="ignore")
        if match := pattern.search(text):
            found[name] = match.group()
    assert found == {}


def test_every_folder_of_modules_is_a_package(root):
    folders = {path.parent for path in (root / "src/cbldm").rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []
