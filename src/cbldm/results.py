"""A solution on disk: results.json, structures, fits and pictures."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbldm.ambiguity import summarise
from cbldm.errors import InputError
from cbldm.report.posterior import Posterior
from cbldm.types import Candidate, Solution

if TYPE_CHECKING:
    from cbldm.report.painter import Painter

#: Version of the layout of results.json.
SCHEMA_VERSION = 1
#: What `write_solution` makes; a folder that holds nothing else may be written again.
CONTENTS = {"results.json", "report.html", "candidates", "fits", "fit.png", "structures.png"}


def results(solution: Solution) -> dict[str, Any]:
    """Everything about a solution as plain values: the content of results.json."""
    pdf = solution.pdf
    settings = {
        name: {"value": setting.value, "source": setting.source} | ({"note": setting.note} if setting.note else {})
        for name, setting in pdf.settings.items()
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "cbldm_version": version("cbldm"),
        "input": {"file": pdf.file, "sha256": pdf.sha256, "dialect": pdf.dialect}
        | settings
        | {"metadata": dict(pdf.metadata)},
        "model": dict(solution.model),
        "seed": solution.seed,
        "device": solution.device,
        "seconds": {name: round(value, 3) for name, value in solution.seconds.items()},
        "estimates": dict(solution.estimates),
        "rejected": dict(solution.rejected),
        "warnings": list(solution.warnings),
        "flags": [asdict(flag) | {"value": round(flag.value, 4)} for flag in solution.flags],
        "ambiguity": _ambiguity(solution),
        "candidates": [_entry(candidate) for candidate in solution.candidates],
    }


def _ambiguity(solution: Solution) -> dict[str, Any] | None:
    if not solution.candidates:
        return None
    found = summarise(solution.candidates)
    return {
        "equivalents": found.equivalents,
        "words": found.words,
        "motif": {name: round(share, 4) for name, share in found.motif.items()},
        "n_atoms": {f"{level:g}": list(ends) for level, ends in found.n_atoms.items()},
    }


def _entry(candidate: Candidate) -> dict[str, Any]:
    parameters = candidate.parameters
    distance = candidate.rmsd_to_rank1
    return {
        "rank": candidate.rank,
        "file": f"candidates/{candidate.rank:02d}.xyz",
        "source": candidate.source,
        "group": candidate.group,
        "weight": round(candidate.weight, 4),
        "n_atoms": candidate.n_atoms,
        "motif": candidate.motif,
        "diameter_A": round(candidate.diameter, 3),
        "rw": round(candidate.rw, 5),
        "scale": round(parameters["scale"], 6),
        "stretch": round(parameters["stretch"], 6),
        "uiso_A2": round(parameters["uiso"], 6),
        "surface_uiso_A2": round(parameters["surface_uiso"], 6) if "surface_uiso" in parameters else None,
        "delta2_A2": round(parameters["delta2"], 4),
        "qdamp": round(parameters["qdamp"], 5),
        "background_share": round(candidate.fit.background_share, 5),
        "moved_median_A": round(candidate.moved_median, 4),
        "moved_max_A": round(candidate.moved_max, 4),
        "free_parameters": round(candidate.freedom, 1),
        "converged": candidate.converged,
        "rw_left_out": _number(candidate.rw_left_out),
        "rw_left_out_rigid": _number(candidate.rw_left_out_rigid),
        "rmsd_to_rank1_A": None if distance is None else round(distance, 4),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)


def answer(candidates: Sequence[Candidate]) -> str:
    """Candidates in a sentence."""
    return summarise(candidates).words if candidates else "no structure was found"


def posterior(candidates: Sequence[Candidate]) -> Posterior | None:
    """How likely each atom count and motif is; None without candidates."""
    if not candidates:
        return None
    found = summarise(candidates)
    return Posterior(dict(enumerate(found.count)), found.n_atoms, found.motif)


def results_text(solution: Solution) -> str:
    """results.json as text."""
    return json.dumps(results(solution), indent=2, ensure_ascii=False) + "\n"


def check_folder(out: Path) -> None:
    """Refuse a folder whose content is not ours, before any work is done.

    Raises:
        InputError: The path is a file, or a folder with other files in it.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {str(out)!r} is a file; a folder is needed")
    if out.is_dir():
        foreign = sorted({path.name for path in out.iterdir()} - CONTENTS)
        if foreign:
            raise InputError(
                f"--out {str(out)!r} holds {foreign[0]!r}, which cbldm did not write; choose another folder"
            )


def write_solution(solution: Solution, out: str | Path, *, report: bool = True, painter: Painter | None = None) -> Path:
    """Write a folder with results.json, candidates/NN.xyz and .cif, fits/NN.fgr, two pictures and report.html.

    The folder is filled beside its place and then moved there, so an earlier result is replaced whole or not at all.

    Args:
        solution: What `cbldm.solve` returned.
        out: The folder.
        report: Whether to write report.html.
        painter: A process that draws the pictures; they are drawn here where None.

    Returns:
        The folder.

    Raises:
        InputError: The folder holds foreign files or cannot be written.
    """
    out = Path(out)
    check_folder(out)
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))
        try:
            partial.chmod(0o755)
            _fill(solution, partial, report, painter)
            if out.exists():
                shutil.rmtree(out)
            partial.rename(out.absolute())
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise InputError(f"--out {str(out)!r} cannot be written: {error.strerror or type(error).__name__}") from error
    return out


def _fill(solution: Solution, folder: Path, report: bool, painter: Painter | None) -> None:
    # Seconds of imports, which no folder needs to be refused.
    from cbldm.data.structure_files import write_text
    from cbldm.parallel import each

    def write() -> None:
        _write_data(solution, folder)
        if report:
            write_text(folder / "report.html", _report_text(solution, folder))

    def draw() -> None:
        if solution.candidates and (painter is None or not painter.draw(solution, folder)):
            from cbldm.report.figures import draw_pictures

            draw_pictures(solution, folder)

    each(lambda job: job(), (draw, write))


def report_text(solution: Solution) -> str:
    """report.html as text, without a folder."""
    with tempfile.TemporaryDirectory() as place:
        _write_data(solution, Path(place))
        return _report_text(solution, Path(place))


def _write_data(solution: Solution, folder: Path) -> None:
    """Everything but pictures and pages."""
    from cbldm.data.structure_files import write_cif, write_fgr, write_text, write_xyz

    for name in ("candidates", "fits"):
        (folder / name).mkdir()
    instrument = solution.pdf.instrument
    for candidate in solution.candidates:
        name = f"{candidate.rank:02d}"
        labelled = candidate.atoms.copy()
        labelled.info = {"rank": candidate.rank, "motif": candidate.motif, "rw": round(candidate.rw, 5)}
        write_xyz(folder / "candidates" / f"{name}.xyz", labelled)
        write_cif(folder / "candidates" / f"{name}.cif", candidate.atoms)
        metadata = {
            "element": solution.pdf.element, "qmin": instrument.qmin, "qmax": instrument.qmax,
            "qdamp": candidate.parameters["qdamp"], "qbroad": instrument.qbroad,
            "scale": candidate.parameters["scale"], "uiso": candidate.parameters["uiso"],
            "delta2": candidate.parameters["delta2"], "rw": candidate.rw,
        }  # fmt: skip
        if "surface_uiso" in candidate.parameters:
            metadata["surface_uiso"] = candidate.parameters["surface_uiso"]
        if solution.pdf.n_background:
            metadata |= {"background": solution.pdf.n_background, "background_share": candidate.fit.background_share}
        write_fgr(folder / "fits" / f"{name}.fgr", candidate.fit, metadata)
    write_text(folder / "results.json", results_text(solution))


def _report_text(solution: Solution, folder: Path) -> str:
    """report.html as text, with the files in the folder inside."""
    from cbldm.data.pdf_settings import settings_table
    from cbldm.report.html import report_html

    carried = [path for path in sorted(folder.rglob("*")) if path.suffix in (".json", ".xyz", ".cif", ".fgr")]
    return report_html(
        solution,
        answer=answer(solution.candidates),
        posterior=posterior(solution.candidates),
        settings=settings_table(solution.pdf),
        files={path.relative_to(folder).as_posix(): path.read_bytes() for path in carried},
        version=version("cbldm"),
    )
