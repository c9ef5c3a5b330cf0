import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbldm.data.noise import noise_at_floor
from cbldm.errors import InputError
from cbldm.metrics import rw

R = np.arange(0, 30.005, 0.01)
G = np.sin(2.4 * R) * np.exp(-R / 6)


@given(
    floor=st.floats(0, 0.99),
    qmax=st.floats(5, 40),
    end=st.floats(5, 40),
    step=st.floats(0.01, 0.1),
    seed=st.integers(0, 2**32),
)
def test_rw_is_the_floor(floor, qmax, end, step, seed):
    r = np.arange(0, end, step)
    g = np.sin(2.4 * r) * np.exp(-r / 6)
    noisy = g + noise_at_floor(r, g, qmax, floor, np.random.default_rng(seed))
    inside = (r >= 1.5) & (r <= 30)
    assert rw(noisy[inside], g[inside]) == pytest.approx(floor, abs=1e-12)


def test_rw_is_the_floor_on_the_range_asked_for():
    noisy = G + noise_at_floor(R, G, 22.0, 0.2, np.random.default_rng(0), rmin=2.0, rmax=12.0)
    inside = (R >= 2 - 1e-9) & (R <= 12 + 1e-9)
    assert rw(noisy[inside], G[inside]) == pytest.approx(0.2, abs=1e-12)
    assert rw(noisy, G) != pytest.approx(0.2, abs=1e-3)


def test_no_power_beyond_qmax():
    noise = noise_at_floor(R, G, 20.0, 0.1, np.random.default_rng(1))
    # The window lets the ends of the range fall off smoothly, so that they leave no power of their own.
    power = np.abs(np.fft.rfft(noise * np.kaiser(len(R), 20), 8 * len(R))) ** 2
    q = 2 * np.pi * np.fft.rfftfreq(8 * len(R), 0.01)
    density = power / power[(q > 1) & (q < 19)].mean()
    assert density[q > 21.5].max() < 1e-12
    thirds = [density[(q > low) & (q < low + 6)].mean() for low in (1, 7, 13)]
    assert np.allclose(thirds, 1, atol=0.5), "white up to Qmax"


def test_noise_is_as_strong_at_every_r():
    r = R[::10]
    draws = [noise_at_floor(r, G[::10], 22.0, 0.1, np.random.default_rng(seed)) for seed in range(200)]
    spread = np.std(draws, axis=0)
    thirds = np.array([np.sqrt(np.mean(part**2)) for part in np.split(spread[1:], 3)])
    assert np.allclose(thirds / thirds.mean(), 1, atol=0.05)


def test_same_generator_same_noise():
    first, again, other = (noise_at_floor(R, G, 22.0, 0.1, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_floors_differ_in_strength_only():
    weak, strong = (noise_at_floor(R, G, 22.0, floor, np.random.default_rng(3)) for floor in (0.05, 0.2))
    assert np.allclose(strong, weak * (np.linalg.norm(strong) / np.linalg.norm(weak)))


def test_no_noise_at_floor_zero():
    assert not np.any(noise_at_floor(R, G, 22.0, 0.0, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("floor", "qmax", "g", "message"),
    [
        (1.0, 22.0, G, "noise floor is 1.0; allowed are 0 to below 1"),
        (-0.1, 22.0, G, "noise floor is -0.1"),
        (float("nan"), 22.0, G, "noise floor is nan"),
        (0.1, 0.0, G, "qmax is 0.0; noise on r up to 30 Å needs 0.0524 Å⁻¹ or more"),
        (0.1, float("inf"), G, "qmax is inf"),
        (0.1, 22.0, 0 * G, "G.r. is zero from 1.5 to 30 Å"),
    ],
)
def test_what_cannot_be_is_refused(floor, qmax, g, message):
    with pytest.raises(InputError, match=message):
        noise_at_floor(R, g, qmax, floor, np.random.default_rng(0))
