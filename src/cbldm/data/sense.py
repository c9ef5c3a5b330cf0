"""Whether a curve can be the G(r) of a metal at all, judged by its local mean and by its sine transform.

With a Qmin above the small-angle region, G(r) oscillates about zero, and its sine transform is F(Q): it lies between
Qmin and Qmax and has most of its power where atoms scatter. On 162 simulated curves of unseen shapes with noise of
Rw = 0, 0.1 and 0.2, and on three measured ones, the mean was at most 0.03 of the root mean square, 2e-5 of the power
lay beyond Qmax, and 30 % or more beyond 5 Å⁻¹; every limit here is far from that.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dst

from cbldm.errors import InputError
from cbldm.types import FloatArray

#: Data beyond this r, in Å, are not looked at: they say nothing new, and cost time.
END = 40.0
#: Most points of the transform.
MOST_POINTS = 2**16
#: The range in Å whose mean is judged.
MEAN_RANGE = (1.5, 30.0)
#: A curve with fewer points than this up to `END` is not judged.
MOST_SPARSE = 20
#: A range shorter than this, in Å, holds too few oscillations for a mean.
LONG_ENOUGH = 12.0
#: A Qmin below this, in Å⁻¹, lets the small-angle scattering through, with which G(r) need not oscillate about zero.
SMALL_ANGLE = 0.3
#: Share of the root mean square from which a mean is odd, and from which the curve cannot be G(r).
ODD_MEAN, WRONG_MEAN = 0.2, 0.45
#: Share of the power beyond Qmax that is odd, and that cannot be.
ODD_BEYOND, WRONG_BEYOND = 0.005, 0.5
#: Atoms give most of the power beyond the first of these Q, in Å⁻¹, and a good part beyond the second.
STRUCTURE_Q, SHARP_Q = 2.0, 5.0
#: Least share of the power beyond `STRUCTURE_Q` for an answer, and beyond `SHARP_Q` to go without a warning.
LEAST_STRUCTURE, LEAST_SHARP = 0.05, 0.02
#: Share of the strongest band's power that counts as signal, and the fall at an edge of the spectrum.
SIGNAL, FALL = 1e-4, 1e-3
#: Share of the highest Q that the steps of r can hold from which power there is that of single points.
TO_THE_END = 0.97
#: How near to Qmax data that are a function of Q end, relative to it.
END_IS_QMAX = 0.005
#: A fitted range that is shorter than this, in Å, sees the nearest shells only.
SHORT_RANGE = 6.5


def check_sense(
    r: FloatArray, g: FloatArray, qmin: float, qmax: float, where: str, *, unit_said: bool = False
) -> list[str]:
    """One line for each thing about the curve that is odd for a G(r).

    Args:
        r: (n,) in Å, increasing from 0 or above; past 5 Å.
        g: (n,) what is said to be G(r), in Å⁻².
        qmin: Said to be the lower end of its Fourier integral, in Å⁻¹.
        qmax: The upper end.
        where: Name of the data for messages.
        unit_said: Whether the user gave the unit of r.

    Raises:
        InputError: The curve is constant or smooth, or is another function than G(r), or r is in nm.

    Example:
        >>> r = np.arange(0, 20, 0.01)
        >>> check_sense(r, np.sin(6 * r) * np.exp(-r / 5), 0.7, 22.0, "x.gr")
        []
        >>> check_sense(r, r**2 * (1 + 0.3 * np.sin(6 * r)), 0.7, 22.0, "x.gr")
        Traceback (most recent call last):
            ...
        cbldm.errors.InputError: x.gr is no G(r): ... it grows as r², as R(r) does; give G(r) = R(r)/r − 4πρ0 r
    """
    near = g[(r >= MEAN_RANGE[0]) & (r <= END)]
    if len(near) < MOST_SPARSE:
        return []
    if np.ptp(near) == 0:
        raise InputError(f"{where}: G(r) is constant ({near[0]:g}); there is nothing to fit")
    warnings = _mean(r, g, qmax, where) if qmin >= SMALL_ANGLE and r[-1] - r[0] >= LONG_ENOUGH else []
    q, power = _spectrum(r, g)
    total = float(power.sum())
    resolution = 4 * np.pi / float(min(r[-1], END))
    beyond = float(power[q > qmax + resolution].sum()) / total
    highest = float(q[np.searchsorted(np.cumsum(power), 0.99 * total)])
    if beyond > WRONG_BEYOND and highest < 11 * qmax and not unit_said:
        if highest > TO_THE_END * q[-1]:
            raise InputError(
                f"{where}: {beyond:.0%} of G's power lies beyond Qmax = {qmax:g} Å⁻¹, up to the highest Q that the "
                "steps of r can hold, as of noise or of single points that stand out: it is no G(r), or r is in nm, "
                "which --r-unit nm says"
            )
        raise InputError(
            f"{where}: r looks like nm ({beyond:.0%} of G's power lies beyond Qmax = {qmax:g} Å⁻¹, up to "
            f"{highest:.0f}): say --r-unit nm, or --r-unit A if it is in Å"
        )
    if beyond > ODD_BEYOND:
        warnings.append(
            f"{beyond:.1%} of G's power lies beyond Qmax = {qmax:g} Å⁻¹, up to {highest:.0f} Å⁻¹: the true Qmax is "
            "larger, or the noise is not that of a Fourier transform; check Qmax"
        )
    structure, sharp = (float(power[q > limit].sum()) / total for limit in (STRUCTURE_Q, SHARP_Q))
    if structure < LEAST_STRUCTURE:
        raise InputError(
            f"{where} shows no atoms: {1 - structure:.0%} of G's power lies below Q = {STRUCTURE_Q:g} Å⁻¹; "
            "check the columns and the unit of r"
        )
    if sharp < LEAST_SHARP:
        warnings.append(
            f"{1 - sharp:.0%} of G's power lies below Q = {SHARP_Q:g} Å⁻¹: the peaks are too wide for atoms; check the "
            "unit of r"
        )
    elif (edge := _edge(q, power, qmax, resolution)) is not None:
        warnings.append(
            f"G(r) holds nothing beyond Q = {edge:.1f} Å⁻¹, but Qmax is {qmax:g} Å⁻¹; check Qmax, --qmax sets it"
        )
    if abs(r[-1] / qmax - 1) < END_IS_QMAX and r[0] > 0:
        warnings.append(f"the first column ends at Qmax itself, {r[-1]:g}: if it is Q, this is F(Q) and not G(r)")
    return warnings


def check_range(rmin: float, rmax: float) -> list[str]:
    """A line where the fitted range, in Å, is too short to tell structures apart.

    >>> check_range(1.5, 6.0)
    ['the fitted range, 1.5 to 6 Å, sees the nearest shells only, which many structures share']
    """
    span = f"{rmin:g} to {rmax:g} Å"
    short = f"the fitted range, {span}, sees the nearest shells only, which many structures share"
    return [short] if rmax - rmin < SHORT_RANGE else []


def _mean(r: FloatArray, g: FloatArray, qmax: float, where: str) -> list[str]:
    """Judge whether the curve oscillates about zero, and name what it is where it does not."""
    # On an even grid a mean is one over r.
    x = np.linspace(max(MEAN_RANGE[0], r[0]), min(MEAN_RANGE[1], r[-1]), 3000)
    y = np.interp(x, r, g)
    root = float(np.sqrt(np.mean(y**2)))
    offset = float(np.mean(y)) / root if root else 0.0
    if abs(offset) < ODD_MEAN:
        return []
    if offset > WRONG_MEAN or y.min() >= 0:
        said = f"its mean is {offset:.2f} of its root mean square, and G(r) oscillates about 0"
        raise InputError(f"{where} is no G(r): {said}; it {_other_function(x, y, qmax)}")
    return [f"G(r) does not oscillate about 0 (its mean is {offset:.2f} of its root mean square): check the background"]


def _other_function(x: FloatArray, y: FloatArray, qmax: float) -> str:
    """What a curve of positive mean does, whose habit that is, and what to do."""
    thirds, middle = np.split(y, 3), x.reshape(3, -1).mean(axis=1)
    first, last = float(thirds[0].mean()), float(thirds[-1].mean())
    growth = np.log(last / first) / np.log(middle[-1] / middle[0]) if first > 0 and last > 0 else 0.0
    spread = float(np.std(thirds[-1]))
    if 0.8 < last < 1.2 and spread < 0.5:
        if abs(x[-1] / qmax - 1) < 0.03:
            return "tends to 1 and ends at Qmax, as S(Q) does; give G(r), its sine transform"
        return "tends to 1, as g(r) and S(Q) do; give G(r) = 4πρ0 r (g(r) − 1)"
    if growth > 1.5:
        return "grows as r², as R(r) does; give G(r) = R(r)/r − 4πρ0 r"
    if growth > 0.5:
        return "grows as r, as T(r) does; give G(r) = T(r) − 4πρ0 r"
    if growth < -0.5:
        return "falls, as an intensity I(Q) or a G(r) with its small-angle part does; give G(r), or its Qmin by --qmin"
    return "may be R(r), or a G(r) with its small-angle part; give G(r), or its Qmin by --qmin"


def _spectrum(r: FloatArray, g: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Q in Å⁻¹ and the square of the sine transform of G, which goes to 0 smoothly where the data end."""
    end = float(min(r[-1], END))
    n = int(np.clip(end / np.median(np.diff(r)), 64, MOST_POINTS))
    steps = np.arange(1, n, dtype=np.float64)
    grid = end / n * steps
    tapered = np.interp(grid, r, g, left=0.0) * np.cos(0.5 * np.pi * grid / end) ** 2
    # The scale of G does not matter, and its square may overflow.
    return np.pi / end * steps, dst(tapered / np.abs(tapered).max(), type=1) ** 2


def _edge(q: FloatArray, power: FloatArray, qmax: float, resolution: float) -> float | None:
    """Q in Å⁻¹ far below Qmax where the spectrum ends at once; None where it fades, as warm atoms make it."""
    if q[-1] < qmax:
        return None  # the grid is too coarse for Qmax, which is said elsewhere
    width = max(0.5, resolution)
    bands = np.array([power[(q >= low) & (q < low + width)].mean() for low in np.arange(0, qmax - width, width)])
    last = int(np.flatnonzero(bands > SIGNAL * bands.max())[-1])
    edge = (last + 1) * width
    rest = bands[last + 2 :]
    ends = edge < 0.85 * qmax and len(rest) > 1 and bool((rest < FALL * bands[last]).all())
    return edge if ends else None
