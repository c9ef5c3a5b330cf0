"""Print what pyproject.toml asks for: the dependencies of cbldm, and those of the extras that are named.

`pip install --require-hashes` takes no project, only such a list. Run with the names of extras.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def direct_requirements(project: Mapping[str, Any], extras: Iterable[str]) -> list[str]:
    """Requirements of a project and its extras, an extra that names others of the project resolved.

    Args:
        project: The table ``project`` of pyproject.toml.
        extras: Names of extras.

    >>> direct_requirements(
    ...     {"name": "p", "dependencies": ["a>1"], "optional-dependencies": {"x": ["b"], "y": ["p[x]", "c"]}}, ["y"]
    ... )
    ['a>1', 'b', 'c']
    """
    found = list(project["dependencies"])
    todo = list(extras)
    while todo:
        for requirement in project["optional-dependencies"][todo.pop(0)]:
            own = re.fullmatch(rf"{re.escape(project['name'])}\[([\w,\s-]+)\]", requirement)
            if own:
                todo += [extra.strip() for extra in own[1].split(",")]
            else:
                found.append(requirement)
    return sorted(set(found))


if __name__ == "__main__":
    content = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    print(*direct_requirements(content["project"], sys.argv[1:]), sep="\n")
