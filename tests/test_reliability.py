"""Statements that come true as often as they say have no calibration error; a boast is an error of its own size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbldm.reliability import BINS, calibration_error, reliability


@pytest.mark.parametrize("boast", [0.0, 0.15])
def test_error_is_what_the_boast_is(boast):
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 0.8, 40_000)
    right = rng.random(truth.size) < truth
    assert calibration_error(reliability(list(truth + boast), list(right))) == pytest.approx(boast, abs=0.01)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_bins_hold_every_statement_once(pairs):
    said, right = [p for p, _ in pairs], [true for _, true in pairs]
    bins = reliability(said, right)
    assert sum(one.n for one in bins) == len(pairs)
    assert sum(one.n * one.said for one in bins) == pytest.approx(sum(said))
    assert sum(one.n * one.right for one in bins) == pytest.approx(sum(right))
    assert [one.said for one in bins] == sorted(one.said for one in bins)
    assert len(bins) <= BINS
    assert 0 <= calibration_error(bins) <= 1


def test_certainty_is_no_bin_of_its_own():
    assert len(reliability([1.0, 0.95, 1.0 + 1e-12], [True, True, True])) == 1
