"""Run the notebooks in examples/ and keep what they show: ``python tools/run_notebooks.py``.

The notebooks are their own source. Pictures and text are kept; pages with scripts, as viewers of structures are, are
not, because no program shows those of a notebook that somebody else ran.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "examples"
#: Seconds that a cell may take.
PATIENCE = 600
#: What stands where a page was.
LEFT_OUT = "(run this cell to see and to turn it)"


def run(path: Path, folder: Path) -> Any:
    """The notebook with what its cells show.

    Args:
        path: The notebook.
        folder: Where its cells run and write.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": folder}},
                   record_timing=False, coalesce_streams=True).execute()  # fmt: skip
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "<iframe" in output.get("data", {}).get("text/html", ""):
                output.data = {"text/plain": LEFT_OUT}
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


if __name__ == "__main__":
    for place in sorted(FOLDER.glob("*.ipynb")):
        nbformat.write(run(place, FOLDER), place)  # type: ignore[no-untyped-call]
        print(f"{place.name}: {place.stat().st_size / 1000:.0f} kB")
