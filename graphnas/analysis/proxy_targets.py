"""Scores of untrained networks as targets that an encoder predicts from its latent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphnas.cell import CellArrays
from graphnas.evaluate import EvaluationFailed, ProxyEvaluator
from graphnas.predictors import make_predictor
from graphnas.predictors.gaussian_process import normal_scores
from graphnas.predictors.protocol import FloatArray
from graphnas.spaces import Space

FEWEST = 20
"""Scored architectures from which the others' scores are predicted."""


def proxy_targets(
    space: Space,
    arrays: CellArrays,
    proxies: Sequence[str],
    *,
    task: str = "digits",
    scored: int = 1_000,
    seed: int = 0,
) -> FloatArray:
    """Normal scores of zero-cost proxies, for `fit`'s `targets`.

    Some architectures are scored, one network each; a random forest on their graphs predicts the others, since scoring
    hundreds of thousands of networks would take longer than the fit.

    Args:
        space: The space.
        arrays: Canonical cells of `n` architectures.
        proxies: Names out of `PROXIES`.
        task: Whose images and classes the networks are of.
        scored: Architectures that are scored, all if there are no more.
        seed: Of the choice, weights, minibatches and forests.

    Returns:
        One row for each cell, the same for those of one architecture, and one column for each proxy.

    Raises:
        ValueError: if a proxy or the task is not known, or fewer than 20 architectures have a score.
    """
    parts = len(space.cell_names)
    n = arrays.n // parts
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:scored])
    some = space.take(arrays, rows)
    architectures = space.from_arrays(some)
    columns = []
    for proxy in proxies:
        evaluator = ProxyEvaluator(space, proxy, task)
        values = np.full(len(rows), np.nan)
        for number, architecture in enumerate(architectures):
            try:
                values[number] = evaluator.evaluate(architecture, seed=seed).value
            except EvaluationFailed:
                continue
        known = np.flatnonzero(np.isfinite(values))
        if len(known) < FEWEST:
            raise ValueError(f"Expected {FEWEST} or more architectures that {proxy} scores, but got {len(known)}")
        scores = normal_scores(values[known].tolist()).numpy()[:, 0]
        if len(known) == n:
            columns.append(scores)
            continue
        forest = make_predictor("random-forest", space, seed=seed).fit(space.take(some, known), scores)
        predicted = forest.predict(arrays).mean
        predicted[rows[known]] = scores
        columns.append(predicted)
    return np.repeat(np.column_stack(columns), parts, axis=0)
