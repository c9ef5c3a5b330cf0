"""Candidates from a results folder, as `cbldm.results.write_solution` left them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cbldm.data.file_bytes import read_bytes
from cbldm.data.structure_files import read_structure
from cbldm.errors import InputError
from cbldm.types import MOTIFS, Candidate, Fit


def read_candidates(folder: str | Path) -> list[Candidate]:
    """The candidates of a results folder, best first, with their structures and curves.

    Args:
        folder: Where ``results.json``, ``candidates`` and ``fits`` are.

    Raises:
        InputError: The folder, or a file that belongs to it, is missing or not as cbldm writes it.
    """
    folder = Path(folder)
    where = repr(str(folder / "results.json"))
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is no folder; the results of cbldm solve are needed")
    try:
        content = json.loads(read_bytes(folder / "results.json", "the results.json of cbldm solve"))
        entries = content["candidates"]
        candidates = [_candidate(folder, entry) for entry in entries]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{where} is not as cbldm solve writes it ({type(error).__name__}: {' '.join(str(error).split()):.60})"
        ) from error
    if not candidates:
        raise InputError(f"{where} has no candidates; there is nothing to draw")
    return candidates


def _candidate(folder: Path, entry: Mapping[str, Any]) -> Candidate:
    rank = int(entry["rank"])
    if entry["motif"] not in MOTIFS:
        raise ValueError(f"motif {entry['motif']!r}")
    distance = entry["rmsd_to_rank1_A"]
    return Candidate(
        rank=rank,
        atoms=read_structure(folder / "candidates" / f"{rank:02d}.xyz"),
        motif=entry["motif"],
        source=str(entry["source"]),
        fit=_read_fit(folder / "fits" / f"{rank:02d}.fgr"),
        parameters={
            "scale": float(entry["scale"]), "stretch": float(entry["stretch"]), "uiso": float(entry["uiso_A2"]),
            "delta2": float(entry["delta2_A2"]), "qdamp": float(entry["qdamp"]),
        } | ({} if entry["surface_uiso_A2"] is None else {"surface_uiso": float(entry["surface_uiso_A2"])}),
        moved_median=float(entry["moved_median_A"]),
        moved_max=float(entry["moved_max_A"]),
        rmsd_to_rank1=None if distance is None else float(distance),
        weight=float(entry["weight"]),
        group=int(entry["group"]),
    )  # fmt: skip


def _read_fit(path: Path) -> Fit:
    """The curves of a .fgr file of ours: r, calculated, two unused, observed − calculated, and a background if any."""
    lines = read_bytes(path, "a .fgr file of cbldm solve").decode(errors="replace").splitlines()
    start = next((index for index, line in enumerate(lines) if line.startswith("#L ")), len(lines))
    try:
        table = np.array([[float(word) for word in line.split()] for line in lines[start + 1 :]])
        r, calculated, _, _, difference, *background = table.T
        if len(background) > 1:
            raise ValueError(f"{len(table.T)} columns")
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not a .fgr file as cbldm solve writes it") from error
    if len(r) < 2 or not np.isfinite(table).all():
        raise InputError(f"{str(path)!r} must hold at least two points, and finite numbers only")
    return Fit(r, calculated + difference, calculated, background[0] if background else None)
