"""What a performance predictor is: fitted to architectures whose performance is known, asked about others.

A predictor says beforehand what it needs to know of an architecture beside its graph, so that whoever compares
predictors can count what that costs: trainings of the architectures it is fitted to, the first epochs of one it is
asked about, a score of its untrained network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import Architecture, CellArrays

FloatArray = NDArray[np.float64]

Architectures = Sequence[Architecture] | CellArrays
"""Architectures of a space; as arrays, the cells of one architecture stand in consecutive rows."""


@dataclass(frozen=True)
class Needs:
    """What a predictor needs to know."""

    targets: bool = True
    """Whether it is fitted to the performance of trained architectures."""
    curves: tuple[str, ...] = ()
    """Learning curves of the first epochs that it is asked with, and fitted to: `train_loss`, `validation_loss`,
    `train_accuracy`, `validation_accuracy`."""
    fewest_epochs: int = 1
    """Epochs without which these curves tell it nothing."""
    scores: tuple[str, ...] = ()
    """Scores of untrained networks (`graphnas.proxies.PROXIES`), or of a supernet's, that it is asked with."""
    unlabelled: int = 0
    """Architectures without a value that it draws for each one that it is fitted to."""


@dataclass(frozen=True)
class Info:
    """What is known of `n` architectures beside their graphs."""

    curves: Mapping[str, FloatArray] = field(default_factory=dict)
    """`n x e` values after each of the first `e` epochs, by the name of the curve."""
    scores: Mapping[str, FloatArray] = field(default_factory=dict)
    """`n` scores by name; NaN where a score is not defined."""
    epochs: int | None = None
    """Epochs of a whole training, after which the targets were measured."""

    def take(self, rows: NDArray[np.int64]) -> Info:
        """What is known of some of the architectures."""
        return Info(
            {name: values[rows] for name, values in self.curves.items()},
            {name: values[rows] for name, values in self.scores.items()},
            self.epochs,
        )

    def upto(self, epochs: int) -> Info:
        """What is known after fewer epochs."""
        return Info({name: values[:, :epochs] for name, values in self.curves.items()}, self.scores, self.epochs)

    def curve(self, name: str) -> FloatArray:
        """`n x e` values of a curve.

        Raises:
            ValueError: if there is no such curve, naming those there are.
        """
        if name not in self.curves or self.curves[name].shape[1] == 0:
            raise ValueError(f"Expected info with the curve {name!r}, but got {', '.join(self.curves) or 'no curves'}")
        return self.curves[name]

    def score(self, name: str) -> FloatArray:
        """`n` scores.

        Raises:
            ValueError: if there is no such score, naming those there are.
        """
        if name not in self.scores:
            raise ValueError(f"Expected info with the score {name!r}, but got {', '.join(self.scores) or 'no scores'}")
        return self.scores[name]


class Prediction(NamedTuple):
    """What a predictor says of `n` architectures."""

    mean: FloatArray
    """`n` predictions, larger is better; NaN where it has none. In the units of the targets if it was fitted to any."""
    std: FloatArray
    """`n` standard deviations; NaN where it does not say how sure it is."""


class Predictor(ABC):
    """From an architecture, and what is known of it, to its performance."""

    needs: Needs = Needs()
    """What `fit` and `predict` have to be told."""

    def fit(self, architectures: Architectures, targets: FloatArray, info: Info | None = None) -> Self:
        """Learn from architectures whose performance is known.

        Args:
            architectures: `n` of them.
            targets: `n` performances, larger is better.
            info: What `needs` asks for, of these architectures.

        Raises:
            ValueError: if there are too few of them, or something is missing in `info`.
        """
        del architectures, targets, info
        return self

    @abstractmethod
    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """Predict the performance of `n` architectures.

        Args:
            architectures: They need not be among those learned from.
            info: What `needs` asks for, of these architectures.

        Raises:
            ValueError: if something is missing in `info`, or the predictor has to be fitted first.
        """


def told(architectures: Architectures, info: Info | None) -> Info:
    """What is known of architectures; nothing if None.

    Raises:
        ValueError: if there are none, or it is known of another number of architectures.
    """
    known = info or Info()
    arrays = isinstance(architectures, CellArrays)
    n = architectures.n if isinstance(architectures, CellArrays) else len(architectures)
    if not n:
        raise ValueError("Expected one architecture or more, but got none")
    for name, values in (*known.curves.items(), *known.scores.items()):
        # Of arrays, an architecture may have several rows.
        if len(values) != n and not (arrays and len(values) and n % len(values) == 0):
            raise ValueError(f"Expected {name} of {n} architectures, but got {len(values)}")
    return known


def unsure(mean: FloatArray) -> Prediction:
    """A prediction without standard deviations."""
    return Prediction(mean, np.full_like(mean, np.nan))
