"""The page: a thin layer of Gradio over `cbldm.web.visitors`.

Every event carries all fields of the page and is answered with what changed; nothing but who is there is kept here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files as package_files
from typing import Any

import gradio as gr

from cbldm.errors import CbldmError, InputError
from cbldm.web import views
from cbldm.web.limits import Limits
from cbldm.web.visitors import Visitor, Visitors
from cbldm.web.wording import plain

#: Seconds between two looks at a computation.
TICK = 0.8
#: Settings of a file: label and unit.
SETTINGS = {
    "element": "Element", "qmin": "Qmin (Å⁻¹)", "qmax": "Qmax (Å⁻¹)", "qdamp": "Qdamp (Å⁻¹)", "qbroad": "Qbroad (Å⁻¹)",
    "rmin": "rmin of the fit (Å)", "rmax": "rmax of the fit (Å)",
}  # fmt: skip
SOURCES = [
    ("The model, up to 256 atoms", "cbldm"),
    ("Templates, up to 3000 atoms", "library"),
    ("Both", "all"),
    ("Textbook shapes, up to 256 atoms", "textbook"),
]
UNITS = [("as the file says", ""), ("Å", "A"), ("nm", "nm")]
HEAD = """<h1>cbldm</h1>
<p class="cb-quiet">From the pair distribution function of a metal nanoparticle to ranked structures.</p>"""
EXAMPLE = "pt_example.gr"


@dataclass(frozen=True)
class Sent:
    """What an event of the page carries.

    Attributes:
        data: What a script of the page said.
        key: Of the file that the user sees.
        chosen: Key of the file in the list of files.
        chosen_options: The fields below "More options", in their order.
    """

    data: Mapping[str, Any]
    key: str
    chosen: str | None
    chosen_options: tuple[Any, ...]

    def options(self) -> dict[str, Any]:
        """Fields of `Options`.

        Raises:
            InputError: A number is missing or is no whole number.
        """
        samples, candidates, source, atoms, seed, fit_qdamp, fit_surface_uiso = self.chosen_options
        return {
            "samples": _whole_number("Samples", samples), "candidates": _whole_number("Candidates", candidates),
            "source": source, "n_atoms": _span(str(atoms or "")), "seed": _whole_number("Seed", seed),
            "fit_qdamp": bool(fit_qdamp), "fit_surface_uiso": bool(fit_surface_uiso),
        }  # fmt: skip


#: What an event does to a visitor; it may return sentences for the user.
Act = Callable[[Visitor, Sent], Sequence[str] | None]


def _whole_number(name: str, value: Any) -> int:
    if not isinstance(value, (int, float)) or value != value // 1:
        raise InputError(f"{name} must be a whole number")
    return int(value)


def _span(text: str) -> tuple[int, int] | None:
    """The atom counts that a text allows: LO-HI, a single count, or any where it is empty."""
    if not text.strip():
        return None
    found = re.fullmatch(r"\s*(\d{1,9})\s*(?:[-–]\s*(\d{1,9})\s*)?", text)
    if found is None:
        raise InputError(f"“Atoms” must be a number or two, as 100-200, got {text[:40]!r}")
    return int(found[1]), int(found[2] or found[1])


def asset(name: str) -> str:
    """A file that is part of the page."""
    return package_files("cbldm.web").joinpath("assets", name).read_text(encoding="utf-8")


class Page:
    """The components of the page and what their events do.

    Attributes:
        blocks: What Gradio serves.
    """

    def __init__(self, visitors: Visitors, limits: Limits) -> None:
        self._visitors, self._limits = visitors, limits
        with gr.Blocks(title="cbldm", analytics_enabled=False) as self.blocks:
            gr.HTML(HEAD)
            self._build_input()
            with gr.Column(visible=False) as self.work:
                self._build_settings()
                self._build_options()
                self._build_run()
            self.timer = gr.Timer(TICK, active=False)
            self._listen()

    def _build_input(self) -> None:
        self.drop = gr.HTML(
            html_template=asset("drop.html"), js_on_load=asset("drop.js"), bytes=self._limits.max_bytes,
            elem_id="drop",
        )  # fmt: skip
        self.example = gr.Button("Or try an example: a simulated platinum particle", size="sm", elem_id="example")
        self.said = gr.HTML(visible=False, elem_id="said")
        self.files = gr.Radio(label="Files", visible=False, elem_id="files")
        self.key = gr.Textbox(visible=False)

    def _build_settings(self) -> None:
        self.facts = gr.HTML(elem_id="facts")
        # The axes are drawn as in the report.
        script = package_files("cbldm.report").joinpath("assets", "plot.js").read_text(encoding="utf-8")
        script += asset("range.js")
        self.range = gr.HTML(html_template=asset("range.html"), js_on_load=script, elem_id="range")
        self.notes = gr.HTML(visible=False, elem_id="notes")
        self.fields: dict[str, Any] = {}
        with gr.Row(elem_classes="cb-fields"):
            for name, label in SETTINGS.items():
                self.fields[name] = gr.Textbox(label=label, info=" ", min_width=150, max_lines=1, elem_id=name)

    def _build_options(self) -> None:
        # Not folded away: a closed accordion forgets what was typed into it a moment ago.
        with gr.Column():
            gr.HTML("<h3>More options</h3>")
            with gr.Row():
                self.fields["r_unit"] = gr.Dropdown(UNITS, value="", label="Unit of r", min_width=240)
                self.fields["background"] = gr.Textbox(
                    label="Background terms", info="smooth waves beside the structure, for ligands", min_width=150
                )
                self.samples = gr.Number(64, label="Samples", info="structures drawn from the model", min_width=150)
                self.candidates = gr.Number(10, label="Candidates", info="structures shown at most", min_width=150)
            with gr.Row():
                self.source = gr.Dropdown(SOURCES, value="cbldm", label="Where structures come from", min_width=240)
                self.atoms = gr.Textbox(label="Atoms", info="as 100-200; any number where empty", min_width=150)
                self.seed = gr.Number(0, label="Seed", info="the same seed gives the same answer", min_width=150)
            with gr.Row():
                self.fit_qdamp = gr.Checkbox(label="Fit Qdamp", info="it trades off with the size", min_width=240)
                self.fit_surface = gr.Checkbox(
                    label="Fit a Uiso of the surface", info="beside that of the atoms inside", min_width=240
                )
        self.options = [
            self.samples, self.candidates, self.source, self.atoms, self.seed, self.fit_qdamp, self.fit_surface,
        ]  # fmt: skip

    def _build_run(self) -> None:
        with gr.Row():
            self.solve = gr.Button("Solve", variant="primary", elem_id="solve", min_width=120)
            self.solve_all = gr.Button("Solve all files", visible=False, elem_id="solve-all", min_width=120)
            self.cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel", min_width=120)
            self.remove = gr.Button("Remove this file", elem_id="remove", min_width=120)
        self.refused = gr.HTML(visible=False, elem_id="refused")
        self.progress = gr.HTML(visible=False, elem_id="progress")
        self.result = gr.HTML(html_template=asset("result.html"), js_on_load=asset("result.js"), elem_id="result")

    def _listen(self) -> None:
        inputs = [self.key, self.files, self.result, *self.fields.values(), *self.options]
        shown = [
            self.said, self.refused, self.files, self.key, self.work, self.facts, self.range, self.notes,
            *self.fields.values(), self.solve, self.solve_all, self.cancel, self.progress, self.result, self.timer,
        ]  # fmt: skip
        settled = [
            event
            for name, field in self.fields.items()
            for event in ([field.input] if name == "r_unit" else [field.blur, field.submit])
        ]
        acts: list[tuple[list[Any], Act]] = [
            ([self.drop.upload], lambda visitor, sent: visitor.add(sent.data.get("files"))),
            ([self.example.click], _add_example),
            ([self.files.input], _choose),
            ([self.range.release], _set_end),
            (settled, lambda visitor, sent: None),
            ([self.solve.click], lambda visitor, sent: _solve(visitor, [sent.key], sent)),
            ([self.solve_all.click], lambda visitor, sent: _solve(visitor, list(visitor.uploads), sent)),
            ([self.cancel.click], lambda visitor, sent: visitor.cancel()),
            ([self.remove.click], lambda visitor, sent: visitor.remove()),
        ]
        on = partial(gr.on, outputs=shown, queue=False, show_progress="hidden", api_visibility="private")
        for triggers, act in acts:
            place = self.said if triggers[0] in (self.drop.upload, self.example.click) else self.refused
            on(triggers, self._event(act, place), inputs, trigger_mode="multiple")
        on([self.timer.tick], self._poll, [self.result])
        self.blocks.unload(self._leave)

    def _visitor(self, request: gr.Request) -> Visitor:
        if not request.session_hash:
            raise ValueError("an event without a session")
        return self._visitors.get(request.session_hash)

    def _leave(self, request: gr.Request) -> None:
        self._visitors.leave(str(request.session_hash))

    def _event(self, act: Act, place: gr.HTML) -> Callable[..., dict[Any, Any]]:
        """What answers an event: the fields are taken first, for they say what the user sees.

        Args:
            act: What the event is for.
            place: Where is said what could not be done.
        """

        def answer(request: gr.Request, event: gr.EventData, *values: Any) -> dict[Any, Any]:
            visitor = self._visitor(request)
            key, chosen, result, *rest = values
            fields = {name: str(text or "") for name, text in zip(self.fields, rest, strict=False)}
            data = event._data if isinstance(event._data, Mapping) else {}
            sent = Sent(data, str(key), chosen, tuple(rest[len(fields) :]))
            said: Sequence[str] = []
            with visitor.lock:
                upload = visitor.uploads.get(sent.key)
                try:
                    if upload is not None:
                        upload.set(fields)
                    said = act(visitor, sent) or []
                except CbldmError as error:
                    said = [plain(str(error))]
                same = fields if visitor.chosen == sent.key else {}
                others = {self.said: _if_any(""), self.refused: _if_any("")}
                return self._whole(visitor, same, result) | others | {place: _if_any(views.notice(said))}

        return answer

    def _poll(self, result: Any, request: gr.Request) -> dict[Any, Any]:
        """What a computation changes; the rest of the page is left to the user."""
        visitor = self._visitor(request)
        with visitor.lock:
            return self._running(visitor, result)

    def _whole(self, visitor: Visitor, sent: Mapping[str, str], result: Any) -> dict[Any, Any]:
        """The page as it should be; a field that holds the right text already is not touched, for it may be in use."""
        upload = visitor.upload
        if upload is None:
            return self._running(visitor, result) | {self.work: gr.update(visible=False), self.key: ""}
        fields = {}
        for name, field in self.fields.items():
            shown = upload.shown(name)
            update: dict[str, Any] = {} if sent.get(name) == shown else {"value": shown}
            if name in SETTINGS:
                update["info"] = views.origin(upload, name)
            fields[field] = gr.update(**update)
        return self._running(visitor, result) | fields | {
            self.work: gr.update(visible=True),
            self.key: upload.key,
            self.facts: views.facts(upload),
            self.range: gr.update(value=upload.curve(), visible=upload.pdf is not None),
            self.notes: _if_any(views.notes(upload)),
        }  # fmt: skip

    def _running(self, visitor: Visitor, shown: Any) -> dict[Any, Any]:
        """The parts that change by themselves; a report that is shown already would be loaded anew."""
        upload, result = visitor.upload, visitor.result
        busy = result is not None and result.job.is_active
        labels = [(views.label(visitor, other), key) for key, other in visitor.uploads.items()]
        several = len(labels) > 1
        outcome = views.outcome(result)
        return ({} if outcome == shown else {self.result: outcome}) | {
            self.files: gr.update(choices=labels, value=visitor.chosen or None, visible=several),
            self.solve: gr.update(interactive=bool(upload and not upload.problem and not busy)),
            self.solve_all: gr.update(visible=several, value=f"Solve all {len(labels)} files"),
            self.cancel: gr.update(visible=visitor.is_busy),
            self.progress: _if_any(views.progress(result, self._visitors.before(result))),
            self.timer: gr.update(active=visitor.is_busy),
        }


def _if_any(html: str) -> dict[str, Any]:
    """An update of a part that takes no room while it is empty."""
    return gr.update(value=html, visible=bool(html))


def _add_example(visitor: Visitor, sent: Sent) -> Sequence[str]:
    content = package_files("cbldm.examples").joinpath(EXAMPLE).read_bytes()
    return visitor.add([{"name": EXAMPLE, "data": base64.b64encode(content).decode()}])


def _choose(visitor: Visitor, sent: Sent) -> None:
    if sent.chosen in visitor.uploads:
        visitor.chosen = sent.chosen


def _set_end(visitor: Visitor, sent: Sent) -> None:
    """An end of the fitted range was moved on the plot."""
    name, r = sent.data.get("end"), sent.data.get("r")
    upload = visitor.uploads.get(sent.key)
    if upload is not None and name in ("rmin", "rmax") and isinstance(r, (int, float)):
        upload.set({name: f"{r:.2f}"})


def _solve(visitor: Visitor, keys: Sequence[str], sent: Sent) -> Sequence[str]:
    """Solve files; what cannot be solved is said, and does not keep the others from it."""
    said = []
    options = sent.options()
    for key in keys:
        if key in visitor.uploads:
            try:
                visitor.solve(key, options)
            except InputError as error:
                name = visitor.uploads[key].name
                said.append(plain(str(error)) if len(keys) == 1 else f"{name!r}: {plain(str(error))}")
    return said
