"""What stands in for Fabric, and what it cannot do."""

from __future__ import annotations

import sys

import pytest
import torch

from cbldm.errors import InputError
from cbldm.training.runner import OneDevice, make_runner


def test_fabric_is_used_where_it_is_installed() -> None:
    assert type(make_runner("cpu", 1, 1, "32-true")).__name__ == "Fabric"


def test_one_device_does_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    runner = make_runner("cpu", 1, 1, "bf16-mixed")
    assert isinstance(runner, OneDevice)
    assert runner.device == torch.device("cpu")


def test_what_needs_fabric_is_refused_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(InputError, match="2 processes needs lightning_fabric: pip install"):
        make_runner("cpu", 2, 1, "bf16-mixed")
    with pytest.raises(InputError, match="16-mixed needs lightning_fabric"):
        make_runner("cpu", 1, 1, "16-mixed")


def test_a_gradient_that_is_not_finite_is_an_error() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.tensor([1.0, float("nan"), 0.0])
    with pytest.raises(RuntimeError, match="non-finite"):
        OneDevice("cpu", "32-true").clip_gradients(None, torch.optim.SGD([weight], lr=1.0), 1.0)
