"""Scores of networks that are not trained for themselves: zero-cost proxies, and paths through a supernet."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from graphnas.bench.prediction_data import IntArray, PredictionData
from graphnas.cell import Architecture
from graphnas.evaluate import EvaluationFailed, ProxyEvaluator
from graphnas.networks import SharedWeights
from graphnas.predictors.protocol import FloatArray
from graphnas.proxies import PROXIES
from graphnas.tasks import Split, Task, load_task
from graphnas.training import path_accuracy, train_shared_weights

SUPERNETS = {"rsws": False, "one-shot": True}
"""Scores with shared weights: whether the distribution of the paths is learned with them."""

_STEPS = 1_200  # of a supernet's training
_JUDGED = 512  # validation images on which a path is scored


class _Supernet(NamedTuple):
    weights: SharedWeights
    task: Task
    judged: Split
    seconds: float


class NetworkScores:
    """Scores by row, computed when first asked for, with the seconds that they take.

    Args:
        data: The architectures.
        seed: Of initial weights, minibatches and trainings.
    """

    def __init__(self, data: PredictionData, seed: int) -> None:
        self.data, self.seed = data, seed
        self._known: dict[str, dict[int, float]] = {}
        self._seconds: dict[str, list[float]] = {}
        self._supernets: dict[str, _Supernet] = {}

    def check(self, name: str) -> None:
        """Refuse a score that these networks do not have.

        Raises:
            ValueError: naming it.
        """
        if self.data.task is None or (name not in PROXIES and name not in SUPERNETS):
            raise ValueError(f"the networks of {self.data.name} have no score {name}")

    def of(self, names: Sequence[str], rows: IntArray) -> dict[str, FloatArray]:
        """`n` scores by name, NaN where a network has none."""
        return {name: self._of(name, rows) for name in names}

    def initialisation(self, names: Sequence[str]) -> float:
        """Seconds that had to be spent before the first query: those of supernets."""
        return sum(self._supernets[name].seconds for name in names if name in self._supernets)

    def query(self, names: Sequence[str]) -> float:
        """Mean seconds of all these scores of one network."""
        return sum(float(np.mean(self._seconds[name])) for name in names)

    def _of(self, name: str, rows: IntArray) -> FloatArray:
        known = self._known.setdefault(name, {})
        new = np.array([row for row in rows.tolist() if row not in known], dtype=np.int64)
        if new.size:
            self.check(name)
            supernet = self._supernet(name) if name in SUPERNETS else None
            architectures = self.data.space.from_arrays(self.data.architectures(new))
            for row, architecture in zip(new.tolist(), architectures, strict=True):
                clock = time.process_time()
                if supernet is None:
                    known[row] = self._proxy(name, architecture)
                else:
                    known[row] = path_accuracy(supernet.weights, architecture, supernet.task, supernet.judged)
                self._seconds.setdefault(name, []).append(time.process_time() - clock)
        return np.array([known[row] for row in rows.tolist()])

    def _evaluator(self, proxy: str) -> ProxyEvaluator:
        assert self.data.task is not None
        return ProxyEvaluator(self.data.space, proxy, self.data.task, sizes=self.data.sizes)

    def _proxy(self, name: str, architecture: Architecture) -> float:
        try:
            return self._evaluator(name).evaluate(architecture, seed=self.seed).value
        except EvaluationFailed:
            return math.nan

    def _supernet(self, name: str) -> _Supernet:
        if name not in self._supernets:
            assert self.data.task is not None
            clock, task = time.process_time(), load_task(self.data.task)
            weights = SharedWeights(
                self.data.space,
                sizes=self._evaluator("parameters").sizes,
                classes=task.classes,
                in_channels=task.in_channels,
                generator=torch.Generator().manual_seed(self.seed),
            )
            train_shared_weights(weights, self.data.space, task, steps=_STEPS, learned=SUPERNETS[name], seed=self.seed)
            judged = Split(task.validation.images[:_JUDGED], task.validation.labels[:_JUDGED])
            self._supernets[name] = _Supernet(weights, task, judged, time.process_time() - clock)
        return self._supernets[name]
