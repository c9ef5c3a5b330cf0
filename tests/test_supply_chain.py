"""What `make` installs is locked, what the wheel bundles is listed, and a release installs and solves offline."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from hashlib import sha256
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from direct_requirements import direct_requirements
from lock import with_other_builds
from sbom import installed_needs, make_sbom

ENTRY = re.compile(
    r"^([\w.-]+)==([\w.]+)(?: ; (.+?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def locked(root: Path) -> dict[str, list[tuple[str, str]]]:
    """Versions and markers of constraints.txt by package; every line of the file has to be understood."""
    text = (root / "constraints.txt").read_text(encoding="utf-8")
    assert re.sub(r"^ *#.*\n", "", ENTRY.sub("", text), flags=re.MULTILINE) == ""
    found = {}
    for name, version, marker, _ in ENTRY.findall(text):
        found.setdefault(name, []).append((version, marker))
    return found


def in_force(versions: list[tuple[str, str]]) -> list[str]:
    """Those whose marker holds here."""
    return [version for version, marker in versions if not marker or Requirement(f"x; {marker}").marker.evaluate()]


def wanted(pyproject: dict) -> list[Requirement]:
    """Everything that a target of the Makefile asks for directly."""
    project = pyproject["project"]
    lines = direct_requirements(project, project["optional-dependencies"])
    lines += pyproject["build-system"]["requires"]
    lines += [line for group in pyproject["dependency-groups"].values() for line in group]
    return [Requirement(line) for line in lines]


def test_lock_satisfies_pyproject(pyproject, locked):
    for requirement in wanted(pyproject):
        versions = in_force(locked[canonicalize_name(requirement.name)])
        assert len(versions) == 1, requirement
        assert requirement.specifier.contains(versions[0]), f"{requirement}, and {versions[0]} is locked"


def test_lock_has_what_is_installed_here(pyproject, locked):
    """All that the tests run with, down to the dependencies of dependencies."""
    needs = installed_needs(direct_requirements(pyproject["project"], ["dev"]))
    # A local version, as that of the CPU build of torch, is a build of the version that is locked.
    installed = {name: [metadata.version(name).partition("+")[0]] for name in needs}
    assert {name: in_force(locked.get(name, [])) for name in needs} == installed
    assert len(needs) > 100


def test_cpu_build_of_torch_is_allowed_besides(root):
    text = (root / "constraints.txt").read_text(encoding="utf-8")
    other_builds = (root / "constraints-cpu.txt").read_text(encoding="utf-8")
    assert with_other_builds(text, other_builds) == text
    (torch,) = (hashes for name, _, _, hashes in ENTRY.findall(text) if name == "torch")
    assert torch.count("sha256") > 10
    with pytest.raises(ValueError, match="another version is locked"):
        with_other_builds(text.replace("torch==2.", "torch==3."), other_builds)


def test_users_of_the_demo_wait_for_no_test_extras(pyproject):
    project = pyproject["project"]
    core = {Requirement(line).name for line in direct_requirements(project, [])}
    assert core == {Requirement(line).name for line in project["dependencies"]}
    assert core < {Requirement(line).name for line in direct_requirements(project, ["dev"])}


def bundled(root: Path) -> list[dict]:
    return tomllib.loads((root / "BUNDLED.toml").read_text(encoding="utf-8"))["bundled"]


def faults(names: list[str], entries: list[dict]) -> list[str]:
    """Files without an entry or with several, and patterns that fit no file."""
    rules = {
        pattern: re.compile(re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*") + "$")
        for entry in entries
        for pattern in entry["files"]
    }
    counts = Counter({name: sum(bool(rule.match(name)) for rule in rules.values()) for name in names})
    return [name for name, count in counts.items() if count != 1] + [
        pattern for pattern, rule in rules.items() if not any(map(rule.match, names))
    ]


def test_an_unlisted_file_is_found():
    entries = [{"files": ["p/**/*.py", "p/data/*.json"]}, {"files": ["p/x.js"]}]
    assert faults(["p/a.py", "p/b/c/d.py", "p/data/e.json", "p/x.js"], entries) == []
    assert faults(["p/a.py", "p/data/e.json", "p/x.js", "p/y.js"], entries) == ["p/y.js"]
    assert faults(["p/a.py", "p/data/deep/e.json"], entries) == ["p/data/deep/e.json", "p/data/*.json", "p/x.js"]


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    if find_spec("hatchling") is None:
        pytest.skip("needs hatchling, which `make` installs, to build a wheel")
    return build(root, tmp_path_factory.mktemp("wheel"), "--wheel")


def build(source: Path, out: Path, what: str) -> Path:
    command = [sys.executable, "-m", "build", "--no-isolation", what, "--outdir", out, source]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.iterdir()
    return path


def test_everything_bundled_is_listed(root, wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith("cbldm/")]
        assert [name for name in archive.namelist() if not name.startswith(("cbldm/", "cbldm-"))] == []
        licences = {name.partition("/licenses/")[2] for name in archive.namelist() if "/licenses/" in name}
        for entry in bundled(root):
            if "sha256" in entry:
                assert sha256(archive.read(entry["files"][0])).hexdigest() == entry["sha256"]
    assert faults(names, bundled(root)) == []
    assert licences == {"BUNDLED.toml"} | {path for entry in bundled(root) for path in entry["licence_files"]}


def test_parts_of_the_viewer_are_named_in_its_notices(root):
    (viewer,) = (entry for entry in bundled(root) if entry["name"] == "3Dmol.js")
    notices = "".join((root / path).read_text(encoding="utf-8") for path in viewer["licence_files"]).lower()
    assert [part["name"] for part in viewer["parts"] if part["name"].lower() not in notices] == []


def test_sbom_lists_the_dependencies_and_the_viewer(root, pyproject):
    sbom = make_sbom(root)  # It is checked against the schema there.
    names = {canonicalize_name(component["name"]) for component in sbom["components"]}
    assert {Requirement(line).name for line in pyproject["project"]["dependencies"]} < names
    assert not names & {"pytest", "gradio", "ruff"}
    (viewer,) = sbom["metadata"]["component"]["components"]
    assert viewer["purl"] == "pkg:npm/3dmol@2.5.5"
    assert {part["name"] for part in viewer["components"]} >= {"pako", "three.js", "GLmol"}


@pytest.fixture(scope="module")
def checkout(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks or would track, with times and permissions of its own."""
    if not (root / ".git").exists():
        pytest.skip("needs a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    folder = tmp_path_factory.mktemp("checkout") / "cbldm"
    for name in filter(None, listing.split("\0")):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)
            (folder / name).chmod(0o600)
            os.utime(folder / name, (1e9, 1e9))
    return folder


@pytest.mark.slow
def test_the_same_wheel_from_anywhere(wheel, checkout, tmp_path):
    """Byte for byte: from another folder at another time, and by way of the sdist."""
    again = build(checkout, tmp_path / "again", "--wheel")
    assert again.read_bytes() == wheel.read_bytes()
    sdist = build(checkout, tmp_path / "sdist", "--sdist")
    shutil.unpack_archive(sdist, tmp_path / "unpacked", filter="data")
    from_sdist = build(next((tmp_path / "unpacked").iterdir()), tmp_path / "from_sdist", "--wheel")
    assert from_sdist.read_bytes() == wheel.read_bytes()


@pytest.mark.slow
def test_installs_and_solves_without_network(checkout, tmp_path):
    """`make wheelhouse`, then a clean environment from it and the bundled example, with the network shut."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"OMP_NUM_THREADS": "1"}
    made = subprocess.run(["make", "wheelhouse"], cwd=checkout, env=environment, capture_output=True, text=True)
    if made.returncode and re.search("Max retries|NewConnectionError|Connection|No matching distribution", made.stderr):
        pytest.skip(f"needs the package registry: {made.stderr.strip().splitlines()[-1]}")
    assert made.returncode == 0, made.stderr
    shut = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*shut, "true"], capture_output=True).returncode:
        shut = []
        environment |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    clean = tmp_path / "clean"
    subprocess.run([sys.executable, "-m", "venv", clean], check=True)
    environment["PIP_CONFIG_FILE"] = os.devnull
    environment.pop("PIP_FIND_LINKS", None)
    install = [clean / "bin/python", "-m", "pip", "install", "-qq", "--no-compile", "--no-index"]
    install += ["--find-links", checkout / "wheelhouse", "cbldm"]
    subprocess.run([*shut, *install], cwd=tmp_path, env=environment, check=True)
    where = [clean / "bin/python", "-c", "import cbldm; print(cbldm.__path__[0])"]
    package = Path(subprocess.run(where, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip())
    assert package.is_relative_to(clean)
    solve = [clean / "bin/cbldm", "solve", package / "examples/pt_example.gr", "--samples", "8", "--candidates", "2"]
    subprocess.run([*shut, *solve, "--quiet", "--out", "solved"], cwd=tmp_path, env=environment, check=True)
    results = json.loads((tmp_path / "solved/results.json").read_text(encoding="utf-8"))
    assert len(results["candidates"]) == 2
