"""What the user may choose, checked without loading what solving needs: a wrong option is said at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cbldm.errors import InputError

Source = Literal["cbldm", "library", "textbook", "all"]
#: Those for which the model is asked.
MODEL_SOURCES: tuple[str, ...] = ("cbldm", "all")


@dataclass(frozen=True)
class Options:
    """What the user may choose beside the data.

    Attributes:
        samples: Structures drawn from the model.
        candidates: Structures shown at most.
        n_atoms: Allowed atom counts, both ends included; any when None.
        source: Where structures come from: the model, templates up to 3000 atoms, textbook clusters up to 256 atoms
            (the yardstick of evaluations), or the model and the templates up to 3000 atoms.
        seed: Seed of every draw.
        device: ``cpu``, ``cuda`` or ``auto``.
        fit_qdamp: Whether Qdamp is fitted; it trades off with the size.
        fit_surface_uiso: Whether the surface atoms of candidates have an Uiso of their own; up to 400 atoms.
        weights: Folder of other weights than the shipped ones.
    """

    samples: int = 64
    candidates: int = 10
    n_atoms: tuple[int, int] | None = None
    source: Source = "cbldm"
    seed: int = 0
    device: str = "auto"
    fit_qdamp: bool = False
    fit_surface_uiso: bool = False
    weights: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InputError: A value is out of range.
        """
        for name, limit in (("samples", 4096), ("candidates", 100)):
            value = getattr(self, name)
            if not 1 <= value <= limit:
                raise InputError(f"{name} must be 1 to {limit}, got {value}")
        if self.source not in get_args(Source):
            raise InputError(f"source must be one of {', '.join(get_args(Source))}, got {self.source!r}")
        if self.n_atoms is not None and not 5 <= self.n_atoms[0] <= self.n_atoms[1]:
            raise InputError(f"n_atoms must be LO-HI with 5 <= LO <= HI, got {self.n_atoms[0]}-{self.n_atoms[1]}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed must be 0 to 2^63 - 1, got {self.seed}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise InputError(f"device must be auto, cpu or cuda, got {self.device!r}")

    @property
    def torch_device(self) -> str:
        """The device that will be used.

        Raises:
            InputError: ``cuda`` was asked for and is not there.
        """
        import torch

        there = torch.cuda.is_available()
        if self.device == "cuda" and not there:
            raise InputError("device cuda was asked for, but torch finds none; use --device cpu or auto")
        return "cuda" if there and self.device != "cpu" else "cpu"
