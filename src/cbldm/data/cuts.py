"""Endless distinct clusters: random cuts out of the frames, made in batches by comparing projections.

Planes of a frame's own families at random distances about a random centre, ellipsoids, rods and plates, stacking
faults and twins, needles of hcp, Marks and sliced decahedra, incomplete icosahedral shells, vacancies and adatoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
import torch

from cbldm.arithmetic import has_bfloat16
from cbldm.geometry.frames import (
    EXCLUSION,
    FRAME_OF_MOTIF,
    Frame,
    anti_mackay_cover,
    decahedral_wedges,
    frame,
    icosahedron_faces,
    icosahedron_vertices,
    mackay_shell,
    stack_basis,
)
from cbldm.types import MOTIFS, FloatArray

#: Fewest bonds that keep an atom on a cut surface.
LEAST_BONDS = 3
#: Spread of ln(length / width) of the needles and plates that some frames have room for.
NEEDLES = {"hcp": 1.0, "decahedron": 0.35}
#: Limit of a plane that does not cut.
_FAR = 1e3


@dataclass(frozen=True)
class Cuts:
    """Clusters of one frame.

    Attributes:
        frame: The frame.
        occupancy: (batch, n_sites) bool, canonical pose.
        motif: (batch,) int64 index into `MOTIFS`.
    """

    frame: Frame
    occupancy: torch.Tensor
    motif: torch.Tensor

    def select(self, keep: torch.Tensor) -> Cuts:
        """The clusters at the given indices, or where the given mask is true."""
        return Cuts(self.frame, self.occupancy[keep], self.motif[keep])


class Random:
    """Shorthand for draws from one generator on one device."""

    def __init__(self, generator: torch.Generator, device: str) -> None:
        self.generator, self.device = generator, device

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform in [0, 1)."""
        return torch.rand(shape, generator=self.generator, device=self.device)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def integer(self, high: int, *shape: int) -> torch.Tensor:
        """Uniform in 0 ... high - 1."""
        return torch.randint(high, shape, generator=self.generator, device=self.device)

    def direction(self, n: int) -> torch.Tensor:
        """(n, 3) unit vectors, uniform on the sphere."""
        return torch.nn.functional.normalize(self.normal(n, 3), dim=1)


@dataclass(frozen=True)
class Planes:
    """The planes that can cut a frame.

    Attributes:
        heights: (n_sites, n_planes) height of each site along each plane's normal; minus infinity where it never cuts.
        normals: (n_planes, 3) unit normals: what a shift of the centre adds to the heights.
        family: (n_planes,) family of each plane; the planes of a family share a base distance.
    """

    heights: torch.Tensor
    normals: torch.Tensor
    family: torch.Tensor

    def inside(self, limits: torch.Tensor) -> torch.Tensor:
        """(batch, n_sites) bool: sites below every plane's limit (batch, n_planes)."""
        kept = torch.ones(len(limits), len(self.heights), dtype=torch.bool, device=limits.device)
        for plane in range(self.heights.shape[1]):
            kept &= self.heights[:, plane] <= limits[:, plane, None]
        return kept


@dataclass(frozen=True)
class Tables:
    """What cutting needs to know of a frame, as tensors on one device.

    Attributes:
        sites: (n_sites, 3).
        bonds: (n_sites, n_sites) 1 where two sites are bonded.
        clashes: (n_sites, n_sites) 1 where two sites cannot both be occupied.
        planes: The planes of the frame's families.
        centres: (n_centres, 3) centres of high symmetry.
        shifted: (n_shifts, n_sites) site whose atom lands on each site under each translation, or n_sites.
        translations: (n_shifts, 3).
        density: Sites per unit volume.
    """

    sites: torch.Tensor
    bonds: torch.Tensor
    clashes: torch.Tensor
    planes: Planes
    centres: torch.Tensor
    shifted: torch.Tensor
    translations: torch.Tensor
    density: float


def draw(
    name: str,
    n: int,
    generator: torch.Generator,
    n_atoms: tuple[int, int] = (5, 256),
    device: str = "cpu",
    *,
    defects: bool = True,
) -> Cuts:
    """Draw random clusters from one frame; fewer than n come back, since some cuts fall outside the allowed sizes.

    Args:
        name: One of `cbldm.geometry.frames.FRAMES`.
        n: Number of cuts that are tried.
        generator: Source of randomness, on the device.
        n_atoms: Smallest and largest allowed atom count.
        device: Torch device.
        defects: Whether half of the clusters get vacancies and adatoms.

    Returns:
        Clusters in canonical pose. Duplicates are left in.
    """
    home, tables, random = frame(name), frame_tables(name, device), Random(generator, device)
    target = n_atoms[0] + (1.02 * n_atoms[1] - n_atoms[0]) * random.uniform(n)
    hexagonal: torch.Tensor | None = None
    allowed = torch.ones(n, home.n_sites, dtype=torch.bool, device=device)
    if name == "stack":
        allowed, hexagonal = _stackings(tables, n, random)
    elif name == "icosahedron":
        allowed &= icosahedral_levels(device)[0] >= 0
    share = allowed.float().mean(dim=1)
    radius = (3 * target / (4 * np.pi * tables.density * share)) ** (1 / 3)
    centre = _centres(tables, n, random)
    occupancy = _facets(tables, radius, centre, target, allowed, NEEDLES.get(name, 0.0), random)
    rounded = _ellipsoids(tables, radius, centre, random) & allowed
    occupancy = torch.where(random.uniform(n, 1) < 0.2, rounded, occupancy)
    if name == "icosahedron":
        occupancy = torch.where(random.uniform(n, 1) < 0.7, _incomplete_shells(tables, target, random), occupancy)
    if defects:
        occupancy = _defects(tables, occupancy, allowed, random)
    if hexagonal is None:
        motif = torch.full((n,), MOTIFS.index(name), device=device)
    else:
        motif = _stack_motif(tables, occupancy, hexagonal)
    occupancy, inside = _recentre(tables, occupancy)
    count = occupancy.sum(dim=1)
    # A stack whose inner layers are all alike belongs to the frame of fcc or hcp.
    homes = torch.tensor([FRAME_OF_MOTIF[m] == name for m in MOTIFS], device=device)
    keep = inside & (count >= n_atoms[0]) & (count <= n_atoms[1]) & homes[motif]
    return Cuts(home, home.canonical(occupancy[keep]), motif[keep])


def _centres(tables: Tables, n: int, random: Random) -> torch.Tensor:
    """(n, 3) centres of the cuts: half of them of high symmetry, half anywhere near the origin."""
    special = tables.centres[random.integer(len(tables.centres), n)]
    return torch.where(random.uniform(n, 1) < 0.5, special, 1.1 * (random.uniform(n, 3) - 0.5))


def _facets(
    tables: Tables,
    radius: torch.Tensor,
    centre: torch.Tensor,
    target: torch.Tensor,
    allowed: torch.Tensor,
    needles: float,
    random: Random,
) -> torch.Tensor:
    """Polyhedra: a base distance per family, equal or jittered within it; a second cut comes near the target count.

    Where ``needles`` is not zero, it is the spread of the logarithm of the length along z over the width in half of the
    clusters, and some of those lack planes of one direction, which makes oblique prisms.
    """
    n, planes = len(radius), tables.planes
    long = torch.exp(needles * random.normal(n, 1)).clamp(0.4, 6.0)
    long = torch.where(random.uniform(n, 1) < 0.5, long, torch.ones_like(long))
    # The axes (n, 3) of the ellipsoid of the same volume that takes the place of the sphere.
    axes = torch.cat([long ** (-1 / 3), long ** (-1 / 3), long ** (2 / 3)], dim=1)
    support = (axes[:, None] * planes.normals).norm(dim=2) / planes.normals.norm(dim=1)
    n_families = int(planes.family.max()) + 1
    base = 0.68 + 0.6 * random.uniform(n, n_families)
    base = torch.where(random.uniform(n, n_families) < 0.2, torch.full_like(base, _FAR), base)
    spread = 0.25 * random.uniform(n, 1) * (random.uniform(n, 1) < 0.65)
    relative = base[:, planes.family] * (1 + spread * random.normal(n, len(planes.family))).clamp_min(0.2)
    relative = relative * support
    if needles:
        # Planes and their opposites: one pair of directions is left out.
        along = (planes.normals @ planes.normals[random.integer(len(planes.normals), n)].T).abs().T
        missing = (random.uniform(n, 1) < 0.35) & (long != 1) & (along > 0.999 * along.amax(dim=1, keepdim=True))
        relative = torch.where(missing, torch.full_like(relative, _FAR), relative)
    offset = centre @ planes.normals.T + 1e-3
    # An ellipsoid bounds what no plane has cut.
    reach = ((tables.sites[None] - centre[:, None]) / axes[:, None]).norm(dim=2)
    bound = 1.05 + 0.45 * random.uniform(n, 1)

    def cut(radius: torch.Tensor) -> torch.Tensor:
        return planes.inside(radius[:, None] * relative + offset) & (reach < bound * radius[:, None]) & allowed

    first = cut(radius)
    return cut(radius * (target / first.sum(dim=1).clamp_min(4)).pow(1 / 3).clamp(0.6, 1.6))


def _ellipsoids(tables: Tables, radius: torch.Tensor, centre: torch.Tensor, random: Random) -> torch.Tensor:
    """Ellipsoids of the target's volume in a random orientation: near spheres, rods and plates."""
    n = len(radius)
    aspect = torch.exp(torch.where(random.uniform(n, 1) < 0.6, 0.1, 0.3) * random.normal(n, 3))
    aspect = aspect / aspect.prod(dim=1, keepdim=True).pow(1 / 3)
    # A GPU would take thousands of tiny matrices one by one.
    turn = torch.linalg.qr(random.normal(n, 3, 3).cpu())[0].to(random.device)
    along = torch.einsum("bsx,bxy->bsy", tables.sites[None] - centre[:, None], turn)
    return ((along / aspect[:, None]) ** 2).sum(dim=2) <= radius[:, None] ** 2


def _stackings(tables: Tables, n: int, random: Random) -> tuple[torch.Tensor, torch.Tensor]:
    """Sites (n, n_sites) of random close-packed stackings, and which layers (n, n_layers) are hexagonal in them."""
    layer = (tables.sites[:, 2] / stack_basis()[2, 2]).round().long()
    depth = int(layer.max())
    lattice = tables.sites @ torch.as_tensor(np.linalg.inv(stack_basis()), dtype=torch.float32, device=random.device)
    letter = (lattice[:, 0] - lattice[:, 1]).round().long() % 3
    n_layers = 2 * depth + 1
    kind = random.uniform(n)
    # A layer is hexagonal (True) where its two neighbours carry the same letter; cubic stacks go on turning.
    hexagonal = random.uniform(n, n_layers) < 0.1 + 0.5 * random.uniform(n, 1)
    middle = (depth + (1.3 * random.normal(n)).round().long()).clamp(1, n_layers - 2)
    column = torch.arange(n_layers, device=random.device)
    twin = column == middle[:, None]
    fault = twin | (column == middle[:, None] + 1)
    hexagonal = torch.where((kind < 0.45)[:, None], twin, hexagonal)
    hexagonal = torch.where(((kind >= 0.45) & (kind < 0.7))[:, None], fault, hexagonal)
    turn = torch.where(random.uniform(n, 1) < 0.5, 1, -1) * torch.cumprod(1 - 2 * hexagonal[:, 1:].long(), dim=1)
    letters = torch.cumsum(torch.cat([random.integer(3, n, 1), turn], dim=1), dim=1) % 3
    ends = torch.zeros(n, 1, dtype=torch.bool, device=random.device)
    middle_layers = letters[:, :-2] == letters[:, 2:]
    return letters[:, layer + depth] == letter, torch.cat([ends, middle_layers, ends], dim=1)


def _stack_motif(tables: Tables, occupancy: torch.Tensor, hexagonal: torch.Tensor) -> torch.Tensor:
    """Index into `MOTIFS` (batch,) by the inner layers that a cut has left: fcc, hcp, twin or faulted.

    Args:
        tables: Of the frame of stacks.
        occupancy: (batch, n_sites) bool.
        hexagonal: (batch, n_layers) True where a layer's neighbours carry the same letter.
    """
    layer = (tables.sites[:, 2] / stack_basis()[2, 2]).round().long()
    layer = layer - layer.min()
    filled = torch.zeros(hexagonal.shape, device=occupancy.device).index_add_(1, layer, occupancy.float())
    # Islands say nothing about the stacking.
    real = filled >= 0.1 * filled.amax(dim=1, keepdim=True)
    inner = torch.zeros_like(real)
    inner[:, 1:-1] = real[:, :-2] & real[:, 1:-1] & real[:, 2:]
    n_inner, n_hexagonal = inner.sum(dim=1), (inner & hexagonal).sum(dim=1)
    names = torch.full_like(n_inner, MOTIFS.index("faulted"))
    names[n_hexagonal == 1] = MOTIFS.index("twin")
    names[n_hexagonal == n_inner] = MOTIFS.index("hcp")
    names[n_hexagonal == 0] = MOTIFS.index("fcc")
    return names


def _incomplete_shells(tables: Tables, target: torch.Tensor, random: Random) -> torch.Tensor:
    """Complete Mackay shells and a patch of the next, in Mackay or anti-Mackay stacking, filled up to the target."""
    shell, cover = icosahedral_levels(random.device)
    sizes = torch.tensor([1, 13, 55, 147, 309, 561], device=random.device)
    full = (sizes[None] <= target[:, None]).sum(dim=1) - 1
    hcp_cover = (random.uniform(len(target)) < 0.4) & (full >= 1) & (full <= 3)
    core = (shell >= 0) & (shell[None] <= full[:, None])
    outer = torch.where(hcp_cover[:, None], cover[None] == full[:, None], shell[None] == full[:, None] + 1)
    rough = 0.6 * random.uniform(len(target), 1) * random.normal(len(target), len(shell))
    score = (random.direction(len(target)) @ tables.sites.T + rough).masked_fill(~outer, -_FAR)
    # Rank within the patch, best first.
    place = score.argsort(dim=1, descending=True).argsort(dim=1)
    wanted = (target.round().long() - sizes[full])[:, None]
    return core | (outer & (place < wanted))


def _defects(tables: Tables, occupancy: torch.Tensor, allowed: torch.Tensor, random: Random) -> torch.Tensor:
    """Vacancies at the surface and adatoms on it, in half of the clusters; loose atoms are dropped everywhere."""
    n = len(occupancy)
    chosen = random.uniform(n, 1) < 0.5
    bulk = tables.bonds.sum(dim=1).max().clamp_max(12)
    coordination = _touching(occupancy, tables.bonds)
    vacancy = (random.uniform(*occupancy.shape) < 0.25 * random.uniform(n, 1) ** 2) & (coordination < 0.75 * bulk)
    occupancy = occupancy & ~(vacancy & chosen)
    hollow = (_touching(occupancy, tables.bonds) >= LEAST_BONDS) & (_touching(occupancy, tables.clashes) == 0)
    hollow = hollow & ~occupancy & allowed
    added = hollow & chosen & (random.uniform(*occupancy.shape) < 0.15 * random.uniform(n, 1) ** 2)
    added = added & (_touching(added, tables.clashes) == 0)
    occupancy = occupancy | added
    for _ in range(2):
        occupancy = occupancy & (_touching(occupancy, tables.bonds) >= LEAST_BONDS)
    return occupancy


def _touching(occupancy: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """(batch, n_sites) number of occupied sites that the table links to each site; exact, since it is far below 256."""
    return occupancy.to(table.dtype) @ table


def _recentre(tables: Tables, occupancy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move each cluster by a lattice vector so that its centre lies nearest the origin; False where it sticks out."""
    count = occupancy.sum(dim=1)
    centre = occupancy.float() @ tables.sites / count.clamp_min(1)[:, None]
    shift = (centre[:, None] - tables.translations[None]).norm(dim=2).argmin(dim=1)
    padded = torch.cat([occupancy, torch.zeros_like(occupancy[:, :1])], dim=1)
    moved = padded.gather(1, tables.shifted[shift])
    return moved, moved.sum(dim=1) == count


@cache
def icosahedral_levels(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """For each icosahedral site its Mackay shell, and the shell that it covers in hcp stacking; -1 where none."""
    sites = frame("icosahedron").sites

    def level(groups: list[FloatArray], first: int) -> torch.Tensor:
        found = np.full(len(sites), -1, dtype=np.int64)
        for number, points in enumerate(groups, start=first):
            found[np.linalg.norm(sites[:, None] - points[None], axis=-1).min(axis=1) < 1e-5] = number
        return torch.as_tensor(found, device=device)

    return level([mackay_shell(n) for n in range(6)], 0), level([anti_mackay_cover(n) for n in (1, 2, 3)], 1)


@cache
def frame_tables(name: str, device: str = "cpu") -> Tables:
    """Tables of a frame on a device, built once."""
    home = frame(name)
    sites = torch.as_tensor(home.sites, dtype=torch.float32, device=device)
    n = home.n_sites
    bonds = torch.zeros(n, n + 1, device=device)
    bonds.scatter_(1, torch.as_tensor(home.neighbours, device=device), 1.0)
    distance = torch.cdist(sites, sites, compute_mode="donot_use_mm_for_euclid_dist")
    clashes = ((distance < EXCLUSION) & (distance > 1e-3)).float()
    translations = torch.as_tensor(home.translations, dtype=torch.float32, device=device)
    turns = torch.as_tensor(home.turns, dtype=torch.float32, device=device)
    gaps = torch.stack([
        torch.cdist(sites @ turn + shift, sites, compute_mode="donot_use_mm_for_euclid_dist")
        for shift, turn in zip(translations, turns, strict=True)
    ])  # fmt: skip
    shifted = torch.where(gaps.amin(dim=2) < 1e-3, gaps.argmin(dim=2), torch.full_like(gaps[:, :, 0], n).long())
    centres = torch.as_tensor(_special_centres(home), dtype=torch.float32, device=device)
    density = float((sites.norm(dim=1) < 3.5).sum()) / (4 / 3 * np.pi * 3.5**3)
    # Counts are small enough for both to be exact.
    counting = torch.bfloat16 if has_bfloat16(device) else torch.float32
    return Tables(
        sites,
        bonds[:, :n].to(counting),
        clashes.to(counting),
        frame_planes(name, device),
        centres,
        shifted,
        translations,
        density,
    )


@cache
def frame_planes(name: str, device: str = "cpu") -> Planes:
    """Planes of a frame on a device, made once."""
    home = frame(name)
    heights, normals, family = _decahedral_planes(home) if name == "decahedron" else _flat_planes(home)
    return Planes(
        torch.as_tensor(heights, dtype=torch.float32, device=device),
        torch.as_tensor(normals, dtype=torch.float32, device=device),
        torch.as_tensor(family, device=device),
    )


def _flat_planes(home: Frame) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Heights, normals and families of the plain planes of every frame but the decahedral one."""
    if home.name == "icosahedron":
        vertices = icosahedron_vertices()
        faces = vertices[icosahedron_faces()].mean(axis=1)
        near = abs(np.linalg.norm(vertices[:, None] - vertices[None], axis=-1) - 1.0515) < 0.01
        edges = np.array([vertices[i] + vertices[j] for i, j in np.argwhere(near) if i < j])
        families = [vertices, faces, edges]
    elif home.name in ("hcp", "stack"):
        families = _hexagonal_planes()
    else:
        indices = [(1, 0, 0), (1, 1, 0), (1, 1, 1)] + ([(2, 1, 1)] if home.name == "bcc" else [])
        families = [_equivalent(index) for index in indices]
    normals = np.concatenate(families)
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    family = np.repeat(np.arange(len(families)), [len(group) for group in families])
    return home.sites @ normals.T, normals, family


def _equivalent(index: tuple[int, int, int]) -> FloatArray:
    """All cubic equivalents (n, 3) of a Miller index."""
    signed = {
        tuple(sign * i for sign, i in zip(signs, order, strict=True))
        for order in permutations(index)
        for signs in product((1, -1), repeat=3)
    }
    return np.array(sorted(signed), dtype=float)


def _hexagonal_planes() -> list[FloatArray]:
    """Base, two prisms, and the cubic {111} and {100} facets that a stack shows on its sides, each way up."""
    angles = np.arange(12) * np.pi / 6
    flat = np.stack([np.cos(angles), np.sin(angles), np.zeros(12)], axis=1)
    up = np.array([0.0, 0.0, 1.0])
    families = [np.stack([up, -up]), flat[::2], flat[1::2]]
    for tilt in (np.arccos(1 / 3), np.arccos(1 / np.sqrt(3))):
        for sign in (1.0, -1.0):
            # The threefold axis makes two sets of three; a set alone bounds an fcc stack, both an hcp one.
            families += [np.sin(tilt) * flat[first::4] + sign * np.cos(tilt) * up for first in (1, 3)]
    return families


def _decahedral_planes(home: Frame) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Planes that end at their wedge: {100} sides, re-entrant {111} notches (Marks 1984), and {111} caps; flat ends."""
    columns, labels = decahedral_wedges(7)
    nearest = np.linalg.norm(home.sites[:, None, :2] - columns[None], axis=-1).argmin(axis=1)
    wedge, a, b = labels[nearest].T
    ring = a + b
    height = home.sites[:, 2]
    angle = 2 * np.pi * (np.arange(5) + 0.5) / 5
    outward = np.stack([np.cos(angle), np.sin(angle), np.zeros(5)], axis=1)
    tilt = 0.81
    heights, normals, family = [], [], []

    def add(value: FloatArray, normal: FloatArray, group: int, member: np.ndarray) -> None:
        heights.append(np.where(member, value, -np.inf))
        normals.append(normal)
        family.append(group)

    for w in range(5):
        # A column on a twin plane belongs to both wedges beside it.
        mine = (wedge == w) | ((wedge == (w + 1) % 5) & (b == 0)) | (ring == 0)
        add(ring * np.sqrt(3) / 2 * np.cos(np.pi / 5), outward[w], 0, mine)
        add(np.maximum(a, b) * np.sqrt(3) / 2, outward[w], 1, mine)
        for group, sign in ((2, 1.0), (3, -1.0)):
            cap = tilt * (sign * height + 0.5 * ring)
            add(cap, np.array([0.0, 0.0, tilt * sign]) + 0.59 * outward[w], group, mine)
    everything = np.ones(len(height), dtype=bool)
    for group, sign in ((4, 1.0), (5, -1.0)):
        add(sign * height, np.array([0.0, 0.0, sign]), group, everything)
    return np.stack(heights, axis=1), np.array(normals), np.array(family)


def _special_centres(home: Frame) -> FloatArray:
    """The origin, holes and bond middles around it (n, 3); along the axis only for the decahedral frame."""
    if home.name == "icosahedron":
        return np.zeros((1, 3))
    if home.name == "decahedron":
        return np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.5]])
    near = home.sites[np.linalg.norm(home.sites, axis=1) < 1.8]
    bonded = near[np.linalg.norm(near, axis=1) < 1.05]
    triples = [(p + q) / 3 for p, q in product(bonded, repeat=2) if 0.9 < np.linalg.norm(p - q) < 1.05]
    return np.concatenate([near / 2, np.array(triples).reshape(-1, 3)])
