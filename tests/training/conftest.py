"""A run that takes seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from cbldm.models.cbldm import ModelConfig
from cbldm.training import StageConfig, TrainingConfig


@pytest.fixture(scope="session")
def tiny() -> TrainingConfig:
    """Two stages of six steps."""
    return TrainingConfig(
        name="tiny-1",
        seed=3,
        model=ModelConfig(
            n_max=30, n_latent=12, n_read=32, n_write=40, n_code=32, vae_width=32, vae_depth=1, prior_width=32,
            encoder_width=32, encoder_depth=1, denoiser_width=32, denoiser_depth=1,
        ),
        translator=StageConfig(6, 1e-3, warmup=2, beta=0.1, beta_steps=4),
        sculptor=StageConfig(6, 1e-3, warmup=2),
        batch=16,
        n_atoms=(5, 30),
        textbook=0.0,
        validate_every=6,
        checkpoint_every=2,
    )  # fmt: skip


@pytest.fixture(scope="session")
def toml() -> Callable[[TrainingConfig], str]:
    """Writes a configuration as the text of a file."""

    def lines(values: dict[str, Any]) -> list[str]:
        plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
        text = {key: repr(list(value) if isinstance(value, tuple) else value) for key, value in plain.items()}
        return [f"{key} = {value}" for key, value in text.items()]

    def text_of(config: TrainingConfig) -> str:
        content = dataclasses.asdict(config)
        parts = [[f"[{key}]", *lines(value)] for key, value in content.items() if isinstance(value, dict)]
        return "\n".join(sum(parts, lines(content)))

    return text_of
