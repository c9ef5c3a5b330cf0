"""The command line: a thin layer that reads options, shows progress and turns errors into one line and exit code 2."""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from cbldm.errors import CbldmError, InputError
from cbldm.options import MODEL_SOURCES, Options

# Every command imports what it needs where it runs: help and a wrong option must not wait for torch.
if TYPE_CHECKING:
    from cbldm.pipeline import Watcher
    from cbldm.types import Pdf

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Ranked 3D structures of metal nanoparticles from a pair distribution function.",
)


def _console() -> Console:
    """Standard error: in a log 120 columns wide, and without escape codes where ``NO_COLOR`` asks for none."""
    # By itself rich would leave out the colours then, but not bold type.
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(stderr=True, width=None if sys.stderr.isatty() else 120, color_system=None if plain else "auto")


#: Everything for people goes here; standard output carries only what was asked for.
console = _console()

Element = Annotated[str | None, typer.Option(help="Chemical symbol; from the header where not given.")]
Qmin = Annotated[float | None, typer.Option(help="Lower end of the Fourier integral, Å⁻¹.")]
Qmax = Annotated[float | None, typer.Option(help="Upper end of the Fourier integral, Å⁻¹.")]
Qdamp = Annotated[float | None, typer.Option(help="Damping by the resolution, Å⁻¹.")]
Qbroad = Annotated[float | None, typer.Option(help="Broadening by the resolution, Å⁻¹.")]
Rmin = Annotated[float | None, typer.Option(help="Start of the fitted range, Å.")]
Rmax = Annotated[float | None, typer.Option(help="End of the fitted range, Å.")]
BackgroundTerms = Annotated[
    int | None, typer.Option(help="Terms of a smooth background, as ligands make it; none where not given.")
]
InstrumentFile = Annotated[
    Path | None, typer.Option(help="Qdamp and Qbroad from a file that calibrate wrote; options beat it.")
]
RUnit = Annotated[str | None, typer.Option(help="Unit of r in the file, A or nm; by its label where not given.")]
From = Annotated[
    str,
    typer.Option(
        help="cbldm (the model), library (templates up to 3000 atoms), textbook (textbook shapes up to 256 atoms) or "
        "all (the model and the library)."
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of every random draw.")]
Json = Annotated[bool, typer.Option("--json", help="Print results.json to standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress, settings or tables.")]


def main() -> None:
    """Run the command line; what a user can mend ends in one line and exit code 2."""
    try:
        app()
    except CbldmError as error:
        print(f"cbldm: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def _unit(text: str | None) -> Literal["A", "nm"] | None:
    units: dict[str | None, Literal["A", "nm"] | None] = {None: None, "A": "A", "nm": "nm"}
    if text in units:
        return units[text]
    raise InputError(f"--r-unit must be A or nm, got {text!r}")


def _span(text: str | None) -> tuple[int, int] | None:
    """Read LO-HI or a single count."""
    if text is None:
        return None
    low, _, high = text.partition("-")
    try:
        return int(low), int(high or low)
    except ValueError:
        raise InputError(f"--n-atoms must be a number or LO-HI, as 100-200, got {text!r}") from None


@contextmanager
def _watching(quiet: bool) -> Iterator[Watcher]:
    """A progress bar of the stages."""
    columns = (TextColumn("{task.description:<8}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet, transient=True) as bar:
        tasks = {}

        def watch(stage: str, done: float) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=1.0)
            bar.update(tasks[stage], completed=done)

        yield watch


def _show_settings(pdf: Pdf) -> None:
    from cbldm.data.pdf_settings import settings_table

    table = Table(title=f"{pdf.file} ({pdf.dialect}): what is used, and where it comes from", title_justify="left",
                  box=SIMPLE_HEAD)  # fmt: skip
    for name in ("setting", "value", "from", "note"):
        table.add_column(name)
    for row in settings_table(pdf):
        table.add_row(row.name, f"{row.value} {row.unit}".strip(), row.source, row.note)
    console.print(table)


@app.command("solve")
def solve_command(
    file: Annotated[Path, typer.Argument(help="A G(r) file.")],
    element: Element = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; FILE_cbldm beside the file by default.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Structures drawn from the model.")] = 64,
    candidates: Annotated[int, typer.Option(help="Structures shown.")] = 10,
    n_atoms: Annotated[str | None, typer.Option(help="Allowed atom counts, LO-HI.")] = None,
    qmin: Qmin = None,
    qmax: Qmax = None,
    qdamp: Qdamp = None,
    qbroad: Qbroad = None,
    instrument: InstrumentFile = None,
    rmin: Rmin = None,
    rmax: Rmax = None,
    background: BackgroundTerms = None,
    r_unit: RUnit = None,
    fit_qdamp: Annotated[bool, typer.Option("--fit-qdamp", help="Fit Qdamp too; it trades off with the size.")] = False,
    source: From = "cbldm",
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    weights: Annotated[Path | None, typer.Option(help="Folder of a trained model; the shipped one by default.")] = None,
    report: Annotated[bool, typer.Option(help="Write report.html, which shows everything in a browser.")] = True,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """PDF in, ranked structures out."""
    options: dict[str, Any] = {
        "samples": samples, "candidates": candidates, "n_atoms": _span(n_atoms), "source": source, "seed": seed,
        "device": device, "fit_qdamp": fit_qdamp, "weights": weights,
    }  # fmt: skip
    Options(**options)

    from cbldm.data.pdf_files import read_pdf
    from cbldm.data.pdf_settings import require_metal
    from cbldm.report.terminal import show_solution
    from cbldm.results import answer, check_folder, posterior, results_text, write_solution

    folder = out or file.with_name(f"{file.stem}_cbldm")
    check_folder(folder)
    pdf = read_pdf(file, element=element, qmin=qmin, qmax=qmax, qdamp=qdamp, qbroad=qbroad, rmin=rmin, rmax=rmax,
                   background=background, r_unit=_unit(r_unit), instrument=instrument)  # fmt: skip
    require_metal(pdf)
    if not quiet:
        _show_settings(pdf)

    from cbldm.pipeline import solve

    with _watching(quiet) as watch:
        solution = solve(pdf, watch=watch, **options)
    write_solution(solution, folder, report=report)
    if not quiet:
        show_solution(console, solution, answer=answer(solution.candidates),
                      posterior=posterior(solution.candidates), folder=folder)  # fmt: skip
    if as_json:
        sys.stdout.write(results_text(solution))


@app.command("plot")
def plot_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that solve wrote.")],
    what: Annotated[str, typer.Option(help="fit, structures or posterior.")] = "fit",
    form: Annotated[
        str | None, typer.Option("--format", help="png, svg or pdf; that of the output's name, else pdf.")
    ] = None,
    style: Annotated[str | None, typer.Option(help="A .mplstyle file, or the name of a matplotlib style.")] = None,
    candidate: Annotated[
        int | None, typer.Option(help="Rank of the one that is drawn; the best fit, all structures where not given.")
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="Inches; 3.4 (one column), for structures 7 (two) where not given.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write; WHAT.FORMAT here by default.")
    ] = None,
) -> None:
    """A figure for a publication from the results of solve."""
    from cbldm.report.plots import check_figure, draw_figure

    form = form or ("pdf" if output is None or not output.suffix else output.suffix[1:].lower())
    check_figure(what, form, width)

    from cbldm.results import posterior
    from cbldm.saved import read_candidates

    candidates = read_candidates(folder)
    path = output or Path(f"{what}.{form}")
    draw_figure(what, candidates, posterior(candidates), path, form=form, style=style, rank=candidate, width=width)
    console.print(f"written to {path}", highlight=False)


@app.command("info")
def info_command(
    file: Annotated[Path, typer.Argument(help="A G(r) file.")],
    element: Element = None,
    qmin: Qmin = None,
    qmax: Qmax = None,
    qdamp: Qdamp = None,
    qbroad: Qbroad = None,
    instrument: InstrumentFile = None,
    rmin: Rmin = None,
    rmax: Rmax = None,
    r_unit: RUnit = None,
    as_json: Json = False,
) -> None:
    """What was read from a file, the nearest-neighbour distance and the expected size."""
    from cbldm.data.pdf_files import read_pdf

    pdf = read_pdf(file, element=element, qmin=qmin, qmax=qmax, qdamp=qdamp, qbroad=qbroad, rmin=rmin, rmax=rmax,
                   r_unit=_unit(r_unit), instrument=instrument)  # fmt: skip

    from cbldm.pipeline import inspect_pdf

    found = inspect_pdf(pdf)
    if as_json:
        settings = {name: {"value": s.value, "source": s.source, "note": s.note} for name, s in pdf.settings.items()}
        found = {"file": pdf.file, "sha256": pdf.sha256, "dialect": pdf.dialect, "settings": settings} | found
        sys.stdout.write(json.dumps(found | {"warnings": list(pdf.warnings)}, indent=2, ensure_ascii=False) + "\n")
        return
    out = Console()
    _show_settings(pdf)
    step = float(statistics.median(pdf.r[1:] - pdf.r[:-1]))
    out.print(f"data: {len(pdf.r)} points, {pdf.r[0]:g} to {pdf.r[-1]:g} Å, step {step:g} Å", highlight=False)
    out.print(f"nearest-neighbour distance: {found['dnn']:.3f} Å (first peak)", highlight=False)
    low, middle, high = found["n_atoms"]
    out.print(f"expected size: {middle} atoms (90 % between {low} and {high})", highlight=False)
    motifs = ", ".join(f"{name} {share:.0%}" for name, share in found["motif"].items() if share >= 0.01)
    out.print(f"motif: {motifs}", highlight=False)
    for warning in [*pdf.warnings, *found["advice"]]:
        out.print(f"note: {warning}", highlight=False)


@app.command("refine")
def refine_command(
    structure: Annotated[Path, typer.Argument(help="A structure file of one cluster.")],
    file: Annotated[Path, typer.Argument(help="A G(r) file.")],
    out: Annotated[Path | None, typer.Option(help="Folder for refined.xyz and refined.fgr.")] = None,
    qmin: Qmin = None,
    qmax: Qmax = None,
    qdamp: Qdamp = None,
    qbroad: Qbroad = None,
    instrument: InstrumentFile = None,
    rmin: Rmin = None,
    rmax: Rmax = None,
    background: BackgroundTerms = None,
    r_unit: RUnit = None,
    fit_qdamp: Annotated[bool, typer.Option("--fit-qdamp", help="Fit Qdamp too; it trades off with the size.")] = False,
    rigid: Annotated[bool, typer.Option("--rigid", help="Fit scale, stretch, Uiso and delta2 only.")] = False,
) -> None:
    """Fit a structure that you have to a PDF."""
    from cbldm.data.pdf_files import read_pdf
    from cbldm.data.structure_files import read_structure, write_fgr, write_xyz

    atoms = read_structure(structure)
    pdf = read_pdf(file, element=atoms.get_chemical_symbols()[0], qmin=qmin, qmax=qmax, qdamp=qdamp, qbroad=qbroad,
                   rmin=rmin, rmax=rmax, background=background, r_unit=_unit(r_unit),
                   instrument=instrument)  # fmt: skip
    _show_settings(pdf)

    from cbldm.ligands import background_note
    from cbldm.pipeline import QDAMP_DOUBT, refine_structure
    from cbldm.rescue import not_rescued

    candidate = refine_structure(pdf, atoms, fit_qdamp=fit_qdamp, rigid=rigid)
    if fit_qdamp:
        console.print(f"note: {QDAMP_DOUBT}", highlight=False)
    p = candidate.parameters
    Console().print(
        f"Rw {candidate.rw:.4f}, {candidate.n_atoms} atoms, {candidate.motif}, scale {p['scale']:.4f}, "
        f"stretch {p['stretch']:.4f}, Uiso {p['uiso']:.4f} Å², delta2 {p['delta2']:.2f} Å², "
        f"qdamp {p['qdamp']:.4f} Å⁻¹, "
        f"atoms moved {candidate.moved_median:.3f} Å (median), {candidate.moved_max:.3f} Å (max)",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    if (note := background_note(pdf, candidate.fit)) is not None:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    if not rigid and (doubt := not_rescued(candidate)) is not None:
        console.print(f"note: {doubt}", highlight=False, soft_wrap=True)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_xyz(out / "refined.xyz", candidate.atoms)
        write_fgr(out / "refined.fgr", candidate.fit, {"element": pdf.element, "rw": candidate.rw})


@app.command("calibrate")
def calibrate_command(
    file: Annotated[Path, typer.Argument(help="The G(r) of a bulk crystal of one element.")],
    element: Element = None,
    lattice: Annotated[
        str | None, typer.Option(help="fcc, bcc, hcp or diamond; that of the element where not given.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The TOML file to write.")] = Path("instrument.toml"),
    qmin: Qmin = None,
    qmax: Qmax = None,
    rmin: Rmin = None,
    rmax: Annotated[
        float | None, typer.Option(help="End of the fitted range, Å; that of the data where not given, at most 60.")
    ] = None,
    r_unit: RUnit = None,
) -> None:
    """Qdamp and Qbroad of an instrument, from the PDF of a bulk standard."""
    from cbldm.calibrate import calibrate
    from cbldm.data.instrument_files import check_replaceable
    from cbldm.data.pdf_files import read_pdf
    from cbldm.data.structure_files import write_text

    check_replaceable(output)
    pdf = read_pdf(file, element=element, qmin=qmin, qmax=qmax, rmin=rmin, rmax=rmax, r_unit=_unit(r_unit))
    found = calibrate(pdf, lattice)
    write_text(output, found.text())
    settings = found.pdf.settings
    units = {"qdamp": "Å⁻¹", "qbroad": "Å⁻¹", "a": "Å", "c": "Å", "uiso": "Å²", "delta2": "Å²", "scale": ""}
    table = Table(title=f"{pdf.file}: bulk {found.lattice} {pdf.element}", title_justify="left", box=SIMPLE_HEAD)
    for name in ("parameter", "value", "uncertainty", "unit"):
        table.add_column(name, justify="right" if name in ("value", "uncertainty") else "left")
    for name, value in found.values.items():
        known = found.uncertainties.get(name)
        table.add_row(name, f"{value:.5g}", "fixed" if known is None else f"{known:.1g}", units[name])
    out = Console()
    out.print(table)
    correlation = "" if found.correlation is None else f", correlation of qdamp and qbroad {found.correlation:.2f}"
    used = "r {rmin:g} to {rmax:g} Å, Q {qmin:g} to {qmax:g} Å⁻¹".format(**{k: s.value for k, s in settings.items()})
    out.print(f"Rw {found.fit.rw:.4f} on {used}{correlation}", highlight=False, soft_wrap=True)
    for warning in found.warnings:
        out.print(f"note: {warning}", highlight=False, soft_wrap=True)
    console.print(f"written to {output}", highlight=False)


@app.command("simulate")
def simulate_command(
    structure: Annotated[Path, typer.Argument(help="A structure file of one cluster.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .gr file to write.")],
    qmin: Annotated[float, typer.Option(help="Å⁻¹")] = 0.8,
    qmax: Annotated[float, typer.Option(help="Å⁻¹")] = 25.0,
    qdamp: Annotated[float, typer.Option(help="Å⁻¹")] = 0.03,
    qbroad: Annotated[float, typer.Option(help="Å⁻¹")] = 0.0,
    uiso: Annotated[float, typer.Option(help="Å²")] = 0.006,
    delta2: Annotated[float, typer.Option(help="Å²")] = 0.0,
    rmax: Annotated[float, typer.Option(help="Å")] = 30.0,
    rstep: Annotated[float, typer.Option(help="Å")] = 0.01,
    noise_floor: Annotated[float, typer.Option(help="Rw between the noisy and the noise-free PDF.")] = 0.0,
    seed: Seed = 0,
) -> None:
    """The PDF of a structure, with the effects of the instrument and noise."""
    from cbldm.data.structure_files import read_structure, write_gr
    from cbldm.simulate import simulate_structure

    atoms = read_structure(structure)
    r, g, metadata = simulate_structure(
        atoms, qmin=qmin, qmax=qmax, qdamp=qdamp, qbroad=qbroad, uiso=uiso, delta2=delta2, rmax=rmax, rstep=rstep,
        noise_floor=noise_floor, seed=seed,
    )  # fmt: skip
    write_gr(output, r, g, metadata)
    console.print(f"written to {output}: {len(r)} points, {len(atoms)} atoms", highlight=False)


@app.command("train")
def train_command(
    config: Annotated[str, typer.Argument(help="A TOML file, or the name of a config that ships, as cpu.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints, curve and weights; runs/NAME by default.")
    ] = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(help="Number of devices.")] = 1,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long; the same command goes on.")] = None,
    quiet: Quiet = False,
) -> None:
    """Train a model from nothing, or go on where a run stopped."""
    try:
        from cbldm.training import read_config, train
    except ModuleNotFoundError as error:
        raise InputError(f"training needs {error.name}: pip install 'cbldm[train]'") from error
    if minutes is not None and not minutes > 0:
        raise InputError(f"minutes must be above 0, got {minutes:g}")
    settings = read_config(config)
    folder = out or Path("runs") / settings.name
    weights = train(settings, folder, accelerator=accelerator, devices=devices, minutes=minutes or math.inf,
                    quiet=quiet)  # fmt: skip
    said = f"stopped with a checkpoint in {folder}" if weights is None else f"weights written to {weights}"
    console.print(said, highlight=False)


@app.command("evaluate")
def evaluate_command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SET", help="textbook, offlibrary, large, or seen: textbook shapes of the training split."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for cases.jsonl, report.json and pictures; a run is resumed.")],
    source: From = "cbldm",
    floor: Annotated[
        list[float] | None, typer.Option(help="Noise floor (Rw), once or more often; else 0, 0.05, 0.1 and 0.2.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Cases per floor at most.")] = None,
    samples: Annotated[int, typer.Option(help="Structures drawn per PDF.")] = 64,
    seed: Seed = 0,
    weights: Annotated[Path | None, typer.Option(help="Folder of a trained model.")] = None,
    quiet: Quiet = False,
) -> None:
    """Score the solver on clusters of known structure whose shapes no training has seen."""
    from cbldm.data.evaluation_sets import case_keys
    from cbldm.data.structure_files import write_text
    from cbldm.evaluation import FLOORS, evaluate
    from cbldm.models.checkpoint import load_weights
    from cbldm.pipeline import SOURCES, solve
    from cbldm.report.calibration_figure import draw_calibration
    from cbldm.report.evaluation_figure import draw_evaluation
    from cbldm.report.evaluation_tables import calibration_table, score_table

    case_keys(name, limit, seed)  # refuses what is not there before anything is shown

    options: dict[str, Any] = {"source": source, "samples": samples, "seed": seed, "weights": weights}
    Options(**options)
    solver = f"{SOURCES[source]}, seed {seed}"
    if source in MODEL_SOURCES:
        _, model = load_weights(weights)  # damaged weights are no fault of the cases
        solver += f", {samples} samples of {model['name']} ({model['sha256'][:8]})"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, disable=quiet) as bar:
        task = bar.add_task(f"{name}: PDFs", total=None)
        report = evaluate(
            name,
            solve=lambda pdf: solve(pdf, **options),
            floors=tuple(floor or FLOORS),
            limit=limit,
            seed=seed,
            solver=solver,
            out=out,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    content = report.to_dict()
    write_text(out / "report.json", json.dumps(content, indent=2) + "\n")
    draw_evaluation(content, out / "report.png")
    draw_calibration(content, out / "calibration.png")
    screen = Console(width=None if sys.stdout.isatty() else 160)
    screen.print(score_table(content))
    screen.print(calibration_table(content))
