"""solve(): PDF -> estimates -> samples -> moves -> positions -> fits -> refinement -> ranking, in that order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from cbldm.data.nests import MOST as LARGEST
from cbldm.data.pdf_files import pdf_from_arrays, read_pdf
from cbldm.data.pdf_settings import require_metal
from cbldm.errors import InputError
from cbldm.first_peak import first_peak
from cbldm.geometry.frames import frame
from cbldm.geometry.laplacian import recover_from_affinity, recover_from_distances
from cbldm.geometry.matrices import DISTANCE_UNIT
from cbldm.geometry.motif import name_motif
from cbldm.geometry.poses import nearest_neighbour_distance
from cbldm.held_out import judged
from cbldm.library import TemplateLibrary, extended_library
from cbldm.ligands import background_note, ligand_advice
from cbldm.models.cbldm import CbLdm, Sample
from cbldm.models.checkpoint import load_weights
from cbldm.network_input import network_input
from cbldm.options import MODEL_SOURCES, Options, Source
from cbldm.parallel import beside, each, steady
from cbldm.rank import distinct, rank, scores
from cbldm.refine import FittedStructure, check_structure, fit_parameters
from cbldm.search.explore import Explored, explore
from cbldm.target import background_of, fit_range
from cbldm.types import MOTIFS, Candidate, Fit, FloatArray, Pdf, Solution
from cbldm.unfamiliar import SizeLimit, flags_of_data, flags_of_fits

#: What each source holds, in words: an evaluation that says so cannot be taken for one of another library.
SOURCES: dict[str, str] = {
    "cbldm": "cbldm",
    "library": f"library up to {LARGEST} atoms",
    "textbook": "textbook library up to 256 atoms",
    "all": f"cbldm and library up to {LARGEST} atoms",
}
#: Told the name of the stage that begins, and how far it has come (0 to 1).
Watcher = Callable[[str, float], None]

#: Denoiser calls per sample.
STEPS = 8
#: Fitted structures that go on to the refinement of positions, for each candidate asked for.
SPARE = 1.3
#: Samples that go through moves, for each candidate asked for, and at least.
FOLLOWED, LEAST_FOLLOWED = 1.6, 8
#: Raw samples that a solution keeps.
N_RAW = 10
#: Steps of each stage of the refinement: right structures take fewer, wrong ones are still bending after these.
MOST_ITERATIONS = 12
#: The same where there is one structure only, which the user chose.
THOROUGH = 60
#: Rounds of drawing at most, and the share of the candidates asked for below which there is another one: where the data
#: leave one structure only, more samples lead back to it.
ROUNDS, ENOUGH = 2, 0.3
#: Structures that are fitted, for each candidate asked for.
FITTED = 2.0
#: Rw above that of the best fit from which a structure is no candidate: where the data know better, a list is not
#: filled up with what they rule out.
HOPELESS = 0.2
#: What a user of --fit-qdamp must know.
QDAMP_DOUBT = (
    "size and Qdamp trade off: both lower G(r) at large r, so with Qdamp fitted the sizes are less certain; "
    "cbldm calibrate finds Qdamp from a bulk standard"
)
#: Largest structure whose positions are refined: time and memory grow with the third and second power of its size.
REFINED_TO = 400


@dataclass
class _Clock:
    """Seconds per stage."""

    watch: Watcher
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("load", "sample", "search", "recover", "refine", "rank"), 0.0)
    )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        self.watch(name, 0.0)
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start
        self.watch(name, 1.0)


@steady()
def solve(
    data: str | Path | tuple[ArrayLike, ArrayLike] | Pdf,
    *,
    element: str | None = None,
    qmin: float | None = None,
    qmax: float | None = None,
    qdamp: float | None = None,
    qbroad: float | None = None,
    rmin: float | None = None,
    rmax: float | None = None,
    background: int | None = None,
    instrument: str | Path | None = None,
    starts: Sequence[Atoms] = (),
    loaded: tuple[CbLdm, dict[str, str]] | None = None,
    watch: Watcher | None = None,
    **options: Any,
) -> Solution:
    """Structures that fit a PDF, ranked, by the method of CbLDM (arXiv 2509.01370).

    Args:
        data: A ``.gr`` file, arrays ``(r, G)`` in Å and Å⁻², or a `Pdf` that is already read.
        element: Chemical symbol; from the header where None.
        qmin: In Å⁻¹, like ``qmax``, ``qdamp`` and ``qbroad``; from the header or the default where None.
        qmax: See ``qmin``.
        qdamp: See ``qmin``.
        qbroad: See ``qmin``.
        rmin: Start of the fitted range in Å.
        rmax: End of the fitted range in Å.
        background: Terms of a smooth background that is fitted beside the structures, for ligands; none where None.
        instrument: A file of `cbldm calibrate` with Qdamp and Qbroad, which beat the header's.
        starts: Structures that join those that are found, as the candidates of a neighbour in a series: fitted, refined
            and ranked with them; their source is ``neighbour``. Those beyond ``n_atoms`` are left out.
        loaded: The weights as `load_weights` returned them, where many PDFs are solved; read from disk where None.
        watch: Told of every stage, for progress bars.
        **options: Fields of `Options`: ``samples``, ``candidates``, ``n_atoms``, ``source``, ``seed``, ``device``,
            ``fit_qdamp``, ``fit_surface_uiso``, ``weights``.

    Returns:
        The solution; ``candidates`` may be shorter than asked for where fewer distinct structures are sound.

    Raises:
        InputError: The data or an option cannot be used; the message says what is allowed.
        ModelError: The weights cannot be read.
    """
    chosen = Options(**options)
    clock = _Clock(watch or (lambda stage, done: None))
    begin = time.perf_counter()
    settings: dict[str, Any] = {
        "qmin": qmin, "qmax": qmax, "qdamp": qdamp, "qbroad": qbroad, "rmin": rmin, "rmax": rmax,
        "background": background, "instrument": instrument,
    }  # fmt: skip
    with clock.stage("load"):
        pdf = _load(data, element, settings)
        symbol = require_metal(pdf)
        fit_range(pdf)
        device = chosen.torch_device
        warnings = list(pdf.warnings)
        dnn = first_peak(pdf)
        warnings += filter(None, [ligand_advice(pdf, dnn)])
        if chosen.fit_qdamp:
            warnings.append(QDAMP_DOUBT)
        generative = chosen.source in MODEL_SOURCES
        model, identity = (loaded or load_weights(chosen.weights, device)) if generative else (None, {})
    estimates: dict[str, Any] = {"dnn": dnn} | ({} if model is None else describe(model, pdf, dnn))
    torch_random = torch.Generator(device=device).manual_seed(chosen.seed)
    rejected: Counter[str] = Counter()
    no_templates: Counter[str] = Counter()
    found: list[tuple[FittedStructure, str]] = []
    best: list[tuple[FittedStructure, str]] = []
    raw: list[FloatArray] = []
    rounds = [] if model is None or _beyond(model, chosen) else [model] * ROUNDS
    # The library needs nothing of the model, and most of its time is spent without the interpreter.
    with beside(lambda: _from_library(pdf, dnn, chosen, no_templates)) as library:
        for drawing in rounds:
            drawn, fits = _from_model(drawing, pdf, dnn, chosen, torch_random, clock, rejected)
            raw = raw or drawn
            found += [(fit, "cbldm") for fit in fits]
            best = _best_distinct(pdf, library() + found, chosen, clock)
            if len(best) >= ENOUGH * chosen.candidates:
                break
        with clock.stage("sample"):
            pool = library() + found
    rejected = no_templates + rejected
    if not rounds:
        best = _best_distinct(pdf, pool, chosen, clock)
    if starts:
        with clock.stage("refine"):
            # The model says nothing of these: beforehand they are as likely as the best of its own.
            prior = best[0][0].prior if best else 0.0
            pool += _from_neighbours(pdf, starts, prior, dnn, chosen, device, rejected)
        best = _best_distinct(pdf, pool, chosen, clock)
    with clock.stage("refine"):
        refined = _refine(pdf, best, dnn, chosen, device, rejected)
    with clock.stage("rank"):
        candidates = _ranked(pdf, refined, symbol, chosen.candidates)
        flags = [*flags_of_data(pdf, dnn), *flags_of_fits(pdf, candidates, _limit(model, chosen.source))]
    if (n_rigid := sum(candidate.n_atoms > REFINED_TO for candidate in candidates)) > 0:
        warnings.append(
            f"positions were not refined for {n_rigid} of {len(candidates)} candidates, which have more than "
            f"{REFINED_TO} atoms: they are ideal templates, fitted by size, Uiso and delta2 alone"
        )
    if 0 < len(candidates) < chosen.candidates:
        warnings.append(f"{len(candidates)} distinct structures were found, {chosen.candidates} were asked for")
    warnings += [flag.text for flag in flags]
    warnings += filter(None, [background_note(pdf, candidate.fit) for candidate in candidates[:1]])
    clock.seconds["total"] = time.perf_counter() - begin
    return Solution(
        pdf, candidates, dict(rejected), warnings, identity, chosen.seed, device, clock.seconds, estimates, raw, flags
    )


def _load(data: Any, element: str | None, settings: dict[str, Any]) -> Pdf:
    if isinstance(data, Pdf):
        if element is not None or any(value is not None for value in settings.values()):
            raise InputError("a Pdf that is already read carries its settings: give options when reading it")
        return data
    if isinstance(data, (str, Path)):
        return read_pdf(data, element=element, **settings)
    try:
        r, g = data
    except (TypeError, ValueError):
        raise InputError(f"data must be a file, arrays (r, G) or a Pdf, got {type(data).__name__}") from None
    return pdf_from_arrays(r, g, element=element, **settings)


def describe(model: CbLdm, pdf: Pdf, dnn: float) -> dict[str, Any]:
    """What the model reads from a PDF before it draws: probabilities of motifs and of atom counts.

    Returns:
        ``motif`` (name to probability, likeliest first) and ``n_atoms`` (5, 50 and 95 % quantiles).
    """
    device = str(next(model.parameters()).device)
    motif, counts = model.estimates(*network_input(pdf, dnn, model.config, device))
    share = model.frame_share(motif)
    total = (share[:, None] * counts).sum(dim=0).cumsum(0).cpu().numpy()
    quantiles = [int(np.searchsorted(total, level * total[-1])) for level in (0.05, 0.5, 0.95)]
    order = motif.argsort(descending=True).tolist()
    return {"motif": {MOTIFS[i]: round(float(motif[i]), 4) for i in order}, "n_atoms": quantiles}


def inspect_pdf(pdf: Pdf) -> dict[str, Any]:
    """What can be said of a PDF before it is solved: ``dnn`` in Å, ``motif`` and ``n_atoms`` as `describe` gives them.

    ``advice`` has a line where the fit should begin elsewhere.

    Raises:
        InputError: There is no first peak.
    """
    dnn = first_peak(pdf)
    advice = list(filter(None, [ligand_advice(pdf, dnn)]))
    return {"dnn": round(dnn, 4), "advice": advice} | describe(load_weights()[0], pdf, dnn)


@steady()
def refine_structure(
    pdf: Pdf, atoms: Atoms, *, fit_qdamp: bool = False, fit_surface_uiso: bool = False, rigid: bool = False
) -> Candidate:
    """Fit one given structure to a PDF: scale, stretch, Uiso and delta2, then positions under the restraint.

    Args:
        pdf: The data.
        atoms: A cluster of the PDF's element.
        fit_qdamp: Whether Qdamp is fitted.
        fit_surface_uiso: Whether surface atoms have an Uiso of their own.
        rigid: Leave the positions as they are but for the stretch.

    Raises:
        InputError: Atoms overlap or the cluster falls apart.
    """
    positions = atoms.get_positions()
    reason = check_structure(positions, nearest_neighbour_distance(positions))
    if reason is not None:
        raise InputError(f"the structure cannot be refined: {reason}")
    fits = fit_parameters(pdf, [positions], fit_qdamp=fit_qdamp, fit_surface_uiso=fit_surface_uiso)
    fits = fits if rigid else judged(pdf, fits, fit_qdamp=fit_qdamp, max_iterations=THOROUGH)
    return _ranked(pdf, [(fits[0], "given")], atoms.get_chemical_symbols()[0], 1)[0]


def _from_library(pdf: Pdf, dnn: float, options: Options, rejected: Counter[str]) -> list[tuple[FittedStructure, str]]:
    if options.source == "cbldm":
        return []
    library = TemplateLibrary() if options.source == "textbook" else extended_library()
    keep = max(40, 2 * options.candidates)
    found = library.fit(pdf, dnn, keep=keep, n_atoms=options.n_atoms, fit_qdamp=options.fit_qdamp)
    return [(fit, "library") for fit in _sound([template.fit for template in found], dnn, rejected)]


def _from_neighbours(
    pdf: Pdf,
    starts: Sequence[Atoms],
    prior: float,
    dnn: float,
    options: Options,
    device: str,
    rejected: Counter[str],
) -> list[tuple[FittedStructure, str]]:
    low, high = options.n_atoms or (0, np.inf)
    structures = [atoms.get_positions() for atoms in starts if low <= len(atoms) <= high]
    fits = fit_parameters(pdf, structures, fit_qdamp=options.fit_qdamp, device=device)
    return [(replace(fit, prior=prior), "neighbour") for fit in _sound(fits, dnn, rejected)]


def _beyond(model: CbLdm, options: Options) -> bool:
    """Whether the model has nothing to say beside the library: no size that is allowed is one of its own."""
    return options.source == "all" and options.n_atoms is not None and options.n_atoms[0] > model.config.n_max


def _from_model(
    model: CbLdm,
    pdf: Pdf,
    dnn: float,
    options: Options,
    generator: torch.Generator,
    clock: _Clock,
    rejected: Counter[str],
) -> tuple[list[FloatArray], list[FittedStructure]]:
    """Draw, move atoms where the data ask for it, recover positions, reject what is not sound, fit.

    Returns:
        Positions of the samples that fit best as they were drawn, and the fits of what became of them.
    """
    device = str(generator.device)
    if options.n_atoms is not None and options.n_atoms[0] > model.config.n_max:
        raise InputError(f"the model knows clusters up to {model.config.n_max} atoms, got --n-atoms "
                         f"{options.n_atoms[0]}-{options.n_atoms[1]}")  # fmt: skip
    with clock.stage("sample"):
        x, conditions = network_input(pdf, dnn, model.config, device)
        samples = model.draw(x, conditions, options.samples, generator, steps=STEPS, n_atoms=options.n_atoms)
    if not samples:
        return [], []
    with clock.stage("search"):
        follow = max(LEAST_FOLLOWED, int(np.ceil(FOLLOWED * options.candidates)))
        counts = model.estimates(x, conditions, options.n_atoms)[1].double().log().cpu().numpy()
        drawn, found = explore(
            pdf, dnn, samples, log_counts=counts, follow=follow, watch=lambda done: clock.watch("search", done)
        )

    def tried(item: Explored) -> tuple[list[FloatArray], str | None]:
        """Sound structures with its sites, and what is wrong with the recovered one."""
        size, sites = dnn * item.place.stretch, item.place.sites
        # The matrix may know how the surface relaxes, or imagine it: the ideal sites compete.
        versions = [size * recover(model, item.sample, sites), size * frame(item.sample.frame).sites[sites]]
        reasons = [check_structure(version, size) for version in versions]
        return [v for v, reason in zip(versions, reasons, strict=True) if reason is None], reasons[0]

    structures: list[tuple[FloatArray, float]] = []
    with clock.stage("recover"):
        raw = each(lambda item: dnn * item.place.stretch * recover(model, item.sample), drawn[:N_RAW])
        wanted, waiting = int(np.ceil(FITTED * options.candidates)), iter(found)
        while some := list(islice(waiting, wanted)):
            for item, (versions, reason) in zip(some, each(tried, some), strict=True):
                structures += [(version, item.prior) for version in versions]
                if versions:
                    wanted -= 1
                else:
                    rejected[str(reason)] += 1
    with clock.stage("refine"):
        if not structures:
            return raw, []
        fits = fit_parameters(pdf, [version for version, _ in structures], fit_qdamp=options.fit_qdamp, device=device)
        return raw, [replace(fit, prior=prior) for fit, (_, prior) in zip(fits, structures, strict=True)]


def recover(model: CbLdm, drawn: Sample, sites: NDArray[np.int64] | None = None) -> FloatArray:
    """Positions (n_atoms, 3) of a sample in nearest-neighbour distances, from its matrix alone.

    Args:
        model: What drew it.
        drawn: The sample.
        sites: Other occupied sites than those that were drawn.
    """
    matrix = model.matrix(drawn, sites)
    if model.config.matrix == "laplacian":
        return recover_from_affinity(matrix, model.config.tau)
    return DISTANCE_UNIT * recover_from_distances(matrix)


def _sound(fits: Sequence[FittedStructure], dnn: float, rejected: Counter[str]) -> list[FittedStructure]:
    """Fits whose atoms neither overlap nor fall apart; the others are counted."""
    reasons = [check_structure(fit.positions, dnn) for fit in fits]
    rejected.update(reason for reason in reasons if reason is not None)
    return [fit for fit, reason in zip(fits, reasons, strict=True) if reason is None]


def _best_distinct(
    pdf: Pdf, pool: list[tuple[FittedStructure, str]], options: Options, clock: _Clock
) -> list[tuple[FittedStructure, str]]:
    """The best fits that differ from each other, as many as go on to the refinement of positions."""
    # The model's prior is known up to a constant, templates have none: each counts from its likeliest structure.
    lowest = min((fit.prior for fit, source in pool if source == "cbldm"), default=0.0)
    pool = [(replace(fit, prior=fit.prior - lowest) if source == "cbldm" else fit, source) for fit, source in pool]
    with clock.stage("rank"):
        fits = [fit for fit, _ in pool]
        if not fits:
            return []
        kept, _ = distinct(fits, costs=scores(pdf, fits), limit=int(np.ceil(SPARE * options.candidates)))
    return [pool[i] for i in kept]


def _refine(
    pdf: Pdf,
    best: list[tuple[FittedStructure, str]],
    dnn: float,
    options: Options,
    device: str,
    rejected: Counter[str],
) -> list[tuple[FittedStructure, str]]:
    """The fits with their positions refined under the restraint, as far as they stay sound and distinct.

    Those of more than `REFINED_TO` atoms stay as they are, and what fits hopelessly worse than the best is left out.
    """
    near = [pair for pair in best if pair[0].rw < best[0][0].rw + HOPELESS]
    rejected["much worse fits"] += len(best) - len(near)
    best = near
    small = [fit for fit, _ in best if not _is_large(fit)]
    if options.fit_surface_uiso:
        small = _with_surface(pdf, small, options, device)
    moved = iter(judged(pdf, small, fit_qdamp=options.fit_qdamp, max_iterations=MOST_ITERATIONS, device=device))
    refined = [fit if _is_large(fit) else next(moved) for fit, _ in best]
    pairs = []
    for fit, (_, source) in zip(refined, best, strict=True):
        reason = check_structure(fit.positions, dnn)
        if reason is None:
            pairs.append((fit, source))
        else:
            rejected[f"{reason} after refinement"] += 1
    fits = [fit for fit, _ in pairs]
    unique, counts = distinct(fits, costs=scores(pdf, fits)) if fits else ([], [])
    rejected["duplicates"] += sum(counts) - len(unique)
    return [pairs[i] for i in unique]


def _with_surface(pdf: Pdf, fitted: Sequence[FittedStructure], options: Options, device: str) -> list[FittedStructure]:
    """The fits with an Uiso of the surface atoms, in the same order."""
    positions = [fit.positions for fit in fitted]
    again = fit_parameters(pdf, positions, fit_qdamp=options.fit_qdamp, fit_surface_uiso=True, device=device)
    return [
        replace(new, stretch=old.stretch * new.stretch, prior=old.prior) for old, new in zip(fitted, again, strict=True)
    ]


def _is_large(fit: FittedStructure) -> bool:
    return len(fit.positions) > REFINED_TO


def _ranked(pdf: Pdf, refined: list[tuple[FittedStructure, str]], element: str, most: int) -> list[Candidate]:
    if not refined:
        return []
    r, observed = fit_range(pdf)
    background = background_of(pdf, r)
    places = rank(pdf, [fit for fit, _ in refined], most)
    chosen = [refined[place.index] for place in places]
    centred = [fit.positions - fit.positions.mean(axis=0) for fit, _ in chosen]
    motifs = each(name_motif, centred)
    candidates = []
    for number, (place, (fit, source), positions, motif) in enumerate(
        zip(places, chosen, centred, motifs, strict=True), start=1
    ):
        candidates.append(
            Candidate(
                rank=number,
                atoms=Atoms(f"{element}{len(positions)}", positions=positions),
                motif=motif,
                source=source,
                fit=Fit(r, observed, fit.calculated, background.curve(fit.background) if pdf.n_background else None),
                parameters={
                    "scale": fit.scale, "stretch": fit.stretch, "uiso": fit.uiso, "delta2": fit.delta2,
                    "qdamp": fit.qdamp,
                } | ({} if fit.surface is None else {"surface_uiso": fit.surface.uiso}),
                moved_median=fit.moved_median,
                moved_max=fit.moved_max,
                rmsd_to_rank1=place.rmsd_to_rank1,
                weight=place.weight,
                group=place.group,
                freedom=fit.freedom,
                converged=fit.converged,
                rw_left_out=fit.rw_left_out,
                rw_left_out_rigid=fit.rw_left_out_rigid,
            )
        )  # fmt: skip
    return candidates


def _limit(model: CbLdm | None, source: Source) -> SizeLimit:
    """The largest particle that the source knows, and what to do about a larger one."""
    if model is not None and source == "cbldm":
        limit = SizeLimit("model", model.config.n_max)
    else:
        limit = SizeLimit("library", 256 if source == "textbook" else LARGEST)
    if limit.n_atoms < LARGEST:
        return limit._replace(advice=f"; --source all knows particles up to {LARGEST} atoms")
    return limit
