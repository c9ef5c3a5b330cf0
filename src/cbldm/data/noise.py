"""Noise as a PDF has it: limited to Qmax like the signal, and stated by the Rw that it alone makes."""

from __future__ import annotations

import numpy as np

from cbldm.errors import InputError
from cbldm.physics.debye import sine_transform
from cbldm.types import FloatArray

#: The range in Å on which a noise floor is defined.
FLOOR_RANGE = (1.5, 30.0)


def noise_at_floor(
    r: FloatArray,
    g: FloatArray,
    qmax: float,
    floor: float,
    rng: np.random.Generator,
    *,
    rmin: float = FLOOR_RANGE[0],
    rmax: float = FLOOR_RANGE[1],
) -> FloatArray:
    """Noise with which the noise-free curve fits the noisy one at exactly Rw = floor, between rmin and rmax.

    It is white noise in F(Q) up to Qmax, sine-transformed like the data: a finite sum of sin(Qr) with Q <= Qmax, spaced
    by π/(2 r_end). Rw is `cbldm.metrics.rw` of the noisy (observed) and the noise-free curve (calculated).

    Args:
        r: (n,) increasing, in Å; any grid.
        g: (n,) noise-free G(r) in Å⁻².
        qmax: Upper limit of the noise in Å⁻¹.
        floor: Rw of the noise, from 0 to below 1.
        rng: Source of randomness.
        rmin: Start of the range on which Rw is the floor, in Å.
        rmax: End of that range, in Å; where r ends earlier, it ends there.

    Returns:
        (n,) what to add to ``g``.

    Raises:
        InputError: The floor or qmax is out of range, or G is zero everywhere on the range.

    >>> r = np.arange(0, 20, 0.01)
    >>> g = np.sin(5 * r) * np.exp(-r / 5)
    >>> noisy = g + noise_at_floor(r, g, 22.0, 0.1, np.random.default_rng(0))
    >>> inside = r >= 1.5
    >>> float(np.linalg.norm((noisy - g)[inside]) / np.linalg.norm(noisy[inside]))
    0.1
    """
    if not 0 <= floor < 1:
        raise InputError(f"noise floor is {floor}; allowed are 0 to below 1")
    spacing = np.pi / (2 * float(r[-1]))
    if not spacing <= qmax < np.inf:
        raise InputError(f"qmax is {qmax}; noise on r up to {r[-1]:g} Å needs {spacing:.3g} Å⁻¹ or more")
    inside = (r >= rmin - 1e-9) & (r <= rmax + 1e-9)
    signal = g[inside]
    if not np.any(signal):
        raise InputError(f"G(r) is zero from {rmin:g} to {rmax:g} Å; a noise floor needs a curve there")
    q = spacing * np.arange(1, int(qmax / spacing) + 1, dtype=np.float64)
    noise = sine_transform(r, q, rng.normal(size=len(q)))
    shape = noise[inside]
    # |a n|² = floor² |g + a n|² is quadratic in the strength a; its positive root:
    overlap, power = floor**2 * float(signal @ shape), (1 - floor**2) * float(shape @ shape)
    strength = (overlap + np.sqrt(overlap**2 + power * floor**2 * float(signal @ signal))) / power
    return strength * noise
