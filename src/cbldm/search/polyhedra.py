"""Polyhedra that a frame's planes bound: how short a description a cluster has, and regular shapes near it.

A cluster that a few planes at a few distances bound is far more likely than any single rough one, for there are few
of its kind: each plane distance of its own is one more number to say.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from cbldm.data.cuts import frame_planes, icosahedral_levels
from cbldm.geometry.frames import frame, stack_basis
from cbldm.types import FloatArray

Sites = NDArray[np.int64]

#: Heights that differ by less are one distance.
SAME_HEIGHT = 0.02
#: Layers by which a side of a prism is moved at once.
MOST_LAYERS = 2


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
        self.bits = 1 << np.arange(len(self.family), dtype=np.int64)
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

    def middles(self, sites: Sites) -> FloatArray:
        """(n_planes,) height of the cluster's centre along each plane's normal."""
        centre = self.sites[sites].mean(axis=0)
        if self.name == "decahedron":
            centre = np.array([0.0, 0.0, centre[2]])
        return np.asarray(self.normals @ centre)

    def description(self, sites: Sites) -> tuple[int, int]:
        """Sites that the bounding planes enclose but no atom fills, and the distinct distances of the needed planes."""
        limits, crystal = self.limits(sites), self.crystal(sites)
        outside = self._outside(limits, crystal)
        missing = int((outside == 0).sum()) - int(crystal[sites].sum())
        missing += 2 * int((~crystal[sites]).sum())
        needed = self._needed(outside)
        distance = np.round((limits - self.middles(sites))[needed] / SAME_HEIGHT)
        return missing, len(set(zip(self.kind[needed].tolist(), distance.tolist(), strict=True)))

    def _outside(self, limits: FloatArray, crystal: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The planes beyond which each site of a crystal lies, a bit for each plane; 0 for the sites inside."""
        return np.asarray((self.heights[crystal] > limits + SAME_HEIGHT) @ self.bits)

    def _needed(self, outside: NDArray[np.int64]) -> NDArray[np.int64]:
        """Planes that together keep out what all keep out: those that keep out least are dropped where others suffice.

        Args:
            outside: Of `_outside`.
        """
        found, many = np.unique(outside[outside != 0], return_counts=True)
        kept_out = ((found[:, None] & self.bits) != 0).T @ many
        needed = []
        for plane in kept_out.argsort(kind="stable"):
            bit = self.bits[plane]
            if (found == bit).any():
                needed.append(plane)
            else:
                found &= ~bit
        return np.array(needed, dtype=np.int64)

    def regular(self, sites: Sites) -> list[Sites]:
        """Regular polyhedra near a cluster: its hull, with planes of a kind at one distance, or a layer off."""
        limits, crystal = self.limits(sites), self.crystal(sites)
        made = [limits]
        middles = self.middles(sites)
        distance = limits - middles
        equal = distance.copy()
        for kind in np.unique(self.kind):
            mine = self.kind == kind
            equal[mine] = np.median(distance[mine])
        made += [middles + equal]
        for kind in np.unique(self.kind):
            for step in (-0.45, 0.45):
                made.append(middles + equal + step * (self.kind == kind))
                made.append(limits + step * (self.kind == kind))
        found = [self.filled(option, crystal) for option in made]
        return [option for option in found if len(option) >= 5]

    def prisms(self, sites: Sites) -> list[Sites]:
        """Parallelepipeds near an hcp cluster: its base and two of its sides, each as it is or some layers off.

        hcp comes as prisms and ribbons whose sides are of many lengths; one facet more or less fits worse than both.
        """
        if self.name != "hcp":
            return []
        limits = self.limits(sites)
        opposite = (self.normals @ self.normals.T).argmin(axis=1)
        base = int(self.normals[:, 2].argmax())
        flat = np.flatnonzero((abs(self.normals[:, 2]) < 0.1) & (np.arange(len(opposite)) < opposite))
        below = {int(plane): self._below(plane, limits[plane]) for plane in (base, *flat)}
        found = []
        for one, other in combinations(flat, 2):
            if self.family[one] != self.family[other]:
                continue
            three = [base, int(one), int(other)]
            ends = opposite[three]
            ahead = self.plain & (self.heights[:, ends] <= limits[ends] + SAME_HEIGHT).all(axis=1)
            for first, second, third in product(*(below[plane] for plane in three)):
                found.append(np.flatnonzero(ahead & first & second & third))
        return [option for option in found if len(option) >= 5]

    def _below(self, plane: int, limit: float) -> list[NDArray[np.bool_]]:
        """The sites (n_sites,) up to the layer at a height along a plane's normal, and up to each of those about it."""
        heights = self.heights[:, plane]
        layers = np.unique(np.round(heights / SAME_HEIGHT)) * SAME_HEIGHT
        steps = abs(layers - limit).argmin() + np.arange(-MOST_LAYERS, MOST_LAYERS + 1)
        return [heights <= layers[step] + SAME_HEIGHT for step in np.clip(steps, 0, len(layers) - 1)]


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
