"""The notebooks run as they are, and were run: what they show is small, and no cell of it failed."""

from pathlib import Path

import nbformat
import pytest
from run_notebooks import LEFT_OUT, run

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


def kinds(notebook) -> list[list[set[str]]]:
    """What each cell of code showed: the forms of each output, or the name of the stream."""
    return [
        [set(output.get("data", {})) or {output.get("name", output.output_type)} for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_there_are_notebooks():
    assert {path.stem for path in EXAMPLES} >= {"first_steps", "series"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_notebook_was_run_and_is_small(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert path.stat().st_size < 1_000_000
    assert "<iframe" not in path.read_text(encoding="utf-8")
    shown = [form for cell in kinds(notebook) for output in cell for form in output]
    assert "image/png" in shown
    assert "error" not in shown
    assert "stderr" not in shown


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_notebook_runs_and_shows_what_is_kept(path, tmp_path):
    notebook = run(path, tmp_path)
    assert kinds(notebook) == kinds(nbformat.read(path, as_version=4))
    if path.stem == "first_steps":
        texts = [
            output.data["text/plain"]
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if "data" in output
        ]
        assert texts.count(LEFT_OUT) == 1
