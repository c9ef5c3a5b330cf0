"""Changes are found where they are, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbldm.series.changes import MOST_PLACES, change_points

SEEDS = st.integers(0, 2**32 - 1)


def noise(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("n", [8, 12, 20, 50])
@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_noise_and_drift_are_no_change(n, slope):
    found = [change_points(noise(seed, n) + slope * np.arange(n)) != [] for seed in range(200)]
    assert np.mean(found) <= 0.05


def test_shares_that_flicker_are_no_change():
    def flickering(seed):
        one = np.where(noise(seed, 40) > 0.8, 0.5, 1.0)
        return np.stack([one, 1 - one], axis=1)

    assert np.mean([change_points(flickering(seed)) != [] for seed in range(100)]) <= 0.1


@pytest.mark.parametrize("place", [10, 20, 40, 52])
def test_a_step_of_three_sigma_is_found_where_it_is(place):
    series = [noise(seed, 60) + 3.0 * (np.arange(60) >= place) for seed in range(100)]
    found = [change_points(values) for values in series]
    assert np.mean([any(abs(index - place) <= 2 for index in indices) for indices in found]) >= 0.95
    assert np.mean([len(indices) > 1 for indices in found]) <= 0.05


def test_a_kink_and_two_steps_are_found():
    time = np.arange(90)
    kink = np.maximum(0, time - 45) + 0.5 * noise(1, 90)
    assert [abs(index - 45) <= 3 for index in change_points(kink)] == [True]
    steps = 4.0 * (time >= 30) - 4.0 * (time >= 60) + noise(2, 90)
    assert len(change_points(steps)) == 2
    assert np.abs(np.array(change_points(steps)) - [30, 60]).max() <= 2


def test_one_outlier_is_no_change():
    values = noise(3, 60)
    values[[20, 41]] = [30.0, -25.0]
    assert change_points(values) == []


def test_kinds_change_together():
    shares = np.full((40, 3), [0.8, 0.2, 0.0])
    shares[25:] = [0.1, 0.3, 0.6]
    assert change_points(shares + 0.05 * noise(4, 40, 3)) == [25]


@pytest.mark.parametrize("values", [[], [1.0], [5] * 30, list(range(30)), [0, 1, 0, 1, 1, 0, 1]])
def test_what_is_too_short_or_goes_straight_has_none(values):
    assert change_points(values) == []


@settings(max_examples=40)
@given(SEEDS, st.integers(8, 60), st.floats(-1e4, 1e4), st.floats(1e-3, 1e3), st.booleans())
def test_offset_scale_and_sign_do_not_matter(seed, n, offset, scale, turned):
    values = noise(seed, n) + 5.0 * (np.arange(n) >= n // 2)
    assert change_points(offset + (-scale if turned else scale) * values) == change_points(values)


def test_a_long_series_takes_no_long_time():
    n = 4 * MOST_PLACES + 7
    found = change_points(noise(5, n) + 3.0 * (np.arange(n) >= 5000))
    assert len(found) == 1
    assert abs(found[0] - 5000) <= 6
