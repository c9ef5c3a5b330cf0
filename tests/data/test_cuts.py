"""Random cuts: whole, without clashes, of the size asked for, nearly all different, and rightly named."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from cbldm.data.clusters import textbook_clusters
from cbldm.data.cuts import Cuts, draw, frame_tables
from cbldm.geometry.fingerprint import fingerprints, shape_hash
from cbldm.geometry.frames import BOND_CUTOFF, EXCLUSION, FRAME_OF_MOTIF, FRAMES, anti_mackay_cover, frame
from cbldm.geometry.motif import name_motif
from cbldm.types import MOTIFS

#: Least share of labels that the geometry alone confirms, for clusters of 40 atoms and more.
CONFIRMED = 0.95


@cache
def sample(name: str) -> Cuts:
    return draw(name, 250, torch.Generator().manual_seed(20), (8, 240))


def pieces(positions: np.ndarray) -> int:
    pairs = cKDTree(positions).query_pairs(BOND_CUTOFF, output_type="ndarray")
    graph = csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(positions), len(positions)))
    return int(connected_components(graph, directed=False)[0])


@pytest.mark.parametrize("name", FRAMES)
def test_cuts_are_whole_and_of_the_size_asked_for(name: str) -> None:
    cuts = sample(name)
    n_atoms = cuts.occupancy.sum(dim=1)
    assert len(n_atoms) > 150
    assert n_atoms.min() >= 8
    assert n_atoms.max() <= 240
    # The whole range is covered, not one end of it.
    assert np.histogram(n_atoms, bins=4, range=(8, 241))[0].min() > 0.1 * len(n_atoms)
    for occupied in cuts.occupancy.numpy():
        positions = cuts.frame.sites[occupied]
        assert pieces(positions) == 1
        assert pdist(positions).min() > EXCLUSION


@pytest.mark.parametrize("bounds", [(5, 13), (40, 41), (200, 256)])
def test_bounds_hold_at_both_ends(bounds: tuple[int, int]) -> None:
    for name in FRAMES:
        n_atoms = draw(name, 60, torch.Generator().manual_seed(1), bounds).occupancy.sum(dim=1)
        assert ((n_atoms >= bounds[0]) & (n_atoms <= bounds[1])).all()


@pytest.mark.parametrize("name", FRAMES)
def test_nearly_every_cut_is_a_new_shape(name: str) -> None:
    cuts = sample(name)
    hashes = fingerprints(cuts.frame, cuts.occupancy)
    assert len(hashes.unique()) > 0.85 * len(hashes)
    textbook = {shape_hash(c.positions) for c in textbook_clusters(256) if FRAME_OF_MOTIF[c.motif] == name}
    assert np.mean([value in textbook for value in hashes.tolist()]) < 0.1


@pytest.mark.parametrize("name", FRAMES)
def test_labels_agree_with_the_geometry(name: str) -> None:
    cuts = sample(name)
    large = (cuts.occupancy.sum(dim=1) >= 40).nonzero()[:60, 0]
    assert len(large) == 60
    seen = Counter(MOTIFS[int(label)] for label in cuts.motif)
    assert set(seen) == {motif for motif, home in FRAME_OF_MOTIF.items() if home == name}
    right = [name_motif(cuts.frame.sites[cuts.occupancy[k].numpy()], 1.0) == MOTIFS[int(cuts.motif[k])] for k in large]
    assert np.mean(right) >= CONFIRMED


@pytest.mark.parametrize("name", FRAMES)
def test_same_generator_same_draw(name: str) -> None:
    first, again, other = (draw(name, 25, torch.Generator().manual_seed(seed), (5, 90)) for seed in (4, 4, 5))
    assert torch.equal(first.occupancy, again.occupancy)
    assert torch.equal(first.motif, again.motif)
    assert not torch.equal(first.occupancy[:10], other.occupancy[:10])


@pytest.mark.parametrize("name", FRAMES)
def test_inverted_and_mirrored_copies_are_the_same_cut(name: str) -> None:
    """Mirror images have one PDF: they must be one target."""
    cuts = sample(name)
    home = cuts.frame
    improper = np.flatnonzero(np.linalg.det(home.operations) < 0)
    inversion = np.flatnonzero(np.abs(home.operations + np.eye(3)).max(axis=(1, 2)) < 1e-9)
    assert len(inversion) == (0 if name in ("hcp", "decahedron") else 1)
    same = []
    for operation in [*inversion, *improper[:2]]:
        moved = torch.zeros_like(cuts.occupancy)
        moved[:, torch.as_tensor(home.site_maps[operation])] = cuts.occupancy
        same.append((home.canonical(moved) == cuts.occupancy).all(dim=1).float().mean().item())
        assert torch.equal(fingerprints(home, moved), fingerprints(home, cuts.occupancy))
    assert min(same) > (0.95 if name == "stack" else 0.995)


@pytest.mark.parametrize("name", FRAMES)
def test_no_lattice_vector_brings_a_cut_nearer_to_the_origin(name: str) -> None:
    """But for a cut that lay farther off than the longest of the vectors."""
    cuts = sample(name)
    centre = np.array([cuts.frame.sites[occupied].mean(axis=0) for occupied in cuts.occupancy.numpy()])
    distance = np.linalg.norm(centre[:, None] - cuts.frame.translations[None], axis=2)
    nearest = np.linalg.norm(centre, axis=1) <= distance.min(axis=1) + 1e-4
    assert nearest.mean() > 0.98


def test_select_takes_indices_and_masks() -> None:
    cuts = sample("fcc")
    mask = cuts.occupancy.sum(dim=1) < 100
    assert torch.equal(cuts.select(mask).occupancy, cuts.select(mask.nonzero()[:, 0]).occupancy)
    assert len(cuts.select(mask).motif) == int(mask.sum())


def test_icosahedra_have_incomplete_and_anti_mackay_shells() -> None:
    home = frame("icosahedron")
    cover = np.concatenate([anti_mackay_cover(n) for n in (1, 2, 3)])
    covering = torch.as_tensor(cKDTree(cover).query(home.sites)[0] < 1e-5)
    count = (sample("icosahedron").occupancy & covering).sum(dim=1)
    assert 0.1 < (count > 3).float().mean() < 0.6
    assert not set(sample("icosahedron").occupancy.sum(dim=1).tolist()) <= {13, 55, 147}


def test_shifted_sites_are_a_translation() -> None:
    for name in ("fcc", "hcp", "stack", "decahedron"):
        tables, turns = frame_tables(name), torch.as_tensor(frame(name).turns, dtype=torch.float32)
        for shift, turn, source in zip(tables.translations, turns, tables.shifted, strict=True):
            inside = source < len(tables.sites)
            assert inside.float().mean() > 0.3
            torch.testing.assert_close(
                tables.sites[source[inside]], (tables.sites @ turn + shift)[inside], atol=1e-3, rtol=0
            )
