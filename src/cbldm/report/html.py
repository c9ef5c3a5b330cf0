"""The report: one page that shows a solution in any browser, without a network.

Everything is inside: the curves and structures as the very files that lie beside the page, the scripts, and 3Dmol.js
for the structures (Rego and Koes, 2015). A content security policy forbids the browser every request.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files as package_files
from string import Template
from typing import Any

from cbldm.report.posterior import LEAST_SHARE, SHOWN_LEVEL, Posterior, percent, posterior_html, span
from cbldm.report.ranking import detail, ranking_table, title
from cbldm.report.sites import ORDERS, bonded_pairs, local_order, neighbour_counts, view
from cbldm.report.spheres import COORDINATION_COLOURS, COORDINATION_LABELS
from cbldm.types import Candidate, Solution

#: Colours of atoms by `ORDERS`.
ORDER_COLOURS = ("#b9bfc5", "#6f9fc8", "#c8553d", "#e6b93f", "#6a9a5b")
#: What the origins of a setting are called.
ORIGINS = {"header": "header of the file", "option": "given by the user", "instrument": "instrument file",
           "default": "default", "data": "from the data"}  # fmt: skip
#: The entry of the legend for what no atom makes.
BACKGROUND = '<span class="line background"></span>background'


def report_html(
    solution: Solution,
    *,
    answer: str,
    posterior: Posterior | None,
    settings: Sequence[tuple[str, str, str, str, str]],
    files: Mapping[str, bytes],
    version: str,
) -> str:
    """A solution as one self-contained page of HTML.

    Args:
        solution: What is shown; without candidates the page says so and why.
        answer: The solution in a sentence.
        posterior: How likely each atom count and motif is; None without candidates.
        settings: Name, value, unit, origin and note of every input value.
        files: What the page carries for download by path: ``results.json``, and for each candidate
            ``candidates/NN.xyz``, ``candidates/NN.cif`` and ``fits/NN.fgr``; curves and positions are drawn from them.
        version: Of cbldm.

    Returns:
        The page; the same solution gives the same text.
    """
    pdf = solution.pdf
    n_found = len(solution.candidates)
    diameters = [candidate.diameter for candidate in solution.candidates]
    page = {
        **_machinery("report.js"),
        "title": escape(f"{pdf.file or 'arrays'}: cbldm report"),
        "heading": escape(pdf.file or "arrays"),
        "subtitle": escape(f"{pdf.element or 'unknown element'}, {n_found} candidate structure{'s' * (n_found != 1)}"),
        "notes": _notes(solution),
        "answer": escape(answer[:1].upper() + answer[1:]),
        "facts": _facts(solution.candidates, diameters, posterior) if posterior else "",
        "candidates": _candidates(solution.candidates, diameters, posterior) if posterior else "",
        "inputs": _inputs(solution, settings),
        "run": _run(solution),
        "version": escape(version),
        "payload": _pack(json.dumps(_payload(solution.candidates, files))),
    }
    return _fill("report.html", page)


def _machinery(script_name: str) -> dict[str, str]:
    """What makes a page with structures work: scripts of which this is the last, the viewer and its licences."""
    viewer = _asset("3Dmol-min.js")
    licences = escape(_asset("3Dmol-LICENSE.txt") + "\n" + _asset("3Dmol-NOTICES.txt"))
    code = page_code(("report.css",), ("plot.js", "structure.js", "content.js", script_name), viewer)
    return {**code, "viewer": _pack(viewer), "licences": licences}


def page_code(styles: Sequence[str], scripts: Sequence[str], *others: str) -> dict[str, str]:
    """Style and script of a page from these assets, and a policy that knows them and other scripts alone."""
    style, script = ("".join(map(_asset, names)) for names in (styles, scripts))
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_hash, (script, *others)))}; style-src {_hash(style)}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return {"policy": policy, "style": style, "script": script}


def _asset(name: str) -> str:
    return package_files("cbldm.report").joinpath("assets", name).read_text(encoding="utf-8")


def _fill(name: str, content: Mapping[str, str]) -> str:
    return Template(_asset(name)).substitute(content)


def _hash(text: str) -> str:
    """The source expression by which a content security policy knows this script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _pack(text: str) -> str:
    """Gzip in base64, which no text inside can leave."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _payload(candidates: Sequence[Candidate], files: Mapping[str, bytes]) -> dict[str, Any]:
    """What the scripts of the page need."""
    keys = {
        "neighbours": (COORDINATION_LABELS, COORDINATION_COLOURS),
        "order": (ORDERS, ORDER_COLOURS),
    }
    return {
        "files": {name: content.decode() for name, content in files.items()},
        "keys": {
            name: [{"label": label, "colour": colour} for label, colour in zip(*key, strict=True)]
            for name, key in keys.items()
        },
        "candidates": [_entry(candidate) for candidate in candidates],
    }


def _entry(candidate: Candidate) -> dict[str, Any]:
    positions, background = candidate.atoms.get_positions(), candidate.fit.background
    nearest, pairs = bonded_pairs(positions)
    counts = neighbour_counts(pairs, len(positions)).clip(5, 4 + len(COORDINATION_COLOURS)) - 5
    return {
        "rank": candidate.rank,
        "detail": detail(candidate),
        **_paths(candidate),
        "view": view(positions).T.round(5).tolist(),
        "radius": round(nearest / 2, 4),
        "neighbours": "".join(map(str, counts)),
        "order": "".join(map(str, local_order(pairs, len(positions)))),
        "background": None if background is None else background.round(5).tolist(),
    }


def _paths(candidate: Candidate) -> dict[str, str]:
    """The files of a candidate, by what they are."""
    name = f"{candidate.rank:02d}"
    return {"xyz": f"candidates/{name}.xyz", "cif": f"candidates/{name}.cif", "fgr": f"fits/{name}.fgr"}


def _link(path: str) -> str:
    name = path.rsplit("/", 1)[-1]
    return f'<a href="{escape(path)}" download="{escape(name)}" data-file="{escape(path)}">{escape(name)}</a>'


def _notes(solution: Solution) -> str:
    kinds = {flag.text: flag.kind for flag in solution.flags}
    others = [text for text in solution.warnings if text not in kinds]
    if not kinds and not others:
        return ""
    items = "".join(f"<li><strong>{escape(kind)}:</strong> {escape(text)}</li>" for text, kind in kinds.items())
    items += "".join(f"<li>{escape(text)}</li>" for text in others)
    return f'<section class="notes" aria-label="Warnings"><h2>Read this first</h2><ul>{items}</ul></section>'


def _facts(candidates: Sequence[Candidate], diameters: Sequence[float], posterior: Posterior) -> str:
    """The best fit and the range of what is as likely, as large numbers."""
    widths = [diameter for c, diameter in zip(candidates, diameters, strict=True) if c.group == 1]
    low, high = posterior.ranges[SHOWN_LEVEL]
    facts = {
        "Rw of the best": f"{candidates[0].rw:.3f}",
        "atoms, best": str(candidates[0].n_atoms),
        f"atoms, with {percent(SHOWN_LEVEL)} probability": span(str(low), str(high)),
        "diameter, all that fit as well": span(f"{min(widths):.1f}", f"{max(widths):.1f}") + " Å",
        "motif of the best": candidates[0].motif,
    }
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{items}</dl>'


def _candidates(candidates: Sequence[Candidate], diameters: Sequence[float], posterior: Posterior) -> str:
    choices = "".join(f'<option value="{c.rank}">{escape(title(c))}</option>' for c in candidates)
    return _fill(
        "candidates.html",
        {
            "choices": choices,
            "shown": escape(detail(candidates[0])),
            "extra": BACKGROUND if any(c.fit.background is not None for c in candidates) else "",
            "ranking": ranking_table(candidates, diameters),
            "posterior": posterior_html(posterior),
            "cards": "".join(map(_card, candidates)),
        },
    )


def _card(candidate: Candidate) -> str:
    links = " ".join(map(_link, _paths(candidate).values()))
    return (
        f'<article class="card" data-rank="{candidate.rank}"><h3>{escape(title(candidate))}</h3>'
        f'<canvas role="img" aria-label="Structure {candidate.rank}"></canvas>'
        f'<div class="curves"><svg role="img" aria-label="Data, fit and difference of candidate {candidate.rank}">'
        f'</svg></div><p class="files">{links}</p>'
        f'<p class="control"><button type="button" data-show="{candidate.rank}">Show candidate {candidate.rank}'
        f"</button></p></article>"
    )


def _inputs(solution: Solution, settings: Sequence[tuple[str, str, str, str, str]]) -> str:
    pdf = solution.pdf
    rows = [
        (name, f"{value} {unit}".strip(), ORIGINS.get(source, source), note)
        for name, value, unit, source, note in settings
    ]
    head = "".join(f'<th scope="col">{name}</th>' for name in ("setting", "value", "from", "note"))
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{escape(text)}</td>" for text in rest) + "</tr>"
        for name, *rest in rows
    )
    data = {
        "file": pdf.file or "none: arrays",
        "format": pdf.dialect,
        "points": f"{len(pdf.r)}, r = {pdf.r[0]:g} to {pdf.r[-1]:g} Å",
        "SHA-256 of the data": pdf.sha256,
    }
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    label = 'tabindex="0" role="region" aria-label="Table of settings"'
    return f'<div class="scroll" {label}>{table}</div>{_pairs("Data", data, wide=True)}'


def _run(solution: Solution) -> str:
    model = {
        "model": solution.model.get("name", "none was used"),
        "SHA-256 of the model": solution.model.get("sha256", ""),
        "seed": str(solution.seed),
        "device": solution.device,
    }
    seconds = {name: f"{value:.1f} s" for name, value in solution.seconds.items()}
    rejected = {name: str(count) for name, count in solution.rejected.items()}
    estimates = {ESTIMATES.get(name, name): _told(value) for name, value in solution.estimates.items()}
    return (
        '<div class="run">'
        + _pairs("Model", {name: value for name, value in model.items() if value})
        + _pairs("Read from the data beforehand", estimates)
        + (_pairs("Time", seconds) if seconds else "")
        + _pairs("Rejected, and why", rejected or {"none": ""})
        + f'</div><p class="files">{_link("results.json")}: everything in numbers</p>'
    )


#: What the estimates are called.
ESTIMATES = {
    "dnn": "nearest-neighbour distance, Å",
    "n_atoms": "atoms, the middle and 90 % range",
    "motif": "motif",
}


def _told(value: Any) -> str:
    """A number, a range (low, middle, high) or shares by name, as text."""
    if isinstance(value, Mapping):
        shares = sorted(value.items(), key=lambda item: -item[1])
        return ", ".join(f"{name} {percent(share)}" for name, share in shares if share >= LEAST_SHARE)
    if isinstance(value, Sequence) and not isinstance(value, str):
        texts = [f"{number:g}" for number in value]
        return f"{texts[1]} ({texts[0]}–{texts[2]})" if len(texts) == 3 else ", ".join(texts)
    return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else str(value)


def _pairs(caption: str, pairs: Mapping[str, str], *, wide: bool = False) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in pairs.items()
    )
    look = "pairs wide" if wide else "pairs"
    return f'<table class="{look}"><caption>{escape(caption)}</caption><tbody>{rows}</tbody></table>'
