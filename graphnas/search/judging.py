"""Predictors and zero-cost proxies as judges of a search's candidates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.encoders.protocol import Encoder
from graphnas.evaluate import EvaluationFailed, Evaluator, ProxyEvaluator
from graphnas.predictors.catalogue import PREDICTORS
from graphnas.predictors.protocol import Architectures, FloatArray, Predictor
from graphnas.spaces import Space

ScoreArchitectures = Callable[[Sequence[Architecture]], Sequence[float]]
"""From `n` architectures to `n` scores, larger is better; NaN where there is none."""


JUDGES = tuple(
    name
    for name, kind in PREDICTORS.items()
    if kind.family in ("neural", "trees", "bayesian", "gaussian process", "latent")
)
"""Names of predictors that learn from architectures and their values alone."""


def check_judge(name: str) -> None:
    """Refuse the name of a predictor that cannot judge.

    Raises:
        ValueError: naming those that can.
    """
    if name not in JUDGES:
        raise ValueError(f"Expected a predictor out of {', '.join(JUDGES)}, but got {name!r}")


def check_predictor(predictor: Predictor) -> None:
    """Refuse a predictor that has to be told more than architectures and targets.

    Raises:
        ValueError: naming what it needs.
    """
    needs = predictor.needs
    if not needs.targets or needs.curves or needs.scores:
        more = [*(f"the curve {name}" for name in needs.curves), *(f"the score {name}" for name in needs.scores)]
        raise ValueError(
            "Expected a predictor that learns from architectures and their values, but this one needs "
            f"{', '.join(more) or 'no values'}"
        )


def own_autoencoder(encoder: Encoder) -> CellAutoencoder | None:
    """The autoencoder that a sampler was given, for predictors that need one; None if it is something else."""
    return encoder if isinstance(encoder, CellAutoencoder) else None


def upper_bounds(predictor: Predictor, architectures: Architectures, weight: float | FloatArray) -> FloatArray:
    """`n` means plus so many standard deviations, none where there are no deviations; the worst where none is known."""
    mean, std = predictor.predict(architectures)
    bounds = mean + weight * np.where(np.isfinite(std), std, 0.0)
    return np.where(np.isfinite(bounds), bounds, -1e9)


def best_of_half(score: ScoreArchitectures, ranked: Sequence[Architecture]) -> int:
    """Number of the first of ranked architectures that is not in the half with the lower scores."""
    scores = [-math.inf if math.isnan(one) else one for one in score(ranked)]
    middle = sorted(scores)[len(scores) // 2]
    return next(number for number, one in enumerate(scores) if one >= middle)


def means_of(predictor: Predictor) -> ScoreArchitectures:
    """What a predictor, once it is fitted, expects of architectures."""

    def score(architectures: Sequence[Architecture]) -> list[float]:
        means: list[float] = predictor.predict(architectures).mean.tolist()
        return means

    return score


def proxy_scores_of(space: Space, proxy: str) -> ScoreArchitectures:
    """A zero-cost proxy on networks of the space's proxy size and scikit-learn's digits.

    Raises:
        ValueError: if there is no such proxy.
    """
    return values_by(ProxyEvaluator(space, proxy))


def values_by(evaluator: Evaluator) -> ScoreArchitectures:
    """An evaluator's values, NaN for what it fails on."""

    def score(architectures: Sequence[Architecture]) -> list[float]:
        found = []
        for architecture in architectures:
            try:
                found.append(evaluator.evaluate(architecture).value)
            except EvaluationFailed:
                found.append(math.nan)
        return found

    return score
