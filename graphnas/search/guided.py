"""Search guided by any performance predictor, as an Optuna sampler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphnas.cell import Architecture
from graphnas.encoders.protocol import Encoder
from graphnas.predictors.catalogue import make_predictor
from graphnas.predictors.protocol import Predictor
from graphnas.search.judging import check_judge, check_predictor, own_autoencoder, upper_bounds
from graphnas.search.pool import FloatArray, PoolSampler, cells_of, flat_cells
from graphnas.search.sampler import CandidateList
from graphnas.spaces import Space

ACQUISITIONS = ("thompson", "mean", "ucb")
"""How a predictor's mean and standard deviation become a judgement."""


class PredictorGuidedSampler(PoolSampler):
    """Mutations of the best architectures, judged by a predictor (White et al. 2021, arXiv 2104.01177, Sec. 4).

    With `thompson` this is the loop of BANANAS (White et al. 2021, arXiv 1910.11858), with `mean` the evolution of
    NPENAS (Wei et al. 2022, arXiv 2003.12857), both around a predictor of one's choice. It is fitted to normal scores.

    Args:
        space: The space to propose from.
        encoder: An autoencoder of the space, for predictors that look at latent means.
        predictor: Learns from architectures and targets alone; or the name of one of `judging.JUDGES`.
        acquisition: `thompson`, a draw from the normal distribution of each candidate's prediction by itself; `mean`,
            the mean; `ucb`, the mean and one standard deviation. A predictor that has no deviations counts as sure.
        n_startup_trials: Number of random architectures before the first model.
        candidates: Proposes only these architectures, all of which are judged.
        seed: Makes proposals a function of the study's trials.

    Raises:
        ValueError: if the predictor needs curves or scores, or an encoder that is not given.
    """

    def __init__(
        self,
        space: Space,
        *,
        encoder: Encoder | None = None,
        predictor: Predictor | str = "xgboost",
        acquisition: str = "thompson",
        n_startup_trials: int = 10,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space, n_startup_trials=n_startup_trials, candidates=candidates, seed=seed)
        if acquisition not in ACQUISITIONS:
            raise ValueError(f"Expected acquisition to be one of {', '.join(ACQUISITIONS)}, but got {acquisition!r}")
        if isinstance(predictor, str):
            check_judge(predictor)
            autoencoder = None if encoder is None else own_autoencoder(encoder)
            predictor = make_predictor(predictor, space, encoder=autoencoder, seed=self.seed)
        check_predictor(predictor)
        self.predictor, self.acquisition = predictor, acquisition

    def encode(self, architectures: Sequence[Architecture]) -> FloatArray:
        """Labels and edges of canonical cells, flat."""
        return flat_cells(self.space, architectures)

    def fit(self, features: FloatArray, scores: FloatArray, seed: int) -> Any:
        """The predictor, fitted."""
        return self.predictor.fit(cells_of(self.space, features), scores)

    def judge(self, model: Any, features: FloatArray, best: float, rng: np.random.Generator) -> FloatArray:
        """A draw for each candidate, its mean, or its mean and deviation."""
        weight: float | FloatArray = 1.0 if self.acquisition == "ucb" else 0.0
        if self.acquisition == "thompson":
            weight = rng.standard_normal(len(features))
        return upper_bounds(model, cells_of(self.space, features), weight)
