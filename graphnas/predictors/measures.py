"""How good predictions are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau, pearsonr, spearmanr

from graphnas.predictors.protocol import FloatArray

MEASURES = (
    "pearson", "spearman", "kendall", "sparse_kendall", "rmse", "precision_10", "precision_20", "missing",
)  # fmt: skip
"""Names of what `prediction_measures` returns."""

SPARSE = 0.001
"""Differences of predictions that sparse Kendall takes no notice of: a tenth of a percent of accuracy."""


def prediction_measures(
    predicted: Sequence[float] | FloatArray, true: Sequence[float] | FloatArray
) -> dict[str, float]:
    """Compare predictions with what they predict.

    Missing predictions are taken for the worst in the ranks; `rmse` and `pearson` leave them out.

    Args:
        predicted: `n` predictions, NaN where missing.
        true: `n` true performances as fractions, three or more.

    Returns:
        `MEASURES`: linear correlation with its sign, rank correlations (Kendall's is tau-b; `sparse_kendall` rounds
        predictions to `SPARSE` first, as Yu et al. 2020 do), root mean squared error in the units of the targets, the
        share of the 10 and the 20 predicted best that are among the 10 and the 20 truly best (NaN of fewer
        architectures), and the share of missing predictions. A constant side correlates with nothing: 0.

    Raises:
        ValueError: if there are fewer than three, or they differ in number.
    """
    guess, truth = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if guess.ndim != 1 or guess.shape != truth.shape or len(truth) < 3:
        raise ValueError(
            f"Expected three or more predictions and as many true values, but got shapes {guess.shape}, {truth.shape}"
        )
    known = np.isfinite(guess)
    ranked = np.where(known, guess, guess[known].min() - 1 if known.any() else 0.0)
    errors = (guess - truth)[known]
    return {
        "pearson": _correlation(pearsonr, guess[known], truth[known]),
        "spearman": _correlation(spearmanr, ranked, truth),
        "kendall": _correlation(kendalltau, ranked, truth),
        "sparse_kendall": _correlation(kendalltau, np.round(ranked / SPARSE), truth),
        "rmse": math.sqrt(float((errors**2).mean())) if known.any() else math.nan,
        "precision_10": _precision(ranked, truth, 10),
        "precision_20": _precision(ranked, truth, 20),
        "missing": float(1 - known.mean()),
    }


def _correlation(measure: object, guess: FloatArray, truth: FloatArray) -> float:
    if len(guess) < 2 or np.ptp(guess) == 0 or np.ptp(truth) == 0:
        return 0.0
    return float(measure(guess, truth).statistic)  # type: ignore[operator]


def _precision(guess: FloatArray, truth: FloatArray, k: int) -> float:
    if len(truth) < k:
        return math.nan
    best, likely = np.argsort(-truth, kind="stable")[:k], np.argsort(-guess, kind="stable")[:k]
    return len(set(best.tolist()) & set(likely.tolist())) / k
