"""README.md says nothing that is not so: its commands parse, its targets exist, its Python runs."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(language, body) for language, body in FENCE.findall(README)]
PYTHON = [body for language, body in BLOCKS if language == "python"]
COMMANDS = [
    line
    for language, body in BLOCKS
    if language == "bash"
    for line in body.replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]
OTHERS = {".venv/bin/pip install", ".venv/bin/pre-commit install"}
INPUTS = {".gr", ".xyz", ".cif", ".txt"}


def parse(words: list[str], folder: Path) -> None:
    """Parses ``words`` as `cbldm` would, without running them, in ``folder`` with the input files there."""
    import typer

    from cbldm.cli import app

    for word in words:
        if Path(word).suffix in INPUTS:
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            (folder / word).touch()
    group = typer.main.get_command(app)
    with group.make_context("cbldm", list(words)) as context:
        name, command, rest = group.resolve_command(context, list(words))
        command.make_context(name, rest, parent=context)


def test_blocks_say_their_language():
    assert {language for language, _ in BLOCKS} <= {"bash", "python", "text", "json"}
    assert COMMANDS
    assert PYTHON


@pytest.mark.parametrize("line", COMMANDS)
def test_command_exists(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line, comments=True)
    if Path(words[0]).name == "cbldm":
        parse(words[1:], tmp_path)
    elif words[0] == "make":
        makefile = (ROOT / "Makefile").read_text()
        names = [word.partition("=")[0] for word in words[1:]]
        assert all(re.search(rf"^{re.escape(name)}(:| [?:]=)", makefile, re.MULTILINE) for name in names)
    else:
        assert any(line.startswith(other) for other in OTHERS)


def test_options_in_the_text_exist():
    import typer

    from cbldm.cli import app

    group = typer.main.get_command(app)
    known = {name for command in group.commands.values() for param in command.params for name in param.opts}
    known |= {name for command in group.commands.values() for param in command.params for name in param.secondary_opts}
    text = FENCE.sub("", README)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - {"--help"}
    assert named <= known
    commands = set(re.findall(r"`cbldm ([a-z]+)", text))
    assert commands <= set(group.commands)


@pytest.mark.slow
@pytest.mark.parametrize("source", PYTHON)
def test_python_runs(source, monkeypatch):
    monkeypatch.chdir(ROOT)
    exec(compile(source, "README.md", "exec"), {})


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_link_leads_somewhere(path):
    assert (ROOT / path).exists()
