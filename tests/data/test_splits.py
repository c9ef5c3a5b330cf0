"""One split: every shape belongs to exactly one part, in the stated shares, whatever is done to its atoms."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cbldm.data.clusters import decahedron, icosahedron, octahedron, textbook_clusters
from cbldm.data.cuts import draw
from cbldm.data.relaxation import relax_emt
from cbldm.data.splits import Split, in_split
from cbldm.geometry.fingerprint import fingerprints, shape_hash
from cbldm.geometry.frames import FRAMES
from cbldm.types import Cluster

SPLITS: tuple[Split, ...] = get_args(Split)
SHARES = {"train": 0.75, "validation": 0.05, "test": 0.20}


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_every_hash_is_in_exactly_one_split(value: int) -> None:
    alone = [in_split(value, split) for split in SPLITS]
    assert sum(alone) == 1
    batch = torch.tensor([value, value])
    assert [bool(in_split(batch, split).all()) for split in SPLITS] == alone


def test_shares_of_real_shapes_are_75_5_20() -> None:
    hashes = torch.cat([
        fingerprints(cuts.frame, cuts.occupancy)
        for cuts in (draw(name, 500, torch.Generator().manual_seed(6), (10, 120)) for name in FRAMES)
    ]).unique()  # fmt: skip
    assert len(hashes) > 1800
    for split, share in SHARES.items():
        found = in_split(hashes, split).double().mean().item()
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / len(hashes))


def test_every_split_has_textbook_clusters() -> None:
    hashes = torch.tensor([shape_hash(cluster.positions) for cluster in textbook_clusters(256)])
    for split, share in SHARES.items():
        found = in_split(hashes, split).double().mean().item()
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / len(hashes))


@pytest.mark.parametrize("cluster", [octahedron(4), icosahedron(3), decahedron(3, 2, 0)], ids=lambda c: c.family)
@pytest.mark.parametrize("element", ["Au", "Ni"])
def test_a_relaxed_copy_stays_in_its_split(cluster: Cluster, element: str) -> None:
    relaxed = relax_emt(cluster, element)
    assert np.abs(relaxed.positions - cluster.positions).max() > 0.003
    assert shape_hash(relaxed.positions) == shape_hash(cluster.positions)
