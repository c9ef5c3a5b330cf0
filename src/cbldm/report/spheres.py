"""Clusters as shaded spheres: how they are turned, what an atom's colour says, and the picture as pixels.

Nothing here needs matplotlib: the pages show the same poses and colours, and must not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from cbldm.types import FloatArray

#: Atoms within this many nearest-neighbour distances are counted as neighbours.
NEIGHBOUR_REACH = 1.25
#: Colours of atoms with at most 5, with 6, 7, 8, 9 and with at least 10 neighbours.
COORDINATION_COLOURS = ("#b64a34", "#dd7f45", "#eebb66", "#ebe3c5", "#8db7cd", "#517fa6")
COORDINATION_LABELS = ("≤ 5", "6", "7", "8", "9", "≥ 10")
#: Turns about the horizontal and the vertical axis of a picture, in degrees, that open up the rows of atoms.
TILT = (17.0, 12.0)
#: Bonds whose directions have a cosine above this are parallel.
PARALLEL = 0.98
#: Most atoms, the innermost ones, whose bonds are compared for that.
MOST_COMPARED = 200
#: Direction to the light, in front of the picture from the upper left.
LIGHT = np.array([-0.42, 0.55, 0.72]) / np.linalg.norm([-0.42, 0.55, 0.72])
#: How much an atom fades for each diameter that it lies behind the foremost one, and what at least is left of it.
FADING, LEAST_FADED = 0.035, 0.7
#: How much darker a point is whose sky is hidden by other atoms.
SHADOW = 0.8
#: Rendered pixels per pixel of the picture, along each axis.
OVERSAMPLING = 2


def pose(positions: FloatArray) -> FloatArray:
    """Turn a cluster so that a picture shows its shape: down its densest rows, a facet level, then tilted by `TILT`.

    A proper rotation, so that a handed structure keeps its hand. Rows of atoms, unlike principal axes, are well defined
    for clusters of high symmetry too.

    Args:
        positions: (n_atoms, 3) in Å, of at least two atoms.

    Returns:
        (n_atoms, 3) in Å: right, up and towards the viewer, with the middle of its extent at the origin.

    >>> square = np.array([[0.0, 0, 0], [0, 0, 2], [0, 2, 0], [0, 2, 2]])
    >>> bool(np.isclose(np.linalg.norm(pose(square)[3] - pose(square)[0]), 8**0.5))
    True
    """
    towards = _densest_row(positions)
    right, up = np.linalg.svd(towards[None])[2][1:]
    angles = np.deg2rad(np.arange(180))
    levels = np.cos(angles)[:, None] * up + np.sin(angles)[:, None] * right
    heights = positions @ levels.T
    up = levels[np.argmin(np.ptp(heights, axis=0))]
    height = positions @ up
    if height.mean() > (height.min() + height.max()) / 2:
        up = -up
    turned = positions @ np.stack([np.cross(up, towards), up, towards], axis=1) @ _tilt(*np.deg2rad(TILT)).T
    return turned - (turned.min(axis=0) + turned.max(axis=0)) / 2


def _densest_row(positions: FloatArray) -> FloatArray:
    """The unit vector along which most bonds of the core lie."""
    from_centre = np.linalg.norm(positions - positions.mean(axis=0), axis=1)
    core = positions[np.argsort(from_centre, kind="stable")[:MOST_COMPARED]]
    vectors = core[:, None] - core[None]
    bonded = np.triu(neighbours(core))
    bonds = vectors[bonded] / np.linalg.norm(vectors[bonded], axis=1, keepdims=True)
    cosines = bonds @ bonds.T
    best = cosines[np.argmax(np.sum(np.abs(cosines) > PARALLEL, axis=1))]
    mean = (np.sign(best) * (np.abs(best) > PARALLEL)) @ bonds
    return mean / np.linalg.norm(mean)


def _tilt(about_x: float, about_y: float) -> FloatArray:
    """The matrix that shows more of the top and of the right side; angles in radians."""
    cx, sx, cy, sy = np.cos(about_x), np.sin(about_x), np.cos(about_y), np.sin(about_y)
    return np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]]) @ np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])


def nearest_neighbour_distance(positions: FloatArray) -> float:
    """Median over the atoms of the distance to the nearest other atom, in the unit of the (n_atoms, 3) positions.

    >>> nearest_neighbour_distance(np.array([[0.0, 0, 0], [2.5, 0, 0], [6.0, 0, 0]]))
    2.5
    """
    return float(np.median(np.min(_distances(positions), axis=1)))


def neighbours(positions: FloatArray) -> NDArray[np.bool_]:
    """(n_atoms, n_atoms): which atoms are within `NEIGHBOUR_REACH` nearest-neighbour distances of each other.

    >>> neighbours(np.array([[0.0, 0, 0], [2.5, 0, 0], [5.0, 0, 0]])).sum(axis=1)
    array([1, 2, 1])
    """
    return _distances(positions) < NEIGHBOUR_REACH * nearest_neighbour_distance(positions)


def _distances(positions: FloatArray) -> FloatArray:
    """(n_atoms, n_atoms), with infinity on the diagonal so that no atom is its own neighbour."""
    distances = cdist(positions, positions)
    np.fill_diagonal(distances, np.inf)
    return np.asarray(distances)


def colour_table() -> FloatArray:
    """(6, 3) `COORDINATION_COLOURS` as red, green and blue between 0 and 1."""
    return np.array([list(bytes.fromhex(colour[1:])) for colour in COORDINATION_COLOURS]) / 255


def colours_of(counts: NDArray[np.int64]) -> FloatArray:
    """(n_atoms, 3) colours of atoms with these numbers of neighbours."""
    table = colour_table()
    return np.asarray(table[np.clip(counts - 5, 0, len(table) - 1)])


def render(centres: FloatArray, radius: float, colours: FloatArray, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw opaque spheres, seen from far away, on white: at each pixel the foremost sphere, lit from the upper left.

    Args:
        centres: (n_atoms, 3) in pixels from the middle of the picture: right, up and towards the viewer.
        radius: Of every sphere, in pixels.
        colours: (n_atoms, 3) red, green and blue between 0 and 1.
        size: Height and width of the picture, in pixels.

    Returns:
        (height, width, 3) red, green and blue, the first row on top.

    >>> picture = render(np.zeros((1, 3)), 3.0, np.array([[1.0, 0.0, 0.0]]), (8, 8))
    >>> picture.shape, int(picture[0, 0].min()), bool(picture[4, 4, 0] > picture[4, 4, 1])
    ((8, 8, 3), 255, True)
    """
    spheres, radius = OVERSAMPLING * centres, OVERSAMPLING * radius
    ball = _Ball(radius)
    # A margin, cut off in the end, for spheres that reach beyond the picture.
    margin = len(ball.height)
    height, width = (OVERSAMPLING * length + 2 * margin for length in size)
    depth = np.full((height, width), -np.inf, dtype=np.float32)
    owner = np.full((height, width), -1, dtype=np.int16)
    middles = np.round(np.stack([height / 2 - spheres[:, 1], width / 2 + spheres[:, 0]], axis=1)).astype(int)
    corners = np.clip(middles - margin // 2, 0, [height - margin, width - margin])
    blocks = [np.s_[top : top + margin, left : left + margin] for top, left in corners]
    for index, (block, z) in enumerate(zip(blocks, spheres[:, 2].astype(np.float32), strict=True)):
        surface = z + ball.height
        front = surface > depth[block]
        np.copyto(depth[block], surface, where=front)
        np.copyto(owner[block], index, where=front)
    touching = _distances(spheres) < 2 * NEIGHBOUR_REACH * radius
    # Colour by colour and as lists of pixels: choosing pixels of three numbers takes many times as long.
    picture = np.ones((3, height * width), dtype=np.float32)
    places = (width * np.arange(margin)[:, None] + np.arange(margin)).ravel()
    for index, (block, sphere) in enumerate(zip(blocks, spheres, strict=True)):
        seen = np.flatnonzero(owner[block] == index)
        others = (spheres[touching[index]] - sphere) / (2 * radius)
        behind = (spheres[:, 2].max() - sphere[2]) / (2 * radius)
        kept = np.float32(max(1 - FADING * behind, LEAST_FADED))
        pixels = corners[index] @ [width, 1] + places[seen]
        for channel, lit in zip(picture, ball.lit(colours[index], seen, others), strict=True):
            channel[pixels] = 1 - kept * (1 - lit)
    inner = picture.reshape(3, height, width)[:, margin:-margin, margin:-margin]
    fine = inner.reshape(3, size[0], OVERSAMPLING, size[1], OVERSAMPLING)
    total = np.asarray(sum(fine[:, :, i, :, j] for i in range(OVERSAMPLING) for j in range(OVERSAMPLING)))
    return np.ascontiguousarray(np.moveaxis(np.round(255 / OVERSAMPLING**2 * total).astype(np.uint8), 0, -1))


class _Ball:
    """A sphere around a corner of four pixels: all are alike, so what needs no neighbour is computed once.

    Args:
        radius: In pixels.
    """

    def __init__(self, radius: float) -> None:
        half = int(np.ceil(radius))
        right = (np.arange(-half, half) + 0.5) / radius
        up = -right[:, None]
        towards = np.sqrt(np.maximum(1 - right**2 - up**2, 0.0))
        #: (width, width) in pixels above the centre, -inf beside the sphere.
        self.height = np.where(towards > 0, radius * towards, -np.inf).astype(np.float32)
        normals = np.stack([part.ravel() for part in np.broadcast_arrays(right, up, towards)])
        rim = np.clip(normals[2] / 0.45, 0.0, 1.0) ** 0.7
        brightness = (0.52 + 0.68 * np.maximum(LIGHT @ normals, 0.0)) * (0.4 + 0.6 * rim)
        half_way = LIGHT + np.array([0.0, 0.0, 1.0])
        highlight = 0.25 * np.maximum(half_way @ normals / np.linalg.norm(half_way), 0.0) ** 40
        self._normals, self._brightness, self._highlight = (
            table.astype(np.float32) for table in (normals, brightness, highlight)
        )

    def lit(self, colour: FloatArray, seen: NDArray[np.int64], others: FloatArray) -> Iterator[NDArray[np.float32]]:
        """Blinn-Phong shading, darker at the rim and beside other spheres: (n,) red, green and blue in turn.

        Args:
            colour: (3,) red, green and blue between 0 and 1.
            seen: (n,) which pixels of its square are seen, counted row by row.
            others: (m, 3) from here to the spheres around, in diameters: each hides its solid angle times its cosine.
        """
        distances = np.linalg.norm(others, axis=1)
        directions, angles = others.T / distances, 0.25 / distances**2
        cosines = np.maximum(directions.T.astype(np.float32) @ self._normals.take(seen, axis=1), 0)
        openness = np.maximum(1 - SHADOW * (angles.astype(np.float32) @ cosines), 0)
        brightness, highlight = self._brightness[seen] * openness, self._highlight[seen]
        for part in colour.astype(np.float32):
            yield np.minimum(part * brightness + highlight, 1)
