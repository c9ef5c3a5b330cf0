"""A stage's learning: the average follows the weights, the rate warms up and falls, what a stage freezes stays."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from cbldm.data.stream import Stream
from cbldm.models.cbldm import CbLdm
from cbldm.training import StageConfig, TrainingConfig
from cbldm.training.learner import Average, Learner, rate
from cbldm.training.runner import OneDevice


def test_average_follows_and_swaps(tiny: TrainingConfig) -> None:
    torch.manual_seed(0)
    model = CbLdm(tiny.model)
    average = Average(model, "sculptor")
    start = [p.detach().clone() for p in average.parameters]
    for p in average.parameters:
        p.data.add_(1.0)
    average.update()
    # The first decay is (1 + 1) / (10 + 1).
    for shadow, old in zip(average.shadow, start, strict=True):
        torch.testing.assert_close(shadow, old + 9 / 11)
    average.swap()
    for p, old in zip(average.parameters, start, strict=True):
        torch.testing.assert_close(p.detach(), old + 9 / 11)
    average.swap()
    for p, old in zip(average.parameters, start, strict=True):
        torch.testing.assert_close(p.detach(), old + 1)


def test_rate_warms_up_and_falls() -> None:
    settings = StageConfig(100, 1e-3, warmup=10)
    rates = [rate(settings, step) for step in range(100)]
    assert max(rates) == pytest.approx(1e-3, rel=0.05)
    assert rates.index(max(rates)) in range(8, 12)
    assert rates[0] == pytest.approx(1e-4, rel=0.01)
    assert rates[-1] == pytest.approx(2e-5, rel=0.05)
    assert all(a > b for a, b in pairwise(rates[12:]))


def test_rate_warms_up_again_for_a_new_optimizer() -> None:
    settings = StageConfig(100, 1e-3, warmup=10)
    again = [rate(settings, step, 40) for step in range(40, 100)]
    assert again[0] == pytest.approx(0.1 * rate(settings, 40))
    assert again[10:] == [rate(settings, step) for step in range(50, 100)]


def test_a_step_changes_the_parameters_of_its_stage_alone(tiny: TrainingConfig) -> None:
    torch.manual_seed(0)
    model = CbLdm(tiny.model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    learner = Learner("sculptor", model, tiny, OneDevice("cpu", "32-true"))
    scalars = learner.learn(0, [(Stream(1, 8, "train", (5, 30), textbook=0.0).batch(0, "sc"), 0)])
    assert all(torch.isfinite(value) for value in scalars.values())
    changed = {key.split(".")[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"pdf_encoder", "prior", "heads", "denoiser"}
