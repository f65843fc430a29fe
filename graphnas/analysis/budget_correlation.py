"""How well few epochs rank what many epochs would: rank correlations between budgets, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import TrialState
from scipy.stats import rankdata

from graphnas.budgets import geometric_budgets
from graphnas.studies import finished

FloatArray = NDArray[np.float64]

_LEAST = 4  # candidates below which a rank correlation says nothing


class Correlation(NamedTuple):
    """A rank correlation."""

    n: int
    """Candidates that both budgets know."""
    rho: float
    """Spearman's coefficient; NaN of fewer than four candidates, or where all have one value."""
    low: float
    """Lower end of its 95 % interval, by resampling of the candidates."""
    high: float


class BudgetCorrelation(NamedTuple):
    """What a budget says of a larger one."""

    small: int
    large: int
    all: Correlation
    """Over all candidates."""
    top: Correlation
    """Over those that are the best at the larger budget, among which a search has to choose."""


def budget_correlations(
    values: Mapping[int, FloatArray], *, top: float = 0.1, resamples: int = 1000, seed: int = 0
) -> list[BudgetCorrelation]:
    """Spearman's rank correlation of every pair of budgets.

    Args:
        values: For each budget, `n` values of the same candidates, larger is better; NaN where a candidate was not
            meant to come to the budget, `-inf` where it failed, which is the worst rank and not left out.
        top: Share of the candidates that count as the best.
        resamples: Resamples behind the intervals.
        seed: Of the resamples.

    Raises:
        ValueError: if the share is not above 0 and at most 1, or there are fewer than two budgets.
    """
    if not 0 < top <= 1:
        raise ValueError(f"Expected top to be above 0 and at most 1, but got {top!r}")
    found, budgets = [], sorted(values)
    if len(budgets) < 2:
        raise ValueError(f"Expected values after two or more numbers of epochs, but got {budgets or 'none'}")
    for row, small in enumerate(budgets):
        for large in budgets[row + 1 :]:
            both = ~np.isnan(values[small]) & ~np.isnan(values[large])
            x, y = values[small][both], values[large][both]
            best = np.argsort(-y, kind="stable")[: max(round(top * len(y)), min(len(y), _LEAST))]
            rng = np.random.default_rng((seed, small, large))
            found.append(
                BudgetCorrelation(
                    small, large, _correlation(x, y, resamples, rng), _correlation(x[best], y[best], resamples, rng)
                )
            )
    return found


def _correlation(x: FloatArray, y: FloatArray, resamples: int, rng: np.random.Generator) -> Correlation:
    n = len(x)
    if n < _LEAST:
        return Correlation(n, np.nan, np.nan, np.nan)
    rows = rng.integers(n, size=(resamples, n))
    drawn = _spearman(x[rows], y[rows])
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn.size else (np.nan, np.nan)
    return Correlation(n, float(_spearman(x[None], y[None])[0]), float(low), float(high))


def _spearman(x: FloatArray, y: FloatArray) -> FloatArray:
    """Of `m x n` values, row by row; NaN where one side is constant."""
    a, b = (rankdata(side, axis=1) - (side.shape[1] + 1) / 2 for side in (x, y))
    scale = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    result: FloatArray = np.divide((a * b).sum(1), scale, out=np.full(len(x), np.nan), where=scale > 0)
    return result


def budget_values(study: optuna.Study, budgets: Sequence[int] | None = None) -> dict[int, FloatArray]:
    """What the trials of a study have reached at each budget, for `budget_correlations`.

    Of a search with several budgets, at these. Of any other, after so many epochs of the same training, by its curve.

    Args:
        study: With one objective.
        budgets: Epochs; of curves, the last epoch and what repeated division by 3 leaves of it if None.

    Raises:
        ValueError: if no trial has come to a budget, or the study has several objectives.
    """
    if len(study.directions) > 1:
        raise ValueError(f"Expected a study with one objective, but got {len(study.directions)}")
    sign = 1.0 if study.directions[0] == StudyDirection.MAXIMIZE else -1.0
    trials = finished(study)
    reached: list[dict[int, float]] = [
        {int(budget): value for budget, value in trial.user_attrs.get("graphnas:budgets", {}).items()}
        for trial in trials
    ]
    if not any(reached):
        reached = [dict(trial.intermediate_values) for trial in trials]
        if budgets is None:
            budgets = geometric_budgets(max((max(one) for one in reached if one), default=0))
    known = sorted({budget for one in reached for budget in one})
    budgets = known if budgets is None else sorted(set(budgets))
    missing = [budget for budget in budgets if budget not in known]
    if missing:
        raise ValueError(f"Expected budgets out of {known}, but got {missing}")
    values = np.full((len(trials), len(budgets)), np.nan)
    for row, (trial, one) in enumerate(zip(trials, reached, strict=True)):
        for column, budget in enumerate(budgets):
            # A trial that failed was on its way to all of them.
            missed = -np.inf if trial.state == TrialState.FAIL else np.nan
            values[row, column] = sign * one[budget] if budget in one else missed
    return dict(zip(budgets, values.T, strict=True))


def final_values(study: optuna.Study) -> FloatArray:
    """What the finished trials of a study have come to, as in `budget_values`: NaN those that were ended early."""
    sign = 1.0 if study.directions[0] == StudyDirection.MAXIMIZE else -1.0
    missed = {TrialState.FAIL: -np.inf, TrialState.PRUNED: np.nan}
    return np.array([missed[one.state] if one.state in missed else sign * one.values[0] for one in finished(study)])
