"""Settings of a training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

OPTIMIZERS = ("sgd", "adamw", "rmsprop")
"""Names of the optimizers."""
PRECISIONS = ("auto", "float32", "bfloat16")
"""Names of the precisions."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained, with a cosine schedule of the learning rate (Loshchilov & Hutter 2017).

    Raises:
        ValueError: naming the setting that is out of range, its range, and what came.
    """

    optimizer: str = "sgd"
    """`sgd`, `adamw` (Loshchilov & Hutter 2019) or `rmsprop`, whose denominator has 1 added, as in NAS-Bench-101."""
    batch_size: int = 64
    """Images in a step."""
    learning_rate: float = 0.1
    """Peak of the schedule, reached after the warm-up; it falls to 0 at the last step."""
    warmup: float = 0.1
    """Fraction of all steps over which the learning rate rises linearly."""
    momentum: float = 0.9
    """Of `sgd` and `rmsprop`, and the first decay of `adamw`; a fraction below 1."""
    nesterov: bool = True
    """Whether the momentum of `sgd` is Nesterov's."""
    weight_decay: float = 5e-4
    """L2 penalty on weights; the decoupled decay of `adamw`."""
    decay_all: bool = False
    """Whether normalisations and biases are decayed as well."""
    label_smoothing: float = 0.0
    """Share of the target's probability that is spread over all classes."""
    clip_norm: float = 5.0
    """Largest norm of a step's gradient; longer ones are scaled down to it."""
    shift: int | None = None
    """Training images are moved at random by up to so many pixels in each direction; the task's own if None."""
    flip: bool | None = None
    """Whether training images are mirrored at random; the task's own if None."""
    cutout: int = 0
    """Side in pixels of a square at a random place of each training image that is blanked (DeVries & Taylor 2017)."""
    drop_path: float = 0.0
    """Probability of dropping an operation of a cell in the last epoch, to which it rises linearly from 0 (Zoph et al.
    2018)."""
    auxiliary: float = 0.0
    """Weight of the loss of a second classifier after two thirds of the cells; none if 0."""
    ema: float = 0.0
    """Decay of a moving average of the weights, which takes their place at the end; none if 0."""
    precision: str = "auto"
    """`float32`; `bfloat16`, mixed and with the channels last in memory, on GPUs that compute in it; `auto`, the second
    where it is possible."""
    compile: bool = False
    """Whether the network goes through `torch.compile`, which takes a minute and is worth it for long trainings."""
    deterministic: bool = False
    """Whether a GPU, too, gives equal weights to equal seeds, for some of its speed."""

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
            "cutout": ("a whole number from 0", lambda value: value >= 0),
            "drop_path": ("a number from 0 to below 1", lambda value: 0 <= value < 1),
            "auxiliary": ("a finite number from 0", lambda value: 0 <= value < math.inf),
            "ema": ("a number from 0 to below 1", lambda value: 0 <= value < 1),
        }
        for name, (words, legal) in ranges.items():
            value = getattr(self, name)
            kind = Integral if "whole" in words else Real
            # A truth value is a number to Python.
            is_number = isinstance(value, kind) and not isinstance(value, bool)
            if (value is not None or name != "shift") and not (is_number and legal(value)):
                raise ValueError(f"{name} is out of range: expected {words}, but got {value!r}")
        choices = {
            "optimizer": OPTIMIZERS,
            "precision": PRECISIONS,
            "nesterov": (False, True),
            "decay_all": (False, True),
            "flip": (None, False, True),
            "compile": (False, True),
            "deterministic": (False, True),
        }
        for name, known in choices.items():
            value = getattr(self, name)
            if not any(value is one or (isinstance(one, str) and value == one) for one in known):
                raise ValueError(f"{name} is out of range: expected {', '.join(map(str, known))}, but got {value!r}")

    def rate(self, step: int, steps: int) -> float:
        """Learning rate at a step, counted from 0, of a training of so many steps."""
        rising = math.ceil(self.warmup * steps)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1))) / 2
