"""Imports go one way: ground floor, physics and geometry, data and models, solving, users of it, command line."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

GROUND = {"types", "errors", "views", "config", "arithmetic", "cores", "loading", "parallel"}
SCIENCE = GROUND | {"physics", "geometry", "metrics", "optimize", "data", "models"}
SOLVING = SCIENCE | {"library", "refine", "rank", "target"}

# What a part of cbldm may import of cbldm besides itself. A part is the longest prefix found here.
ALLOWED = {
    "errors": set(),
    "types": {"errors", "views"},
    "views": set(),
    "config": {"errors", "types"},
    "arithmetic": set(),
    "cores": set(),
    "loading": set(),
    "parallel": set(),
    "physics": GROUND,
    "geometry": GROUND,
    "metrics": GROUND | {"geometry"},
    "optimize": GROUND,
    "data": GROUND | {"physics", "geometry"},
    "models": GROUND | {"geometry"},
    "training": SCIENCE | {"model_card"},
    "target": SCIENCE,
    "refine": SCIENCE | {"target"},
    "template_cache": SCIENCE,
    "library": SCIENCE | {"refine", "target", "template_cache"},
    "rank": SCIENCE | {"refine", "target"},
    "search": SCIENCE | {"refine", "target"},
    "first_peak": GROUND,
    "ligands": GROUND | {"physics"},
    "held_out": SCIENCE | {"refine", "target"},
    "calibrate": SCIENCE | {"refine", "target"},
    "network_input": SCIENCE,
    "model_card": set(),
    "options": {"errors"},
    "rescue": GROUND,
    "pipeline": SOLVING | {"first_peak", "held_out", "ligands", "network_input", "options", "search", "unfamiliar"},
    "unfamiliar": GROUND | {"first_peak", "physics"},
    "ambiguity": GROUND,
    "results": {"ambiguity", "data", "report", *GROUND},
    "notebook": {"data", "report", "results", *GROUND},
    "saved": {"data", *GROUND},
    "series": {"data", "report", *GROUND},
    "simulate": GROUND | {"physics", "data"},
    "reliability": set(),
    "scores": GROUND | {"geometry", "metrics", "reliability"},
    "evaluation": SOLVING | {"ambiguity", "pipeline", "scores"},
    "batch": SCIENCE | {"options", "pipeline", "results", "series"},
    "report": {"cores", "errors", "types"},
    "web": SCIENCE | {"first_peak", "ligands", "options", "pipeline", "report", "results", "unfamiliar"},
    "cli": SOLVING
    | {"ambiguity", "calibrate", "ligands", "options", "pipeline", "rescue", "results", "saved"}
    | {"batch", "simulate", "training", "evaluation", "report", "series", "web"},
    "__init__": SOLVING | {"notebook", "options", "pipeline", "results"},
    "__main__": {"cli"},
}

CORE = {"numpy", "scipy", "threadpoolctl", "torch", "ase", "safetensors", "typer", "rich", "matplotlib"}

# Packages of an extra, and the one part that may import each.
EXTRA = {
    "dask": "batch",
    "dask_jobqueue": "batch",
    "distributed": "batch",
    "fastapi": "web",
    "gradio": "web",
    "lightning_fabric": "training",
    "pyarrow": "series",
    "uvicorn": "web",
}

TRAINING_PATH = ("training", "data.stream", "data.cuts", "data.clusters", "geometry", "models", "physics")


def modules() -> dict[str, ast.Module]:
    """Every module of cbldm by its name below ``cbldm``; the package itself is ``__init__``."""
    trees = {}
    for path in sorted((SOURCE / "cbldm").rglob("*.py")):
        parts = path.relative_to(SOURCE / "cbldm").with_suffix("").parts
        name = ".".join(parts if len(parts) == 1 or parts[-1] != "__init__" else parts[:-1])
        trees[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return trees


def imported(trees: dict[str, ast.Module], module: str, *, at_import_only: bool = False) -> set[str]:
    """Names that ``module`` imports: those of cbldm as in ``trees`` with a leading dot, others by their first part.

    Args:
        trees: Every module of cbldm.
        module: One of them.
        at_import_only: Leave out imports inside functions and for type checkers.
    """
    found = set()
    todo = list(trees[module].body)
    while todo:
        node = todo.pop()
        if at_import_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if at_import_only and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {internal(trees, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = absolute(trees, module, node)
            found |= {internal(trees, f"{base}.{alias.name}") for alias in node.names}
        todo += ast.iter_child_nodes(node)
    return found - {f".{module}"}


def absolute(trees: dict[str, ast.Module], module: str, node: ast.ImportFrom) -> str:
    """The absolute name of the module that ``node`` in ``module`` imports from."""
    if not node.level:
        return node.module
    is_package = module == "__init__" or any(name.startswith(f"{module}.") for name in trees)
    parts = ["cbldm", *([] if module == "__init__" else module.split("."))]
    package = parts[: len(parts) - node.level + is_package]
    return ".".join(package + ([node.module] if node.module else []))


def internal(trees: dict[str, ast.Module], name: str) -> str:
    """``.physics.debye`` for ``cbldm.physics.debye.debye_gr``; ``numpy`` for ``numpy.linalg``."""
    top, *rest = name.split(".")
    if top != "cbldm":
        return top
    while rest and ".".join(rest) not in trees:
        rest.pop()
    return "." + (".".join(rest) or "__init__")


def part(module: str) -> str | None:
    """The longest prefix of ``module`` in `ALLOWED`, or None."""
    names = module.split(".")
    prefixes = (".".join(names[:n]) for n in range(len(names), 0, -1))
    return next((prefix for prefix in prefixes if prefix in ALLOWED), None)


def direction_faults(trees: dict[str, ast.Module]) -> list[str]:
    """One line for each import of cbldm by cbldm that `ALLOWED` does not list."""
    return [
        f"{module} imports {target[1:]}"
        for module in trees
        for target in sorted(imported(trees, module))
        if target.startswith(".")
        and part(target[1:]) != part(module)
        and part(target[1:]) not in ALLOWED.get(part(module), set())
    ]


def reached_at_import(trees: dict[str, ast.Module], module: str) -> set[str]:
    """Everything that importing ``module`` imports, through cbldm, parent packages left out."""
    reached, todo = set(), {f".{module}"}
    while todo:
        name = todo.pop()
        reached.add(name)
        if name.startswith("."):
            todo |= imported(trees, name[1:], at_import_only=True) - reached
    return reached


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    return modules()


def test_every_module_has_a_place(trees):
    assert [module for module in trees if part(module) is None] == []


def test_imports_go_one_way(trees):
    assert direction_faults(trees) == []


def test_no_import_cycle(trees):
    graph = {module: {name[1:] for name in imported(trees, module) if name.startswith(".")} for module in trees}
    TopologicalSorter(graph).prepare()


def test_third_party_imports_are_declared(trees):
    for module in trees:
        third_party = {name for name in imported(trees, module) if not name.startswith(".")} - sys.stdlib_module_names
        undeclared = {name for name in third_party - CORE if EXTRA.get(name) != part(module)}
        assert undeclared == set(), f"{module} imports what is neither core nor its own extra"


def test_core_install_imports_no_extra(trees):
    for module in {"__init__", "__main__", "cli"} & trees.keys():
        assert reached_at_import(trees, module) & EXTRA.keys() == set(), f"importing {module} needs an extra"


def test_nothing_is_unpickled(trees):
    """A file can then make cbldm wrong at worst, and never make it do something."""
    doors = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    calls = {"torch.load", "torch.jit.load", "np.load", "numpy.load", "eval", "exec", "pd.read_pickle"}
    for module, tree in trees.items():
        assert imported(trees, module) & doors == set(), module
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in calls:
                assert "allow_pickle=False" in ast.unparse(node), f"{module}: {ast.unparse(node)}"


def test_training_path_starts_without_ase(trees):
    for module in trees:
        if any(module == name or module.startswith(f"{name}.") for name in TRAINING_PATH):
            assert "ase" not in reached_at_import(trees, module), f"importing {module} imports ase"


def test_the_command_line_starts_without_what_is_slow():
    """Help and a wrong option are answered in a fraction of the second that torch alone takes."""
    words = "import sys, cbldm.cli; print(*sorted(sys.modules.keys() & {'torch', 'matplotlib', 'scipy', 'ase'}))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("command", [("info",), ("solve",), ("refine", "there.xyz")])
def test_a_misspelt_name_is_told_without_torch(command, tmp_path):
    (tmp_path / "there.xyz").write_text("2\n\nPt 0 0 0\nPt 0 0 2.77\n")
    words = "import sys, cbldm.cli\ntry: cbldm.cli.main()\nfinally: print('torch' in sys.modules)"
    call = [sys.executable, "-c", words, *command, "missing.gr"]
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert "'missing.gr' is not there" in done.stderr


def test_faults_are_found():
    def parse(**sources: str) -> dict[str, ast.Module]:
        return {name.replace("_of_", "."): ast.parse(source) for name, source in sources.items()}

    trees = parse(
        errors="",
        models="",
        models_of_vae="from ..data import files\nfrom . import prior",
        models_of_prior="def f():\n    import cbldm.physics.debye",
        data="",
        data_of_files="import ase.io",
        data_of_stream="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ase\nfrom .files import x",
        physics="",
        physics_of_debye="from cbldm.errors import InputError",
        report="from cbldm.models.vae import Vae",
    )
    assert direction_faults(trees) == [
        "models.vae imports data.files",
        "models.prior imports physics.debye",
        "report imports models.vae",
    ]
    assert "ase" not in imported(trees, "data.stream", at_import_only=True)
    assert "ase" in reached_at_import(trees, "data.stream")
