"""Settings of a training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any


@dataclass(frozen=True)
class TrainingConfig:
    """Stochastic gradient descent with Nesterov momentum and a cosine schedule (Loshchilov & Hutter 2017).

    Raises:
        ValueError: naming the setting that is out of range, its range, and what came.
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
        ranges: dict[str, tuple[str, Callable[[Any], bool]]] = {
            "batch_size": ("a whole number from 1", lambda value: value >= 1),
            "learning_rate": ("a finite number above 0", lambda value: 0 < value < math.inf),
            "warmup": ("a number from 0 to below 1", lambda value: 0 <= value < 1),
            "momentum": ("a number above 0 and below 1", lambda value: 0 < value < 1),
            "weight_decay": ("a finite number from 0", lambda value: 0 <= value < math.inf),
            "label_smoothing": ("a number from 0 to below 1", lambda value: 0 <= value < 1),
            "clip_norm": ("a number above 0", lambda value: value > 0),
            "shift": ("a whole number from 0", lambda value: value >= 0),
        }
        for name, (words, legal) in ranges.items():
            value = getattr(self, name)
            kind = Integral if "whole" in words else Real
            if not (isinstance(value, kind) and legal(value)):
                raise ValueError(f"{name} is out of range: expected {words}, but got {value!r}")

    def rate(self, step: int, steps: int) -> float:
        """Learning rate at a step, counted from 0, of a training of so many steps."""
        rising = math.ceil(self.warmup * steps)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1))) / 2
