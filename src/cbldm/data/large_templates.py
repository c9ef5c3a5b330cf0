"""Templates of 20 to 3000 atoms of every motif, for particles larger than the generative model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import chain, product

import numpy as np

from cbldm.data.clusters import Lattice, decahedron
from cbldm.data.nests import MOST, REACH, Crystal, IntArray, Nest
from cbldm.geometry.frames import anti_mackay_cover, icosahedron_faces, icosahedron_vertices, mackay_shell, stack_basis
from cbldm.types import FloatArray

#: Above this count a form has no variants: particles so large differ in the data by their lattice and size at most.
VARIED_TO = 1500
#: Caps of icosahedra differ in their atom counts by at least this share.
CAP = 0.03
#: Longest decahedra: atoms along the axis, per atom across.
LONGEST_ROD = 2.5


def large_templates() -> Iterator[Nest]:
    """Every nest; not all of their clusters are distinct.

    fcc, bcc and sc grow around an atom, holes and the middle of a bond, as spheres and as polyhedra of {100}, {110}
    and {111} at many ratios of distances; hcp and fcc with one twin plane or a stacking fault as spheres, prisms and
    truncated bipyramids; decahedra as Ino and Marks decahedra of all p, q, r and as rounded ones, icosahedra shell by
    shell, with caps of the next shell, without corners, and as rounded ones, on and off their axes.
    """
    return chain(_octahedra(), _cubic_nests(), _stack_nests(), _decahedra(), _rounded_decahedra(), _icosahedra())


# Cubic lattices --------------------------------------------------------------------------------------------------

#: Centres in lattice constants; those of one kind are equal by symmetry.
_CENTRES: dict[Lattice, dict[str, tuple[float, float, float]]] = {
    "fcc": {"atom": (0, 0, 0), "octahedral hole": (0.5, 0, 0), "tetrahedral hole": (0.25, 0.25, 0.25),
            "bond": (0.25, 0.25, 0)},
    "bcc": {"atom": (0, 0, 0), "octahedral hole": (0.5, 0.5, 0), "bond": (0.25, 0.25, 0.25)},
    "sc": {"atom": (0, 0, 0), "cube": (0.5, 0.5, 0.5), "bond": (0.5, 0, 0)},
}  # fmt: skip
#: Rows: sites of the cubic cell in lattice constants; then the lattice constant in nearest-neighbour distances.
_BASIS: dict[Lattice, tuple[list[tuple[float, float, float]], float]] = {
    "fcc": ([(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)], float(np.sqrt(2))),
    "bcc": ([(0, 0, 0), (0.5, 0.5, 0.5)], float(2 / np.sqrt(3))),
    "sc": ([(0, 0, 0)], 1.0),
}
#: Distance of {100} from that of {111}, cube to octahedron, and how far {110} cuts into the edges that they leave.
_RATIOS = {"fcc": (0.58, 0.7, 0.8, 0.87, 1.05, 1.155, 1.3, 1.5, 1.732), "bcc": (0.58, 0.75, 0.95, 1.155, 1.5),
           "sc": (0.58, 0.8, 1.0, 1.3)}  # fmt: skip
_EDGES = {"fcc": (1.0, 0.89), "bcc": (1.0, 0.92, 0.82), "sc": (1.0, 0.9)}
#: Radius of a sphere that rounds a polyhedron, from the distance of its planes.
_ROUND = (1.06, 1.14)


def _cubic_nests() -> Iterator[Nest]:
    for lattice, centres in _CENTRES.items():
        for name, centre in centres.items():
            crystal = Crystal.of(_cubic_sites(lattice, centre), _cubic_symmetry(), lattice, name)
            radius = np.linalg.norm(crystal.sites, axis=1)
            cube, edge, octahedron = _plane_heights(crystal.sites)
            yield from crystal.grow(radius, lattice, "sphere")
            yield from crystal.grow(edge, lattice, "rhombic dodecahedron")
            for ratio in _RATIOS[lattice]:
                body = np.maximum(cube / ratio, octahedron)
                # {110} touches the edges of that body at this distance.
                touch = min(np.sqrt(2) * ratio, np.sqrt(1.5))
                for part in _EDGES[lattice]:
                    form = f"{{100}} {ratio:g}, {{111}} 1" + (f", {{110}} {part * touch:.3f}" if part < 1 else "")
                    most = VARIED_TO if part < 1 else MOST
                    yield from crystal.grow(np.maximum(body, edge / (part * touch)), lattice, form, most=most)
            for part in _ROUND:
                for plane, heights in (("{111}", octahedron), ("{100}", cube)):
                    body = np.maximum(radius / part, heights)
                    yield from crystal.grow(body, lattice, f"{plane} 1, radius {part}", most=VARIED_TO)


def _octahedra() -> Iterator[Nest]:
    """Octahedra of every edge with vertices truncated by every number of layers: the magic sizes of fcc."""
    half = np.sqrt(0.5)
    for name in ("atom", "octahedral hole"):
        crystal = Crystal.of(_cubic_sites("fcc", _CENTRES["fcc"][name]), _cubic_symmetry(), "fcc", name)
        layer = np.abs(crystal.sites / half).sum(axis=1)
        axis = np.abs(crystal.sites / half).max(axis=1)
        for cutoff in range(11):
            yield from crystal.grow(np.maximum(layer, axis + cutoff), "octahedron",
                                    f"{cutoff} layers off each vertex", step=0.0)  # fmt: skip


def _cubic_sites(lattice: Lattice, centre: tuple[float, float, float]) -> FloatArray:
    basis, constant = _BASIS[lattice]
    steps = np.arange(-int(REACH / constant) - 2, int(REACH / constant) + 3)
    cells = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    return _ball(constant * (np.concatenate([cells + np.array(site) for site in basis]) - np.array(centre)))


def _cubic_symmetry() -> list[FloatArray]:
    """Generators of the cubic group and of those of its subgroups that a bond or a hole has."""
    signs = [np.diag(s).astype(float) for s in ((-1, -1, -1), (1, 1, -1), (-1, -1, 1), (1, -1, -1))]
    swaps = [np.eye(3)[list(order)] for order in ((1, 2, 0), (1, 0, 2))]
    return signs + swaps + [np.diag([1.0, 1.0, -1.0]) @ swaps[1]]


def _plane_heights(sites: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(n_sites,) distances of the {100}, {110} and {111} planes through each site from the centre."""
    sums = np.cumsum(np.sort(np.abs(sites), axis=1)[:, ::-1], axis=1)
    return sums[:, 0], sums[:, 1] / np.sqrt(2), sums[:, 2] / np.sqrt(3)


# Stacks of close-packed layers -----------------------------------------------------------------------------------

#: Letter of layer n by motif, layer 0 in the middle: hcp, a twin plane at 0, and two hexagonal layers at 0 and 1.
_LETTERS = {
    "hcp": lambda n: n % 2,
    "twin": lambda n: abs(n) % 3,
    "faulted": lambda n: np.where(n > 0, 2 - n, -n) % 3,
}
#: Column and height (in layers) of the centres.
_MIDDLES = {
    "hcp": (("A", 0.0), ("C", 0.0), ("A", 0.5), ("C", 0.5)),
    "twin": (("A", 0.0), ("B", 0.0), ("A", 1.0), ("B", 1.0), ("A", 2.0)),
    "faulted": (("A", 0.5), ("C", 0.5)),
}


def _stack_nests() -> Iterator[Nest]:
    basis = stack_basis()
    layer = float(basis[2, 2])
    for motif, centres in _MIDDLES.items():
        stacked = _stacked(motif)
        for letter, height in centres:
            sites = _ball(stacked - "ABC".index(letter) * basis[0] - np.array([0.0, 0.0, height * layer]))
            crystal = Crystal.of(sites, _axial_symmetry(3), motif, f"column {letter}, {height:g} layers up")
            radius, across = np.linalg.norm(sites, axis=1), np.linalg.norm(sites[:, :2], axis=1)
            yield from crystal.grow(radius, motif, "sphere")
            for part in (0.75, 1.35):
                body = np.hypot(across, sites[:, 2] / part)
                yield from crystal.grow(body, motif, f"ellipsoid {part:g}", most=VARIED_TO)
            yield from _hexagonal_bodies(crystal) if motif == "hcp" else _twinned_bodies(crystal, height * layer)


def _hexagonal_bodies(crystal: Crystal) -> Iterator[Nest]:
    """Prisms of either orientation and bipyramids, and both together: base, prism faces, pyramid faces."""
    radius, up = np.linalg.norm(crystal.sites, axis=1), np.abs(crystal.sites[:, 2])
    for turn, name in ((0.0, "{10-10}"), (np.pi / 6, "{11-20}")):
        side = np.max(crystal.sites[:, :2] @ _around(6, turn).T, axis=1)
        for base in (0.6, 0.9, 1.3):
            prism = np.maximum(side, up / base)
            yield from crystal.grow(prism, "hcp prism", f"{name} 1, base {base:g}")
            if name == "{10-10}":
                # {10-11} is 61.9° steep; a smaller distance cuts deeper into the edges of the base.
                steep = np.arctan(np.sqrt(8 / 3) * 2 / np.sqrt(3))
                slanted = np.sin(steep) * side + np.cos(steep) * up
                touch = np.sin(steep) + base * np.cos(steep)
                for part in (0.9, 0.8):
                    body = np.maximum(prism, slanted / (part * touch))
                    yield from crystal.grow(body, "hcp polyhedron", f"{name} 1, base {base:g}, {{10-11}} {part:g}",
                                            most=VARIED_TO)  # fmt: skip
                yield from crystal.grow(np.maximum(prism, radius / (1.08 * max(1, base))), "hcp polyhedron",
                                        f"{name} 1, base {base:g}, rounded", most=VARIED_TO)  # fmt: skip


def _twinned_bodies(crystal: Crystal, height: float) -> Iterator[Nest]:
    """The facets of fcc on either side of a twin plane or fault, with a notch between the halves or without.

    Args:
        crystal: A stack.
        height: Of the centre above the middle of layer 0.
    """
    upper = crystal.sites[:, 2] > -height
    outwards = np.where(upper, 1.0, -1.0) * crystal.sites[:, 2]
    # Going outwards, layers shift along +x in both halves of a twin, along -x in the upper half beyond a fault.
    shift = np.where(upper & (crystal.motif == "faulted"), -1.0, 1.0)
    ahead, behind = (
        np.max(sign * shift[:, None] * crystal.sites[:, :2] @ _around(3, 0.0).T, axis=1) for sign in (1, -1)
    )
    third, half = np.arccos(1 / 3), np.arccos(1 / np.sqrt(3))
    octahedron = np.maximum(np.sin(third) * ahead + np.cos(third) * outwards, np.abs(crystal.sites[:, 2]))
    notch = np.sin(third) * behind - np.cos(third) * outwards
    cube = np.maximum(np.sin(half) * behind + np.cos(half) * outwards, np.sin(half) * ahead - np.cos(half) * outwards)
    radius = np.linalg.norm(crystal.sites, axis=1)
    for ratio in (0.9, 1.1):
        plain = np.maximum(octahedron, cube / ratio)
        form = f"{{111}} 1, {{100}} {ratio:g}"
        yield from crystal.grow(plain, crystal.motif, form)
        yield from crystal.grow(np.maximum(plain, notch), crystal.motif, f"{form}, notched", most=VARIED_TO)
        yield from crystal.grow(np.maximum(plain, radius / 1.15), crystal.motif, f"{form}, rounded", most=VARIED_TO)


def _stacked(motif: str) -> FloatArray:
    basis = stack_basis()
    rows = np.array([basis[0] + basis[1], 2 * basis[1] - basis[0]])
    steps = np.arange(-22, 23)
    plane = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2) @ rows
    plane = plane[np.linalg.norm(plane, axis=1) < REACH + 2.0]
    numbers = np.arange(-18, 19)
    return np.concatenate([
        plane + letter * basis[0] + number * np.array([0.0, 0.0, basis[2, 2]])
        for number, letter in zip(numbers, np.broadcast_to(_LETTERS[motif](numbers), numbers.shape), strict=True)
    ])  # fmt: skip


def _axial_symmetry(fold: int) -> list[FloatArray]:
    """The rotation about z, and mirrors, twofold axes and the inversion that a column of sites can have besides."""
    cosine, sine = np.cos(2 * np.pi / fold), np.sin(2 * np.pi / fold)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    half = np.diag([-1.0, -1.0, 1.0])
    return [turn] + [sign @ flip for sign in (np.eye(3), half) for flip in
                     (np.diag([1.0, -1.0, 1.0]), np.diag([1.0, 1.0, -1.0]), np.diag([1.0, -1.0, -1.0]))]  # fmt: skip


def _around(n: int, first: float) -> FloatArray:
    """(n, 2) unit vectors."""
    angles = first + 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _ball(points: FloatArray) -> FloatArray:
    return np.asarray(points[np.linalg.norm(points, axis=1) <= REACH])


# Multiply twinned particles --------------------------------------------------------------------------------------


@cache
def _endless_decahedron(parity: int) -> FloatArray:
    """(n_sites, 3) around an atom of the axis (0) or the middle of one of its bonds (1)."""
    return decahedron(13, 13 + parity, 0).positions


def _decahedral_crystals() -> Iterator[tuple[int, Crystal]]:
    """The decahedron without end, with an atom or the middle of a bond at its centre, and the parity of its heights."""
    for parity in (0, 1):
        sites = _ball(_endless_decahedron(parity))
        yield parity, Crystal.of(sites, _axial_symmetry(5), "decahedron", "atom" if parity == 0 else "bond")


def _ring_and_step(sites: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n_sites,) ring about the axis and the larger of the two coordinates along the spokes of its wedge."""
    angles = 2 * np.pi * np.arange(5) / 5
    sides = _around(5, np.pi / 5)
    ring = np.max(sites[:, :2] @ sides.T, axis=1) / (np.sqrt(3) / 2 * np.cos(np.pi / 5))
    # In the wedge of spokes v and w a site a v + b w has the height b sin(72°) above v.
    beside = np.abs(sites[:, 0, None] * np.sin(angles) - sites[:, 1, None] * np.cos(angles))
    before = sites[:, 0, None] * np.cos(angles) + sites[:, 1, None] * np.sin(angles)
    nearest = np.where(before > 0, beside, np.inf).min(axis=1)
    return np.round(ring), np.round(np.round(ring) - nearest / (np.sqrt(3) / 2 * np.sin(2 * np.pi / 5)))


def _decahedra() -> Iterator[Nest]:
    """Ino (r = 0) and Marks decahedra: those of one p and r grow with q, every second of which has the same centre."""
    for parity, crystal in _decahedral_crystals():
        ring, step = _ring_and_step(crystal.sites)
        height = np.round(2 * np.abs(crystal.sites[:, 2])) + ring
        for p, r in product(range(1, 13), range(5)):
            if p == 1 and r == 0:
                continue
            columns = (ring < p + 2 * r) & (step < p + r)
            longest = p + 2 * r + LONGEST_ROD * (p + r)
            joins = np.where(columns & (height <= longest), height, np.inf)
            # Below q = 1 the ends would cut into the rings.
            joins = np.maximum(joins, p + 2 * r - 1 + (p + 2 * r - 1 - parity) % 2)
            yield from crystal.grow(joins, "decahedron" if r == 0 else "marks decahedron", f"p {p}, r {r}", step=0.0)


def _rounded_decahedra() -> Iterator[Nest]:
    for _, crystal in _decahedral_crystals():
        for part in (0.7, 0.85, 1.0, 1.2, 1.4):
            body = np.hypot(np.linalg.norm(crystal.sites[:, :2], axis=1), crystal.sites[:, 2] / part)
            yield from crystal.grow(body, "decahedron", f"ellipsoid {part:g}", most=MOST if part == 1 else VARIED_TO)
    for parity, shift in product((0, 1), (-1.5, -0.75, 0.75, 1.5)):
        sites = _ball(_endless_decahedron(parity) - np.array([shift, 0.0, 0.0]))
        centre = f"{abs(shift):g} off the axis along {'a wedge' if shift < 0 else 'a twin plane'}"
        mirrors = [np.diag([1.0, -1.0, 1.0]), np.diag([1.0, 1.0, -1.0])]
        crystal = Crystal.of(sites, mirrors, "decahedron", centre)
        yield from crystal.grow(np.linalg.norm(sites, axis=1), "decahedron", "sphere", most=VARIED_TO)


def _icosahedra() -> Iterator[Nest]:
    shells = [mackay_shell(n) for n in range(13)]
    sites, shell = np.concatenate(shells), np.repeat(np.arange(13), [len(s) for s in shells])
    vertices = icosahedron_vertices()
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    crystal = Crystal.of(sites, _icosahedral_symmetry(vertices), "icosahedron", "atom")
    corner = np.max(sites @ vertices.T, axis=1)
    yield from crystal.grow(shell.astype(float), "icosahedron", "complete shells", step=0.0)
    for lost in (1, 2, 3):
        yield from crystal.grow(
            np.maximum(shell, corner + lost), "icosahedron", f"{lost} layers off each corner", step=0.0
        )
    yield from crystal.grow(np.linalg.norm(sites, axis=1), "icosahedron", "sphere")
    faces = vertices[icosahedron_faces()[0]]
    for name, fold, axis in (
        ("corner", 5, faces[0]),
        ("face", 3, faces.mean(axis=0)),
        ("edge", 2, faces[0] + faces[1]),
    ):
        axis = axis / np.linalg.norm(axis)
        off_axis = Crystal.of(sites, [_turn(axis, fold)], "icosahedron", "atom")
        for n in range(2, 11):
            yield from _capped(off_axis, shell, n, axis, f"cap on the {name} of shell {n}")
        for n in range(2, 8):
            # The next layer can also be stacked like hcp on the faces.
            cover = anti_mackay_cover(n - 1)
            covered = np.concatenate([sites[shell < n], cover])
            layer = np.repeat([0, n], [len(covered) - len(cover), len(cover)])
            twinned = Crystal.of(covered, [_turn(axis, fold)], "icosahedron", "atom")
            yield from _capped(twinned, layer, n, axis, f"hcp cap on the {name} of shell {n}")
        for shift in (0.6, 1.2):
            moved = Crystal.of(_ball(sites - shift * axis), [_turn(axis, fold)], "icosahedron",
                                f"{shift:g} towards the {name}")  # fmt: skip
            yield from moved.grow(np.linalg.norm(moved.sites, axis=1), "icosahedron", "sphere", most=VARIED_TO)


def _capped(crystal: Crystal, shell: IntArray, outer: int, axis: FloatArray, form: str) -> Iterator[Nest]:
    """The complete shells below a number, and a cap of that shell that grows around an axis."""
    height = np.where(shell == outer, -crystal.sites @ axis, np.where(shell < outer, -2.0 * REACH, np.inf))
    yield from crystal.grow(height, "icosahedron", form, step=CAP)


def _icosahedral_symmetry(vertices: FloatArray) -> list[FloatArray]:
    return [_turn(vertices[0], 5), _turn(vertices[1], 5), -np.eye(3), np.diag([-1.0, 1.0, 1.0])]


def _turn(axis: FloatArray, fold: int) -> FloatArray:
    """(3, 3) rotation about a unit vector by a full turn over `fold` (Rodrigues)."""
    angle = 2 * np.pi / fold
    cross = np.cross(np.eye(3), axis)
    return np.asarray(np.eye(3) - np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
