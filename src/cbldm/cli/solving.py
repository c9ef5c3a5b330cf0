"""The options of solving, listed once: every command that solves takes them all."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from cbldm.cli.shared import (
    BackgroundTerms,
    Element,
    FitQdamp,
    From,
    InstrumentFile,
    Qbroad,
    Qdamp,
    Qmax,
    Qmin,
    Rmax,
    Rmin,
    RUnit,
    Seed,
    SurfaceUiso,
    span,
    unit,
)
from cbldm.options import Options


@dataclass(frozen=True)
class Solving:
    """What the user may say about the data and about the search, as typed."""

    element: Element = None
    samples: Annotated[int, typer.Option(help="Structures drawn from the model.")] = 64
    candidates: Annotated[int, typer.Option(help="Structures shown.")] = 10
    n_atoms: Annotated[str | None, typer.Option(help="Allowed atom counts, LO-HI.")] = None
    qmin: Qmin = None
    qmax: Qmax = None
    qdamp: Qdamp = None
    qbroad: Qbroad = None
    instrument: InstrumentFile = None
    rmin: Rmin = None
    rmax: Rmax = None
    background: BackgroundTerms = None
    r_unit: RUnit = None
    fit_qdamp: FitQdamp = False
    fit_surface_uiso: SurfaceUiso = False
    source: From = "cbldm"
    seed: Seed = 0
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto"
    weights: Annotated[Path | None, typer.Option(help="Folder of a trained model; the shipped one by default.")] = None
    report: Annotated[bool, typer.Option(help="Write report.html, which shows everything in a browser.")] = True

    def reading(self) -> dict[str, Any]:
        """What `cbldm.data.pdf_files.read_pdf` is told.

        Raises:
            InputError: There is no such unit of r.
        """
        names = ("element", "qmin", "qmax", "qdamp", "qbroad", "rmin", "rmax", "background", "instrument")
        return {name: getattr(self, name) for name in names} | {"r_unit": unit(self.r_unit)}

    def choices(self) -> dict[str, Any]:
        """What `cbldm.pipeline.solve` is told, checked.

        Raises:
            InputError: A value is out of range.
        """
        names = ("samples", "candidates", "source", "seed", "device", "fit_qdamp", "fit_surface_uiso", "weights")
        chosen = {name: getattr(self, name) for name in names} | {"n_atoms": span(self.n_atoms)}
        Options(**chosen)
        return chosen


def takes_solving(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command every option of `Solving`, in the place of its parameter ``solving``."""
    names = [field.name for field in fields(Solving)]

    @functools.wraps(command)
    def with_options(**words: Any) -> None:
        solving = Solving(**{name: words.pop(name) for name in names})
        command(solving=solving, **words)

    kind = inspect.Parameter.KEYWORD_ONLY
    types = get_type_hints(Solving, include_extras=True)
    options = [
        inspect.Parameter(field.name, kind, default=field.default, annotation=types[field.name])
        for field in fields(Solving)
    ]
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        parameters += options if name == "solving" else [parameter.replace(kind=kind)]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return with_options
