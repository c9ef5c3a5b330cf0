"""Relaxed surfaces by effective-medium theory, apart because this is the only data code that needs ASE.

EMT (Jacobsen, Stoltze and Nørskov 1996) shortens the bonds of under-coordinated atoms as real fcc metals do.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.emt import EMT
from ase.optimize import FIRE
from scipy.spatial import cKDTree

from cbldm.errors import CbldmError, InputError
from cbldm.types import Cluster

#: Metals that EMT describes, with their bulk nearest-neighbour distance in Å.
BULK_BOND = {"Ni": 2.49, "Cu": 2.55, "Pd": 2.75, "Ag": 2.89, "Pt": 2.77, "Au": 2.88, "Al": 2.86}
#: Motifs that EMT does not turn into a close packing at once.
CLOSE_PACKED = ("fcc", "hcp", "twin", "faulted", "decahedron", "icosahedron")
MAX_STEPS = 1000


def relax_emt(cluster: Cluster, element: str, fmax: float = 0.02) -> Cluster:
    """The cluster at the nearest minimum of the EMT energy, again in units of its (median) nearest-neighbour distance.

    Args:
        cluster: A close-packed cluster of any size.
        element: One of `BULK_BOND`.
        fmax: Largest force left on an atom, in eV/Å.

    Raises:
        InputError: If EMT does not know the element or the motif is not close-packed.
        CbldmError: If the forces stay above fmax.
    """
    if element not in BULK_BOND:
        raise InputError(f"EMT cannot relax {element!r}; allowed are {', '.join(BULK_BOND)}")
    if cluster.motif not in CLOSE_PACKED:
        raise InputError(f"EMT cannot relax a {cluster.motif} cluster; allowed are {', '.join(CLOSE_PACKED)}")
    atoms = Atoms([element] * cluster.n_atoms, positions=BULK_BOND[element] * cluster.positions, calculator=EMT())
    if not FIRE(atoms, logfile=None).run(fmax=fmax, steps=MAX_STEPS):
        raise CbldmError(f"EMT relaxation of {cluster.n_atoms} {element} atoms left forces above {fmax} eV/Å")
    relaxed = atoms.get_positions()
    nearest, _ = cKDTree(relaxed).query(relaxed, k=2)
    positions = (relaxed - relaxed.mean(axis=0)) / np.median(nearest[:, 1])
    return Cluster(positions, cluster.motif, cluster.family, {**cluster.parameters, "relaxed": element})
