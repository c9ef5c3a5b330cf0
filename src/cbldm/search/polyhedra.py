"""Polyhedra that a frame's planes bound: how short a description a cluster has, and regular shapes near it.

A cluster that a few planes at a few distances bound is far more likely than any single rough one, for there are few
of its kind: each plane distance of its own is one more number to say.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from cbldm.data.cuts import frame_planes, icosahedral_levels
from cbldm.geometry.frames import frame, stack_basis
from cbldm.types import FloatArray

Sites = NDArray[np.int64]

#: Heights that differ by less are one distance.
SAME_HEIGHT = 0.02


class Polyhedra:
    """The planes of one frame.

    Args:
        name: Name of the frame.
    """

    def __init__(self, name: str) -> None:
        self.name, self.sites = name, frame(name).sites
        planes = frame_planes(name)
        self.heights = planes.heights.double().numpy()
        self.normals = planes.normals.double().numpy()
        self.family = planes.family.numpy()
        #: Planes whose distances can be equal by symmetry.
        slope = np.round(abs(self.normals[:, 2]), 3) if name in ("hcp", "stack", "decahedron") else 0 * self.family
        merged = np.minimum(self.family, 3) if name in ("hcp", "stack") else self.family
        merged = np.array([0, 1, 2, 2, 4, 4])[merged] if name == "decahedron" else merged
        self.kind = np.unique(np.stack([merged, slope], axis=1), axis=0, return_inverse=True)[1].ravel()
        self.plain = np.ones(len(self.sites), dtype=bool)
        if name == "icosahedron":
            self.plain = icosahedral_levels("cpu")[0].numpy() >= 0
        self.layers = _layers(self.sites) if name == "stack" else None

    def limits(self, sites: Sites) -> FloatArray:
        """(n_planes,) height of the outermost atom along each plane's normal."""
        return np.asarray(self.heights[sites].max(axis=0))

    def filled(self, limits: FloatArray, crystal: NDArray[np.bool_]) -> Sites:
        """Sites of a crystal below every plane's limit."""
        return np.flatnonzero((self.heights <= limits + SAME_HEIGHT).all(axis=1) & crystal)

    def crystal(self, sites: Sites) -> NDArray[np.bool_]:
        """(n_sites,) the sites that continue a cluster's lattice: in stacks, those of each layer's letter."""
        if self.layers is None:
            return self.plain
        layer, letter = self.layers
        votes = np.zeros((layer.max() + 1, 3), dtype=np.int64)
        np.add.at(votes, (layer[sites], letter[sites]), 1)
        return np.asarray((votes.argmax(axis=1)[layer] == letter) & (votes.sum(axis=1)[layer] > 0))

    def distances(self, sites: Sites, limits: FloatArray) -> FloatArray:
        """(n_planes,) distance of each plane from the cluster's centre."""
        centre = self.sites[sites].mean(axis=0)
        if self.name == "decahedron":
            centre = np.array([0.0, 0.0, centre[2]])
        return np.asarray(limits - self.normals @ centre)

    def description(self, sites: Sites) -> tuple[int, int]:
        """Sites that the bounding planes enclose but no atom fills, and the distinct distances of the needed planes."""
        limits, crystal = self.limits(sites), self.crystal(sites)
        beyond = self.heights[crystal] > limits + SAME_HEIGHT
        outside = beyond.sum(axis=1)
        missing = int((outside == 0).sum()) - int(crystal[sites].sum())
        missing += 2 * int((~crystal[sites]).sum())
        # A plane is needed where it alone keeps a site out.
        needed = beyond[outside == 1].any(axis=0)
        distance = np.round(self.distances(sites, limits)[needed] / SAME_HEIGHT)
        return missing, len(np.unique(np.stack([self.kind[needed], distance], axis=1), axis=0))

    def regular(self, sites: Sites) -> list[Sites]:
        """Regular polyhedra near a cluster: its hull, and hulls with planes of a kind or opposite planes made equal."""
        limits, crystal = self.limits(sites), self.crystal(sites)
        made = [limits]
        centre = limits - self.distances(sites, limits)
        distance = limits - centre
        equal = distance.copy()
        for kind in np.unique(self.kind):
            mine = self.kind == kind
            equal[mine] = np.median(distance[mine])
        made += [centre + equal]
        for kind in np.unique(self.kind):
            for step in (-0.45, 0.45):
                made.append(centre + equal + step * (self.kind == kind))
                made.append(limits + step * (self.kind == kind))
        found = [self.filled(option, crystal) for option in made]
        return [option for option in found if len(option) >= 5]


def _layers(sites: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n_sites,) layer and letter of each site of a stack."""
    layer = np.round(sites[:, 2] / stack_basis()[2, 2]).astype(np.int64)
    lattice = sites @ np.linalg.inv(stack_basis())
    letter = np.round(lattice[:, 0] - lattice[:, 1]).astype(np.int64) % 3
    return layer - layer.min(), letter


@cache
def polyhedra(name: str) -> Polyhedra:
    """The polyhedra of a frame, made once."""
    return Polyhedra(name)
