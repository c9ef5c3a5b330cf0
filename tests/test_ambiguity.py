"""What candidates say together: equal fits are counted in words, weights sum up, ranges are narrow."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from cbldm.ambiguity import LEVELS, NOUNS, narrowest, summarise
from cbldm.types import MOTIFS, Candidate, Fit


def candidate(rank: int, n_atoms: int, motif: str, weight: float, group: int = 1, rw: float = 0.1) -> Candidate:
    atoms = Atoms(f"Pt{n_atoms}", positions=np.random.default_rng(rank).normal(size=(n_atoms, 3)))
    fit = Fit(np.arange(3.0), np.ones(3), np.full(3, 1 - rw))
    return Candidate(rank, atoms, motif, "cbldm", fit, {}, 0.0, 0.0, None, weight, group)


def test_equal_fits_are_said_in_words_most_common_motif_first() -> None:
    found = summarise([
        candidate(1, 98, "twin", 0.3), candidate(2, 101, "decahedron", 0.2), candidate(3, 105, "decahedron", 0.2),
        candidate(4, 98, "twin", 0.1), candidate(5, 103, "decahedron", 0.1), candidate(6, 90, "fcc", 0.1, group=2),
    ])  # fmt: skip
    assert found.equivalents == 5
    assert found.words == (
        "5 structures fit equally well: 3 decahedra of 101-105 atoms, 2 twinned fcc clusters of 98 atoms"
    )
    assert list(found.motif) == ["decahedron", "twin", "fcc"]
    assert found.motif["decahedron"] == pytest.approx(0.5)


def test_a_single_best_fit_is_said_to_be_one() -> None:
    found = summarise([candidate(1, 147, "icosahedron", 0.9), candidate(2, 150, "icosahedron", 0.1, group=2)])
    assert found.equivalents == 1
    assert found.words == "one structure fits better than all others that were found: an icosahedron of 147 atoms"


def test_every_motif_has_its_nouns() -> None:
    assert set(NOUNS) == set(MOTIFS)


@given(st.lists(st.tuples(st.integers(2, 40), st.floats(0.01, 1)), min_size=1, max_size=8), st.floats(0, 0.5))
def test_ranges_of_atom_counts_hold_their_share_and_grow_with_it(pairs: list[tuple[int, float]], rw: float) -> None:
    total = sum(weight for _, weight in pairs)
    candidates = [candidate(k, n, "fcc", weight / total, rw=rw) for k, (n, weight) in enumerate(pairs, start=1)]
    found = summarise(candidates)
    assert sum(found.motif.values()) == pytest.approx(1)
    assert found.count.sum() == pytest.approx(1)
    widths = []
    for level in LEVELS:
        low, high = found.n_atoms[level]
        assert found.count[low : high + 1].sum() >= level - 1e-9
        widths.append(high - low)
    assert widths == sorted(widths)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12).filter(lambda values: sum(values) > 0.1), st.floats(0.05, 1))
def test_no_narrower_range_holds_the_share(values: list[float], level: float) -> None:
    probability = np.array(values) / sum(values)
    low, high = narrowest(probability, level)
    assert probability[low : high + 1].sum() >= level - 1e-9
    width = high - low
    assert all(probability[k : k + width].sum() < level + 1e-9 for k in range(len(probability)))


def test_one_candidate_of_a_perfect_fit_says_its_own_count_and_noise_widens_the_range() -> None:
    assert summarise([candidate(1, 55, "fcc", 1.0, rw=0.0)]).n_atoms[0.95] == (55, 55)
    ranges = [summarise([candidate(1, 100, "fcc", 1.0, rw=rw)]).n_atoms[0.8] for rw in (0.02, 0.1, 0.3)]
    widths = [high - low for low, high in ranges]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    assert all(low < 100 < high for low, high in ranges)


def test_a_light_candidate_far_away_makes_a_second_peak() -> None:
    count = summarise([candidate(1, 100, "fcc", 0.9, rw=0.05), candidate(2, 200, "hcp", 0.1, rw=0.05)]).count
    assert count[150:].sum() == pytest.approx(0.1, abs=0.01)
