"""Solutions and candidates in a notebook: the views that `cbldm.types` names."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from cbldm.data.structure_files import write_fgr, write_xyz
from cbldm.report.candidate_page import candidate_page, frame
from cbldm.report.plots import paper_style, plot_fit
from cbldm.results import report_text
from cbldm.types import Candidate, Solution

#: Heights in pixels of a report, of a fit beside a structure, and of a structure.
REPORT, CANDIDATE, STRUCTURE = 900, 560, 540


def solution_html(solution: Solution) -> str:
    """The report in a frame."""
    return frame(report_text(solution), f"{solution.pdf.file or 'arrays'}: cbldm report", REPORT)


def candidate_html(candidate: Candidate) -> str:
    """The fit and the structure of a candidate in a frame."""
    return _frame(candidate, fit=True)


@dataclass(frozen=True)
class StructureView:
    """A structure that a notebook shows and lets the reader turn.

    Attributes:
        candidate: Whose structure.
    """

    candidate: Candidate

    def _repr_html_(self) -> str:
        return _frame(self.candidate, fit=False)


def structure(candidate: Candidate) -> StructureView:
    """The structure of a candidate, to be turned."""
    return StructureView(candidate)


def fit_figure(candidate: Candidate, width: float) -> Figure:
    """The fit of a candidate as `cbldm plot` draws it, ``width`` inches wide."""
    with paper_style():
        return plot_fit(candidate, width)


def _frame(candidate: Candidate, *, fit: bool) -> str:
    with tempfile.TemporaryDirectory() as place:
        xyz, fgr = Path(place) / "structure.xyz", Path(place) / "fit.fgr"
        write_xyz(xyz, candidate.atoms)
        write_fgr(fgr, candidate.fit, {})
        name = f"{candidate.rank:02d}"
        files = {f"candidates/{name}.xyz": xyz.read_bytes(), f"fits/{name}.fgr": fgr.read_bytes()}
    page = candidate_page(candidate, files, fit=fit)
    return frame(page, f"Candidate {candidate.rank}", CANDIDATE if fit else STRUCTURE)
