"""A measured PDF as the network reads it: in the unit of its input, on the training grid."""

from __future__ import annotations

import numpy as np
import torch

from cbldm.data.stream import ANGSTROM_UNIT, normalised, scaled_conditions
from cbldm.models.cbldm import ModelConfig
from cbldm.types import Pdf


def network_input(pdf: Pdf, dnn: float, config: ModelConfig, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Resample a PDF onto the network's grid.

    Args:
        pdf: The data; everything measured is used unless rmax was given as an option.
        dnn: Nearest-neighbour distance in Å.
        config: The model's grid and its unit.
        device: Torch device.

    Returns:
        (1, n_r) PDF of unit standard deviation, zero where there are no data, and (1, 3) conditions.
    """
    grid = config.r_start + config.r_step * np.arange(config.n_r)
    rmax = pdf.settings["rmax"]
    end = float(rmax.value) if rmax.source == "option" else float(pdf.r[-1])
    unit = dnn if config.unit == "first_peak" else ANGSTROM_UNIT
    end = min(end / unit, float(grid[-1]))
    # Averaging over the grid's step keeps the noise of fine grids from aliasing.
    values = np.interp(grid * unit, *_smoothed(pdf, config.r_step * unit), left=0.0)
    x = torch.as_tensor(values, dtype=torch.float32, device=device)[None]
    r = torch.as_tensor(grid, dtype=torch.float32, device=device)
    x = normalised(x, r, torch.tensor([[end]], device=device))
    qmin, qmax, reach = scaled_conditions(pdf.instrument.qmin * unit, pdf.instrument.qmax * unit, end)
    return x, torch.tensor([[qmin, qmax, reach]], dtype=torch.float32, device=device)


def _smoothed(pdf: Pdf, width: float) -> tuple[np.ndarray, np.ndarray]:
    """The data averaged over a window of the given width in Å, as far as the grid is finer than that."""
    points = max(1, round(width / float(np.median(np.diff(pdf.r)))))
    points -= 1 - points % 2
    if points < 3:
        return pdf.r, pdf.g
    padded = np.pad(pdf.g, points // 2, mode="edge")
    return pdf.r, np.convolve(padded, np.full(points, 1 / points), mode="valid")
