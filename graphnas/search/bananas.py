"""BANANAS as an Optuna sampler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from graphnas.cell import Architecture
from graphnas.predictors.encodings import encoding
from graphnas.predictors.perceptrons import Perceptrons
from graphnas.search.pool import FloatArray, PoolSampler

_MEMBERS = 5  # networks of the ensemble
_LAYERS, _WIDTH = 5, 20
_STEPS = 200
_LEARNING_RATE = 0.01


class BananasSampler(PoolSampler):
    """BANANAS (White et al. 2021, arXiv 1910.11858): an ensemble of networks on path encodings judges mutations.

    The acquisition is independent Thompson sampling (Sec. 4): a draw from the normal distribution of the members'
    predictions, for each candidate by itself. Networks of 5 layers of 20 units stand for the paper's 10, and predict
    normal scores in place of the paper's relative errors, which need to know the best accuracy there is.

    Args:
        space: The space to propose from.
        n_startup_trials: Number of random architectures before the first model.
        candidates: Proposes only these architectures, all of which are judged.
        seed: Makes proposals a function of the study's trials.
    """

    def encode(self, architectures: Sequence[Architecture]) -> FloatArray:
        """Path encodings."""
        return encoding(self.space, "paths")(self.space.to_arrays(architectures))

    def fit(self, features: FloatArray, scores: FloatArray, seed: int) -> Any:
        """An ensemble of networks that differ in their first weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            ensemble = Perceptrons(_MEMBERS, [features.shape[1], *[_WIDTH] * _LAYERS, 1])
        x, y = torch.from_numpy(features).float(), torch.from_numpy(scores).float()
        optimizer = torch.optim.Adam(ensemble.parameters(), lr=_LEARNING_RATE)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            (ensemble(x) - y).abs().mean(1).sum().backward()
            optimizer.step()
        return ensemble

    def judge(self, model: Any, features: FloatArray, best: float, rng: np.random.Generator) -> FloatArray:
        """A draw for each candidate."""
        del best
        with torch.no_grad():
            predicted = model(torch.from_numpy(features).float()).double().numpy()
        drawn: FloatArray = predicted.mean(0) + predicted.std(0) * rng.standard_normal(len(features))
        return drawn
