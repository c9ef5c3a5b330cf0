"""Qdamp and Qbroad of an instrument as a small TOML file, with the standard that they were measured on."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cbldm.data.pdf_settings import allowed_range
from cbldm.errors import InputError

#: Largest file that is read, in bytes.
MAX_BYTES = 2**16
#: What the file says of the instrument; both are needed.
KEYS = ("qdamp", "qbroad")

_POSITIVE = (0.0, math.inf)


class _Text(NamedTuple):
    """A text on one line, of a pattern."""

    pattern: str


#: The keys of [standard], all of them optional: a text of a pattern, or a number of a range.
_STANDARD: dict[str, _Text | tuple[float, float]] = {
    "file": _Text(r"[^/\\]*"),
    "sha256": _Text(r"[0-9a-f]{64}"),
    "element": _Text(r"[A-Z][a-z]?"),
    "lattice": _Text("fcc|bcc|hcp|diamond"),
    "a": _POSITIVE,
    "c": _POSITIVE,
    "uiso": _POSITIVE,
    "delta2": _POSITIVE,
    "scale": _POSITIVE,
    "qmin": _POSITIVE,
    "qmax": _POSITIVE,
    "rmin": _POSITIVE,
    "rmax": _POSITIVE,
    "rw": _POSITIVE,
    "correlation_qdamp_qbroad": (-1.0, 1.0),
    "cbldm_version": _Text(r".+"),
}
#: The parameters that [standard.uncertainties] may name.
_UNCERTAINTIES = ("qdamp", "qbroad", "a", "c", "uiso", "delta2", "scale")


@dataclass(frozen=True)
class InstrumentFile:
    """What is known of an instrument.

    Attributes:
        qdamp: In Å⁻¹.
        qbroad: In Å⁻¹.
        standard: What the values were measured on, as in the file; empty where it does not say.
        file: Name of the file without its folder.
    """

    qdamp: float
    qbroad: float
    standard: Mapping[str, Any]
    file: str

    @property
    def note(self) -> str:
        """One clause on where the values are from."""
        words = [str(self.standard[key]) for key in ("lattice", "element", "file") if self.standard.get(key)]
        return f"{self.file}{': standard ' * bool(words)}{' '.join(words)}"


def instrument_text(qdamp: float, qbroad: float, standard: Mapping[str, Any]) -> str:
    """The file as text.

    Args:
        qdamp: In Å⁻¹.
        qbroad: In Å⁻¹.
        standard: Texts and numbers by name, and ``uncertainties``, numbers by name.

    >>> print(instrument_text(0.04, 0.01, {"element": "Ni", "uncertainties": {"qdamp": 0.001}}))
    [instrument]
    qdamp = 0.04
    qbroad = 0.01
    <BLANKLINE>
    [standard]
    element = "Ni"
    <BLANKLINE>
    [standard.uncertainties]
    qdamp = 0.001
    <BLANKLINE>
    """
    tables = {
        "instrument": {"qdamp": qdamp, "qbroad": qbroad},
        "standard": {key: value for key, value in standard.items() if key != "uncertainties"},
        "standard.uncertainties": standard.get("uncertainties", {}),
    }
    blocks = [
        "\n".join([f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in entries.items())])
        for name, entries in tables.items()
        if entries
    ]
    return "\n\n".join(blocks) + "\n"


def _toml(value: Any) -> str:
    # A JSON string is a TOML basic string but for the character DEL, and half a surrogate pair is neither.
    if isinstance(value, str):
        return json.dumps(value.encode(errors="replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(float(value))


def check_replaceable(path: Path) -> None:
    """Refuse a place where an instrument file cannot go, before any work is done.

    Raises:
        InputError: There is something else than an instrument file, or no folder to write into.
    """
    if not path.absolute().parent.is_dir():
        raise InputError(f"{str(path)!r} cannot be written: there is no folder {str(path.parent)!r}")
    if path.exists():
        try:
            read_instrument(path)
        except InputError as error:
            raise InputError(f"{str(path)!r} is no instrument file; choose another name with -o") from error


def read_instrument(path: str | Path) -> InstrumentFile:
    """Read a file that `cbldm calibrate` wrote, or one of the same layout that somebody wrote by hand.

    Args:
        path: The file: a table [instrument] with ``qdamp`` and ``qbroad`` in Å⁻¹, and perhaps [standard].

    Raises:
        InputError: The file cannot be read, is no TOML, or lacks, adds or misstates anything.
    """
    path = Path(path)
    where = repr(str(path))
    try:
        if not path.is_file():
            raise InputError(f"{where} is {'a folder' if path.is_dir() else 'not there'}; an instrument file is needed")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{where} is too large for an instrument file; it has at most {MAX_BYTES} bytes")
        content = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"{where} cannot be read as an instrument file (TOML): {reason}") from error
    _check_keys(content, ("instrument", "standard"), where, "")
    instrument, standard = (_table(content, name, where) for name in ("instrument", "standard"))
    _check_keys(instrument, KEYS, where, "[instrument] ")
    missing = [name for name in KEYS if name not in instrument]
    if missing:
        raise InputError(f"{where}: [instrument] lacks {' and '.join(missing)}; it needs qdamp and qbroad in Å⁻¹")
    values = {name: _number(instrument[name], allowed_range(name), f"{where}: [instrument] {name}") for name in KEYS}
    _check_standard(standard, where)
    return InstrumentFile(values["qdamp"], values["qbroad"], standard, path.name)


def _check_standard(standard: Mapping[str, Any], where: str) -> None:
    _check_keys(standard, (*_STANDARD, "uncertainties"), where, "[standard] ")
    for name, value in standard.items():
        label = f"{where}: [standard] {name}"
        rule = _STANDARD.get(name)
        if isinstance(rule, _Text):
            if not isinstance(value, str) or not re.fullmatch(rule.pattern, value):
                raise InputError(f"{label} must be a text of the form {rule.pattern} (got {str(value)[:40]!r})")
        elif rule is not None:
            _number(value, rule, label)
    uncertainties = _table(standard, "uncertainties", where)
    _check_keys(uncertainties, _UNCERTAINTIES, where, "[standard.uncertainties] ")
    for name, value in uncertainties.items():
        _number(value, _POSITIVE, f"{where}: [standard.uncertainties] {name}")


def _check_keys(table: Mapping[str, Any], allowed: tuple[str, ...], where: str, label: str) -> None:
    foreign = [name for name in table if name not in allowed]
    if foreign:
        raise InputError(f"{where}: {label}{foreign[0][:40]!r} is not known; known are {', '.join(allowed)}")


def _table(content: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise InputError(f"{where}: {name} must be a table, [{name}] (got {str(table)[:40]!r})")
    return table


def _number(value: Any, limits: tuple[float, float], label: str) -> float:
    low, high = limits
    span = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
    # A bool is an int for Python, and no number for people.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high or value == math.inf:
        raise InputError(f"{label} must be a number, {span} (got {str(value)[:40]!r})")
    return float(value)
