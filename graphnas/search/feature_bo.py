"""Bayesian optimisation on hand-made features of cells, as an Optuna sampler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from linear_operator.utils.errors import NanError, NotPSDError

from graphnas.cell import Architecture
from graphnas.predictors.encodings import encoding
from graphnas.predictors.gaussian_process import ModelFittingError, fit_gaussian_process
from graphnas.predictors.posterior import Posterior
from graphnas.search.pool import FloatArray, PoolSampler, expected_improvement
from graphnas.search.sampler import CandidateList
from graphnas.spaces import Space

FEATURES = ("adjacency", "statistics", "paths", "wl", "structure")
"""Names of the features, all of them `encoding`s."""


class FeatureBOSampler(PoolSampler):
    """Bayesian optimisation on hand-made features: a Gaussian process judges a pool of mutations.

    Args:
        space: The space to propose from.
        features: One of `FEATURES`.
        acquisition: `ei`, expected improvement, or `ucb`, mean and twice the standard deviation.
        n_startup_trials: Number of random architectures before the first model.
        candidates: Proposes only these architectures, all of which are judged.
        seed: Makes proposals a function of the study's trials.
    """

    def __init__(
        self,
        space: Space,
        *,
        features: str = "wl",
        acquisition: str = "ei",
        n_startup_trials: int = 10,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space, n_startup_trials=n_startup_trials, candidates=candidates, seed=seed)
        if features not in FEATURES:
            raise ValueError(f"Expected features to be one of {', '.join(FEATURES)}, but got {features!r}")
        if acquisition not in ("ei", "ucb"):
            raise ValueError(f"Expected acquisition to be ei or ucb, but got {acquisition!r}")
        self.features, self.acquisition = features, acquisition

    def encode(self, architectures: Sequence[Architecture]) -> FloatArray:
        """Features of architectures, in units that do not depend on them."""
        return encoding(self.space, self.features)(architectures)

    def fit(self, features: FloatArray, scores: FloatArray, seed: int) -> Any:
        """An isotropic Gaussian process."""
        del seed
        try:
            return Posterior(fit_gaussian_process(torch.from_numpy(features), torch.from_numpy(scores)[:, None]))
        except (NotPSDError, NanError) as error:
            raise ModelFittingError(str(error)) from error

    def judge(self, model: Any, features: FloatArray, best: float, rng: np.random.Generator) -> FloatArray:
        """Expected improvement or upper confidence bound."""
        del rng
        with torch.no_grad():
            mean, deviation = (one.numpy() for one in model.moments(torch.from_numpy(features)))
        return expected_improvement(mean, deviation, best) if self.acquisition == "ei" else mean + 2 * deviation
