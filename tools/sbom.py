"""Write the list of components (SBOM, CycloneDX 1.6) of a release: what the wheel bundles, and what it depends on.

Run with the folder to write to, in an environment that holds the locked packages. What is bundled is said by
BUNDLED.toml; versions and licences of dependencies are those installed. Dependencies of extras are left out. The same
environment gives the same bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from direct_requirements import direct_requirements

SPEC = "1.6"


def make_sbom(root: Path) -> dict[str, Any]:
    """The SBOM of the project in a folder, as JSON.

    Args:
        root: The repository.

    Raises:
        ValueError: It does not follow the schema of CycloneDX.
    """
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(root / "pyproject.toml"),
               "--mc-type", "application", "--output-reproducible", "--no-validate", "--spec-version", SPEC,
               "--of", "JSON"]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    sbom: dict[str, Any] = json.loads(done.stdout)
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bundled = tomllib.loads((root / "BUNDLED.toml").read_text(encoding="utf-8"))["bundled"]
    _keep_dependencies(sbom, direct_requirements(project, []))
    # Links to home pages say nothing of what is installed, and checking their syntax takes minutes.
    for component in sbom["components"] + sbom["metadata"]["tools"]["components"]:
        component.pop("externalReferences", None)
    foreign = [_component(entry) for entry in bundled if "purl" in entry]
    sbom["metadata"]["component"]["components"] = foreign
    errors = make_schemabased_validator(OutputFormat.JSON, SchemaVersion.from_version(SPEC)).validate_str(
        json.dumps(sbom)
    )
    if errors:
        raise ValueError(f"the SBOM does not follow CycloneDX {SPEC}: {errors}")
    return sbom


def installed_needs(direct: Iterable[str]) -> dict[str, set[str]]:
    """What requirements need, and what that needs, as it is installed here: names of packages by name.

    Args:
        direct: Requirements; their markers are taken to hold.

    Raises:
        importlib.metadata.PackageNotFoundError: Something of it is not installed.
    """
    needs: dict[str, set[str]] = {}
    seen = set()
    todo = [Requirement(line) for line in direct]
    while todo:
        wanted = todo.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        lines = metadata.distribution(wanted.name).requires or []
        asked = [
            requirement
            for requirement in map(Requirement, lines)
            if not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""})
        ]
        needs.setdefault(name, set()).update(canonicalize_name(requirement.name) for requirement in asked)
        todo += asked
    return needs


def _keep_dependencies(sbom: dict[str, Any], direct: list[str]) -> None:
    """Leave only what the project needs without its extras; ``direct`` are its own requirements."""
    needs = installed_needs(direct)
    refs: dict[str, str] = {
        canonicalize_name(component["name"]): component["bom-ref"] for component in sbom["components"]
    }
    sbom["components"] = [part for part in sbom["components"] if canonicalize_name(part["name"]) in needs]
    root = sbom["metadata"]["component"]["bom-ref"]
    own = {canonicalize_name(Requirement(line).name) for line in direct}
    sbom["dependencies"] = [{"ref": root, "dependsOn": sorted(refs[name] for name in own)}] + [
        {"ref": refs[name], "dependsOn": sorted(refs[need] for need in needs[name])} for name in sorted(needs)
    ]


def _component(entry: dict[str, Any]) -> dict[str, Any]:
    """A component of CycloneDX from an entry of BUNDLED.toml."""
    parts = [
        {"type": "library", "bom-ref": f"{entry['name']}/{part['name']}", "name": part["name"]} | _licence(part)
        for part in entry.get("parts", [])
    ]
    return {
        "type": "library",
        "bom-ref": entry["purl"],
        "name": entry["name"],
        "version": entry["version"],
        "purl": entry["purl"],
        "copyright": entry["copyright"],
        "hashes": [{"alg": "SHA-256", "content": entry["sha256"]}],
        "components": parts,
    } | _licence(entry)


def _licence(entry: dict[str, Any]) -> dict[str, Any]:
    return {"licenses": [{"expression": entry["licence"]}]}


def main() -> None:
    """Write ``cbldm-VERSION.cdx.json``."""
    sbom = make_sbom(Path())
    path = Path(sys.argv[1]) / f"cbldm-{sbom['metadata']['component']['version']}.cdx.json"
    path.write_text(json.dumps(sbom, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{path}: {len(sbom['components'])} dependencies")


if __name__ == "__main__":
    main()
