"""What cbldm says to the command line, in the words of the page, and names of files that may be shown or sent."""

from __future__ import annotations

import re
from pathlib import Path

from cbldm.data.file_bytes import printable

#: What the options of the command line are called on the page.
FIELDS = {
    "element": "Element", "qmin": "Qmin", "qmax": "Qmax", "qdamp": "Qdamp", "qbroad": "Qbroad", "rmin": "rmin",
    "rmax": "rmax", "r-unit": "“Unit of r”", "background": "“Background terms”", "n-atoms": "“Atoms”",
    "source": "“Where structures come from”", "fit-qdamp": "“Fit Qdamp”",
    "fit-surface-uiso": "“Fit a Uiso of the surface”", "samples": "Samples",
    "candidates": "Candidates", "seed": "Seed",
}  # fmt: skip
#: Longest name of a file that is shown.
LONGEST = 120


def plain(text: str, path: Path | None = None, name: str = "") -> str:
    """A message as one line in the words of the page.

    Args:
        text: What cbldm says.
        path: The file as it lies here, whose place is nobody's business.
        name: What its owner calls it.

    Example:
        >>> plain("'/tmp/x/a.gr' names no Qmax: give --qmax VALUE in Å⁻¹", Path("/tmp/x/a.gr"), "my.gr")
        "'my.gr' names no Qmax: give Qmax in Å⁻¹"
    """
    if path is not None:
        text = text.replace(repr(str(path)), repr(name)).replace(str(path), name)
    text = re.sub(r", as --element (\w+)", r", as \1", text)
    text = re.sub(r"--([a-z]+(?:-[a-z]+)*)(?: (?:SYMBOL|VALUE))?", lambda found: _field(found[1]), text)
    return " ".join(text.split())


def _field(option: str) -> str:
    return FIELDS.get(option, option)


def shown_name(name: object) -> str:
    r"""The last part of what an upload says it is called, printable and not endless.

    >>> shown_name("../../etc/passwd"), shown_name("C:\\data\\Pt.gr"), shown_name("a\x00b.gr"), shown_name("..")
    ('passwd', 'Pt.gr', 'a�b.gr', 'file')
    """
    last = re.split(r"[/\\]", str(name))[-1].strip()
    text = printable(last.encode("utf-8", "replace").decode())
    if len(text) > LONGEST:
        text = text[: LONGEST - 12] + "…" + text[-11:]
    return text if text.strip(". ") else "file"


def folder_name(name: str) -> str:
    """What a folder of results is called: letters, digits, dots, dashes and underscores.

    >>> folder_name("Pt 5nm (2).gr"), folder_name("样品.gr")
    ('Pt_5nm_2_cbldm', 'results_cbldm')
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(name).stem).strip("._-")[:60]
    return f"{stem or 'results'}_cbldm"
