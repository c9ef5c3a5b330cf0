"""What the page shows of a file, a computation and a result, as HTML in which every word from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from cbldm.report.html import ORIGINS
from cbldm.web.jobs import STAGES
from cbldm.web.uploads import Upload
from cbldm.web.visitors import Result, Visitor
from cbldm.web.wording import plain

#: Where a value comes from, in words.
SOURCES = {**ORIGINS, "option": "given by you", "": "not known yet"}


def notice(sentences: Sequence[str]) -> str:
    """Sentences that need to be read, or nothing."""
    if not sentences:
        return ""
    return f'<div class="cb-problem" role="alert">{"".join(f"<p>{_sentence(text)}</p>" for text in sentences)}</div>'


def facts(upload: Upload) -> str:
    """What was read, in a line."""
    name = f"<h2>{escape(upload.name)}</h2>"
    if upload.pdf is None:
        return name
    pdf = upload.pdf
    span = f"{len(pdf.r)} points, r = {pdf.r[0]:g} to {pdf.r[-1]:g} Å"
    return f'{name}<p class="cb-quiet">Read as {escape(pdf.dialect)}: {escape(span)}</p>'


def notes(upload: Upload) -> str:
    """Why a file cannot be solved so far, and what a careful user should know."""
    problem = notice([upload.problem] if upload.problem else [])
    if not upload.notes:
        return problem
    items = "".join(f"<li>{escape(text)}</li>" for text in upload.notes)
    return f'{problem}<section class="cb-notes" aria-label="Warnings"><ul>{items}</ul></section>'


def origin(upload: Upload | None, name: str) -> str:
    """Where the value of a setting comes from, for the line below its field."""
    if upload is None:
        return ""
    source, note = upload.origin(name)
    said = SOURCES.get(source, source)
    return f"{said}: {note}" if note else said


def label(visitor: Visitor, upload: Upload) -> str:
    """A file in the list of files."""
    result = visitor.results.get(upload.key)
    if result is None:
        return f"{upload.name}: {'needs a look' if upload.problem else 'ready'}"
    job = result.job
    said = {"running": f"{job.done:.0%}", "failed": "failed", "cancelled": "stopped"}.get(job.state, job.state)
    return f"{upload.name}: {said}"


def progress(result: Result | None, before: int) -> str:
    """How far a computation is, or how it ended.

    Args:
        result: Of the file that is shown.
        before: Jobs that wait before it.
    """
    if result is None:
        return ""
    job = result.job
    if job.state == "waiting":
        others = "it is the next" if before == 0 else f"{before} before it" if before > 1 else "one before it"
        return _bar(0.0, f"Waiting to start: {others}.")
    if job.state == "running":
        doing = STAGES[job.stage][0] if job.stage else "starting"
        return _bar(job.done, f"{doing[:1].upper()}{doing[1:]}: {job.done:.0%}, {job.seconds:.0f} s")
    if job.state == "cancelled":
        return '<p role="status" class="cb-state">Stopped. Nothing was kept.</p>'
    if job.state == "failed":
        return notice([plain(job.error)])
    return f'<p role="status" class="cb-state">Solved in {job.seconds:.0f} s: {escape(job.answer)}.</p>'


def outcome(result: Result | None) -> dict[str, Any] | None:
    """What the page needs to show a report; None where there is none."""
    if result is None or result.job.state != "done":
        return None
    return {
        "report": f"results/{result.token}/report",
        "archive": f"results/{result.token}/files.zip",
        "name": f"{result.name}.zip",
    }


def _bar(done: float, text: str) -> str:
    return (
        f'<div class="cb-bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{100 * done:.0f}"><span style="width: {100 * done:.1f}%"></span></div>'
        f'<p role="status" class="cb-state">{escape(text)}</p>'
    )


def _sentence(text: str) -> str:
    """With a capital letter and a full stop, where they are missing."""
    text = text[:1].upper() + text[1:]
    return escape(text if text.endswith((".", "!", "?")) else f"{text}.")
