"""Search guided by tree ensembles, as an Optuna sampler."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphnas.cell import Architecture
from graphnas.predictors.encodings import encoding
from graphnas.search.pool import FloatArray, PoolSampler, expected_improvement
from graphnas.search.sampler import CandidateList
from graphnas.spaces import Space

MODELS = ("random-forest", "xgboost")
"""Names of the models; the second needs the package xgboost."""

_TREES = 100  # of a forest, and of each boosted member
_MEMBERS = 5  # boosted models, each on a bootstrap sample


class TreeEnsembleSampler(PoolSampler):
    """Expected improvement under a tree ensemble on adjacency and path encodings, over a pool of mutations.

    The uncertainty is the spread of the trees of a random forest (Hutter et al. 2011, SMAC, Sec. 4.1), or of boosted
    ensembles on bootstrap samples.

    Args:
        space: The space to propose from.
        model: One of `MODELS`.
        n_startup_trials: Number of random architectures before the first model.
        candidates: Proposes only these architectures, all of which are judged.
        seed: Makes proposals a function of the study's trials.
    """

    def __init__(
        self,
        space: Space,
        *,
        model: str = "random-forest",
        n_startup_trials: int = 10,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space, n_startup_trials=n_startup_trials, candidates=candidates, seed=seed)
        if model not in MODELS:
            raise ValueError(f"Expected model to be one of {', '.join(MODELS)}, but got {model!r}")
        if model == "xgboost" and importlib.util.find_spec("xgboost") is None:
            raise ImportError("The model 'xgboost' needs a package that is not there: pip install 'graphnas[trees]'")
        self.model = model

    def encode(self, architectures: Sequence[Architecture]) -> FloatArray:
        """Adjacency and path encodings beside one another."""
        cells = self.space.to_arrays(architectures)
        return np.column_stack([encoding(self.space, name)(cells) for name in ("adjacency", "paths")])

    def fit(self, features: FloatArray, scores: FloatArray, seed: int) -> Any:
        """Members whose spread is the uncertainty."""
        if self.model == "random-forest":
            from sklearn.ensemble import RandomForestRegressor

            forest = RandomForestRegressor(_TREES, max_features=1 / 3, min_samples_leaf=2, random_state=seed, n_jobs=1)
            return forest.fit(features, scores).estimators_
        from xgboost import XGBRegressor

        rng = np.random.default_rng(seed)
        members = []
        for _ in range(_MEMBERS):
            rows = rng.integers(len(scores), size=len(scores))
            member = XGBRegressor(
                n_estimators=_TREES,
                max_depth=6,
                learning_rate=0.1,
                colsample_bytree=0.5,
                random_state=int(rng.integers(2**31)),
                n_jobs=1,
            )
            members.append(member.fit(features[rows], scores[rows]))
        return members

    def judge(self, model: Any, features: FloatArray, best: float, rng: np.random.Generator) -> FloatArray:
        """Expected improvement."""
        del rng
        predicted = np.stack([member.predict(features) for member in model]).astype(np.float64)
        return expected_improvement(predicted.mean(0), predicted.std(0), best)
