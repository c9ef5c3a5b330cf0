"""The nouns of cbldm: settings with their origin, a cluster, a PDF, a fit, a candidate and a solution.

This module is the ground floor: it imports numpy and nothing of cbldm but its errors and the names of its views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cbldm.errors import InputError
from cbldm.views import Shown, views

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

#: Where a value came from, as echoed to the user.
Origin = Literal["header", "option", "instrument", "default", "data"]

#: Unit of length of the network's input: the first peak of G(r), or a fixed number of Å.
InputUnit = Literal["first_peak", "angstrom"]

#: Atomic arrangements that a cluster can be labelled with. ``twin`` and ``faulted`` are close-packed stacks.
MOTIFS = ("fcc", "hcp", "twin", "faulted", "bcc", "sc", "decahedron", "icosahedron")


@dataclass(frozen=True)
class Setting:
    """A value together with its origin.

    Attributes:
        value: The value in the field's unit, or None where it is unknown.
        source: ``header``, ``option``, ``instrument`` (a file of the instrument), ``default`` or ``data`` (estimated
            from the measured curve).
        note: One clause on why the value is not what the header says, or an empty string.
    """

    value: Any
    source: Origin
    note: str = ""


@dataclass(frozen=True)
class Instrument:
    """What the measurement does to an ideal G(r).

    Attributes:
        qmin: Lower end of the Fourier integral, in Å⁻¹.
        qmax: Upper end of the Fourier integral, in Å⁻¹.
        qdamp: Gaussian damping of the resolution, in Å⁻¹.
        qbroad: Broadening of peaks with distance, in Å⁻¹.
    """

    qmin: float
    qmax: float
    qdamp: float = 0.0
    qbroad: float = 0.0


@dataclass(frozen=True)
class Cluster:
    """A monometallic cluster without scale or element.

    Attributes:
        positions: (n_atoms, 3) in units of the nearest-neighbour distance.
        motif: One of `MOTIFS`.
        family: The generator that made it, for example ``octahedron`` or ``marks decahedron``.
        parameters: The generator's parameters.
    """

    positions: FloatArray
    motif: str
    family: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.positions)


@dataclass(frozen=True)
class Pdf:
    """A measured or simulated pair distribution function on its own r grid.

    Attributes:
        r: (n,) distances in Å, strictly increasing.
        g: (n,) G(r) in Å⁻².
        dg: (n,) standard uncertainty of G in Å⁻², or None where the file has none.
        settings: ``element``, ``qmin``, ``qmax``, ``qdamp``, ``qbroad``, ``rmin``, ``rmax``, ``background`` with their
            origin.
        file: Name of the file without its folder, or an empty string for arrays.
        sha256: Digest of the file's bytes (of the arrays' bytes where there is no file).
        dialect: The file format as recognised, for example ``PDFgetX3``.
        warnings: One line for each thing that a careful user should know.
        metadata: Other numbers of the header by name, such as ``temperature``, as written.
    """

    r: FloatArray
    g: FloatArray
    dg: FloatArray | None
    settings: Mapping[str, Setting]
    file: str = ""
    sha256: str = ""
    dialect: str = "arrays"
    warnings: tuple[str, ...] = ()
    metadata: Mapping[str, float] = field(default_factory=dict)

    @property
    def element(self) -> str | None:
        """Chemical symbol, or None where nobody said."""
        return self.settings["element"].value

    @property
    def n_background(self) -> int:
        """Number of terms of the background that is fitted beside the structure; 0 where nobody asked for one."""
        return int(self.settings["background"].value) if "background" in self.settings else 0

    @property
    def instrument(self) -> Instrument:
        """The settings that the physics needs; qmin, qmax, qdamp and qbroad must be known."""
        return Instrument(*(float(self.settings[key].value) for key in ("qmin", "qmax", "qdamp", "qbroad")))


@dataclass(frozen=True)
class Fit:
    """Observed and calculated G(r) of one candidate on the fitted range.

    Attributes:
        r: (n,) in Å.
        observed: (n,) in Å⁻².
        calculated: (n,) in Å⁻², scale and background included.
        background: (n,) the smooth part of ``calculated`` that no atom makes, in Å⁻²; None where none was fitted.
    """

    r: FloatArray
    observed: FloatArray
    calculated: FloatArray
    background: FloatArray | None = None

    @property
    def difference(self) -> FloatArray:
        """Observed minus calculated, in Å⁻²."""
        return self.observed - self.calculated

    @property
    def rw(self) -> float:
        """Agreement factor sqrt(Σ difference² / Σ observed²)."""
        return float(np.sqrt(np.sum(self.difference**2) / np.sum(self.observed**2)))

    @property
    def background_share(self) -> float:
        """Size of the background relative to the data, sqrt(Σ background² / Σ observed²)."""
        if self.background is None:
            return 0.0
        return float(np.sqrt(np.sum(self.background**2) / np.sum(self.observed**2)))


@dataclass(frozen=True)
class Candidate:
    """One structure that fits the PDF.

    Attributes:
        rank: 1 for the best.
        atoms: ASE atoms, positions in Å, centred on the origin, right element.
        motif: One of `MOTIFS`.
        source: ``cbldm``, ``library``, ``neighbour`` (another PDF's candidate) or ``given``.
        fit: The curves behind ``rw``.
        parameters: ``scale``, ``stretch``, ``uiso`` (Å²), ``delta2`` (Å²), ``qdamp`` (Å⁻¹); and
            ``surface_uiso`` (Å²) where it was fitted.
        moved_median: Median displacement of the atoms during the restrained refinement, in Å.
        moved_max: Largest displacement of an atom during the restrained refinement, in Å.
        rmsd_to_rank1: Å, up to rigid motion, reflection and relabelling; None where the atom counts differ.
        weight: Posterior probability among the candidates.
        group: 1 for all that fit as well as rank 1, 2 for those that fit as well as the best of the rest, and so on.
        freedom: Effective number of fitted parameters: atoms under a restraint are not free.
        converged: Whether the refinement ended at its tolerance.
        rw_left_out: Rw on data that were left out of a second refinement; NaN where there was none.
        rw_left_out_rigid: The same before the positions were refined.
    """

    rank: int
    atoms: Atoms
    motif: str
    source: str
    fit: Fit
    parameters: Mapping[str, float]
    moved_median: float
    moved_max: float
    rmsd_to_rank1: float | None
    weight: float = 1.0
    group: int = 1
    freedom: float = 4.0
    converged: bool = True
    rw_left_out: float = float("nan")
    rw_left_out_rigid: float = float("nan")

    @property
    def rw(self) -> float:
        """Agreement factor of the fit."""
        return self.fit.rw

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.atoms)

    @cached_property
    def diameter(self) -> float:
        """Largest distance between two atoms, in Å."""
        # Later than the module, so that --help need not wait for scipy.
        from scipy.spatial.distance import pdist

        return float(np.max(pdist(self.atoms.get_positions()), initial=0.0))

    def plot(self, width: float = 3.4) -> Figure:
        """Data, fit and difference as a matplotlib figure, ``width`` inches wide."""
        return views().fit_figure(self, width)

    def view(self) -> Shown:
        """The structure for a notebook, to be turned."""
        return views().structure(self)

    def _repr_html_(self) -> str:
        return views().candidate_html(self)


@dataclass(frozen=True)
class Flag:
    """A sign that the sample is not one cluster of one element as the settings say.

    Attributes:
        kind: For example ``misfit`` or ``unit of r``.
        text: One line: what was seen, and what the user can do.
        value: What was measured.
        limit: What it was compared with.
    """

    kind: str
    text: str
    value: float
    limit: float


@dataclass(frozen=True)
class Solution:
    """Everything that `solve` found, and how.

    Attributes:
        pdf: The data as used.
        candidates: Ranked, distinct structures, best first.
        rejected: Count of samples not shown, by reason.
        warnings: One line each.
        model: ``name`` and ``sha256`` of the weights; empty where no model was used.
        seed: The seed of every random draw.
        device: ``cpu`` or ``cuda``.
        seconds: Time of each stage: load, sample, search, recover, refine, rank, total.
        estimates: What was read from the data before sampling: ``dnn`` (Å), ``n_atoms`` and ``motif`` distributions.
        raw: Positions (n_atoms, 3) in Å of samples as the network drew them, before moves and refinement, those that
            fit best first; empty where no model was used.
        flags: Signs that the sample is unfamiliar; their lines are among the warnings.
    """

    pdf: Pdf
    candidates: Sequence[Candidate]
    rejected: Mapping[str, int]
    warnings: Sequence[str]
    model: Mapping[str, str]
    seed: int
    device: str
    seconds: Mapping[str, float]
    estimates: Mapping[str, Any]
    raw: Sequence[FloatArray] = ()
    flags: Sequence[Flag] = ()

    def plot(self, width: float = 3.4) -> Figure:
        """Data, best fit and difference as a matplotlib figure, ``width`` inches wide; there must be a candidate."""
        if not self.candidates:
            raise InputError("a solution without candidates cannot be plotted")
        return self.candidates[0].plot(width)

    def _repr_html_(self) -> str:
        return views().solution_html(self)
