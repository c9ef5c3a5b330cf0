"""Files as they come from a page: taken within limits, kept under names of ours, read with the settings of the user."""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cbldm.data.pdf_files import read_pdf
from cbldm.data.pdf_settings import require_metal
from cbldm.errors import CbldmError, InputError
from cbldm.first_peak import first_peak
from cbldm.ligands import ligand_advice
from cbldm.types import Pdf
from cbldm.unfamiliar import flags_of_data
from cbldm.web.limits import Limits
from cbldm.web.wording import FIELDS, plain, shown_name

#: Settings that are words; the others are numbers.
WORDS = ("element", "r_unit")
#: Most points of a curve on the page, and where it ends at the latest, in Å.
MOST_POINTS, LONGEST_R = 4000, 100.0

# A file of some MB needs some hundred MB of memory while it is read.
_READING = threading.Semaphore(2)


@dataclass
class Upload:
    """A file and what is known of it.

    Attributes:
        key: What the page calls it.
        name: What its owner calls it, to be shown as text and never to be a path.
        path: Where it lies.
        given: What the user set, by the names of `read_pdf`'s arguments.
        pdf: The data; None where they cannot be read so far.
        problem: Why it cannot be solved so far, as a sentence, or an empty string.
        notes: One line for each thing that a careful user should know.
    """

    key: str
    name: str
    path: Path
    given: dict[str, Any] = field(default_factory=dict)
    pdf: Pdf | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()

    def read(self) -> None:
        """Read the file with what the user set; what is wrong is in ``problem`` afterwards."""
        self.pdf, self.problem, self.notes = None, "", ()
        try:
            with _READING:
                pdf = read_upload(self.path, self.name, self.given)
            self.pdf = pdf
            self.notes = tuple(self._plain(text) for text in pdf.warnings)
            require_metal(pdf)
            dnn = first_peak(pdf)
            advice = [*filter(None, [ligand_advice(pdf, dnn)]), *(flag.text for flag in flags_of_data(pdf, dnn))]
            self.notes += tuple(map(self._plain, advice))
        except CbldmError as error:
            self.problem = self._plain(str(error))

    def set(self, fields: Mapping[str, str]) -> bool:
        """Take the fields of the page: what differs from what is shown there was set by the user.

        Args:
            fields: Texts by the names of `read_pdf`'s arguments; empty for what the file says.

        Returns:
            Whether anything changed.

        Raises:
            InputError: A field must be a number and is none; the others are taken.
        """
        given, wrong = dict(self.given), []
        for name, said in fields.items():
            text = said.strip()
            if not text:
                given.pop(name, None)
            elif text != self.shown(name):
                try:
                    given[name] = text if name in WORDS else float(text.replace(",", ".").replace("−", "-"))
                except ValueError:
                    wrong.append(f"{FIELDS.get(name, name)} must be a number, got {text[:40]!r}")
        changed = given != self.given
        self.given = given
        if changed:
            self.read()
        if wrong:
            raise InputError("; ".join(wrong))
        return changed

    def shown(self, name: str) -> str:
        """A setting as the page shows it, empty where it is not known."""
        read = self.pdf is not None and name in self.pdf.settings
        value = self.pdf.settings[name].value if self.pdf is not None and read else self.given.get(name)
        return "" if value is None else value if isinstance(value, str) else f"{value:.6g}"

    def origin(self, name: str) -> tuple[str, str]:
        """Where the value of a setting comes from, and a note on it."""
        if self.pdf is None or name not in self.pdf.settings:
            return ("option" if name in self.given else ""), ""
        setting = self.pdf.settings[name]
        return setting.source, plain(setting.note)

    def curve(self) -> dict[str, Any] | None:
        """What the page draws: ``r`` in Å and ``g`` in Å⁻² of a few thousand points, and the fitted range in Å."""
        if self.pdf is None:
            return None
        ends = {name: float(self.pdf.settings[name].value) for name in ("rmin", "rmax")}
        part = self.pdf.r <= max(LONGEST_R, ends["rmax"])
        r, g = self.pdf.r[part], self.pdf.g[part]
        points = _envelope(g) if len(r) > MOST_POINTS else np.arange(len(r))
        return {"r": r[points].round(4).tolist(), "g": g[points].round(5).tolist()} | ends

    def _plain(self, text: str) -> str:
        return plain(text, self.path, self.name)


def read_upload(path: Path, name: str, given: Mapping[str, Any]) -> Pdf:
    """Read a file that lies under a name of ours, as if it had its owner's.

    Args:
        path: Where it lies.
        name: What its owner calls it.
        given: Arguments of `read_pdf`.

    Raises:
        InputError: As `read_pdf`.
    """
    return replace(read_pdf(path, **given), file=name)


def take(files: Any, folder: Path, room: int, limits: Limits) -> tuple[list[Upload], list[str]]:
    """Write what a page sent into a folder, each under a name of ours.

    Args:
        files: What came: a list of ``{"name": ..., "data": base64}``.
        folder: Where to write.
        room: How many more files are taken.
        limits: The rest of the limits.

    Returns:
        The uploads, not yet read, and a sentence for each that was not taken.

    Raises:
        InputError: Nothing was sent, or too much.
    """
    if not isinstance(files, Sequence) or isinstance(files, str) or not files:
        raise InputError("no file was sent")
    if len(files) > room:
        raise InputError(f"this page holds at most {limits.max_files} files, {room} more now; remove some first")
    came, refused = [], []
    for file in files:
        name = shown_name(file.get("name", "") if isinstance(file, Mapping) else "")
        try:
            came.append((name, base64.b64decode(file["data"], validate=True)))
        except (KeyError, TypeError, ValueError, binascii.Error):
            refused.append(f"{name!r} did not arrive whole; try again")
    if sum(len(content) for _, content in came) > limits.max_bytes:
        raise InputError(f"the files have more than {limits.max_upload:g} MB, the most that is taken at once")
    return [_keep(name, content, folder) for name, content in came], refused


def _keep(name: str, content: bytes, folder: Path) -> Upload:
    key = secrets.token_hex(8)
    # The reader knows a calculated curve by this suffix, and nothing else of a name matters to it.
    path = folder / (f"{key}.fgr" if name.lower().endswith(".fgr") else f"{key}.gr")
    path.write_bytes(content)
    return Upload(key, name, path)


def _envelope(g: np.ndarray) -> np.ndarray:
    """Indices of the lowest and the highest point of each of `MOST_POINTS` / 2 parts."""
    parts = np.array_split(np.arange(len(g)), MOST_POINTS // 2)
    return np.unique([part[pick(g[part])] for part in parts for pick in (np.argmin, np.argmax)])
