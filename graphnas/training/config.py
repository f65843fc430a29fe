"""Settings of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingConfig:
    """Stochastic gradient descent with Nesterov momentum and a cosine schedule (Loshchilov & Hutter 2017).

    Raises:
        ValueError: naming the setting that is out of range.
    """

    batch_size: int = 64
    """Images in a step."""
    learning_rate: float = 0.1
    """Peak of the schedule, reached after the warm-up; it falls to 0 at the last step."""
    warmup: float = 0.1
    """Fraction of all steps over which the learning rate rises linearly."""
    momentum: float = 0.9
    """Nesterov momentum, a fraction below 1."""
    weight_decay: float = 5e-4
    """L2 penalty on all weights but those of normalisations and biases."""
    label_smoothing: float = 0.0
    """Share of the target's probability that is spread over all classes."""
    clip_norm: float = 5.0
    """Largest norm of a step's gradient; longer ones are scaled down to it."""
    shift: int = 1
    """Training images are moved at random by up to so many pixels in each direction."""

    def __post_init__(self) -> None:
        ranges = {
            "batch_size": self.batch_size >= 1,
            "learning_rate": 0 < self.learning_rate < math.inf,
            "warmup": 0 <= self.warmup < 1,
            "momentum": 0 < self.momentum < 1,
            "weight_decay": 0 <= self.weight_decay < math.inf,
            "label_smoothing": 0 <= self.label_smoothing < 1,
            "clip_norm": self.clip_norm > 0,
            "shift": self.shift >= 0,
        }
        for name, legal in ranges.items():
            if not legal:
                raise ValueError(f"{name} is out of range: {getattr(self, name)!r}")

    def rate(self, step: int, steps: int) -> float:
        """Learning rate at a step, counted from 0, of a training of so many steps."""
        rising = math.ceil(self.warmup * steps)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1))) / 2
