"""What a search had found after how much computing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import TrialState

from graphnas.studies import finished, keeps_bounds

FloatArray = NDArray[np.float64]

UNITS = ("epochs", "cost", "seconds")
"""What computing is counted in: epochs, CPU seconds of training (recorded ones of a table's row), or wall seconds."""


class Anytime(NamedTuple):
    """The best value so far as a step function of the cost."""

    cost: FloatArray
    """`n` costs, increasing, of all trials finished so far, whichever budget they ended at."""
    best: FloatArray
    """`n` best values of trials that came to the largest budget and keep all bounds; NaN before the first."""

    def at(self, cost: float) -> float:
        """Best value after a cost; NaN before the first."""
        row = int(np.searchsorted(self.cost, cost, side="right")) - 1
        return float(self.best[row]) if row >= 0 else float("nan")


def anytime(study: optuna.Study, *, unit: str = "epochs") -> Anytime:
    """The first objective against the cost of all trials, in the order in which they finished.

    Args:
        study: A search with at least one finished trial.
        unit: One of `UNITS`.

    Raises:
        ValueError: if the unit is unknown, or no trial knows its cost in it.
    """
    if unit not in UNITS:
        raise ValueError(f"Expected unit to be one of {', '.join(UNITS)}, but got {unit!r}")
    trials = sorted(finished(study), key=lambda trial: (trial.datetime_complete is None, trial.datetime_complete))
    spent = [trial.user_attrs.get(f"graphnas:{unit}") for trial in trials]
    if not any(spent):
        raise ValueError(f"Expected trials that know their {unit}, but got none")
    sign = 1.0 if study.directions[0] == StudyDirection.MAXIMIZE else -1.0
    counted = [
        sign * trial.values[0] if trial.state == TrialState.COMPLETE and keeps_bounds(trial) else -np.inf
        for trial in trials
    ]
    best = np.maximum.accumulate(counted)
    return Anytime(np.cumsum([float(one or 0.0) for one in spent]), np.where(np.isinf(best), np.nan, sign * best))


def in_turn(curves: Sequence[Anytime], *, maximized: bool = True) -> Anytime:
    """One curve of searches that followed one another: costs add up, and the best of all so far counts.

    Args:
        curves: Of one search or more, in their order.
        maximized: Whether larger values are better.
    """
    better = np.fmax if maximized else np.fmin
    cost, best = [curves[0].cost], [curves[0].best]
    for curve in curves[1:]:
        # What is not a number yields to any other.
        best.append(better(best[-1][-1], curve.best))
        cost.append(cost[-1][-1] + curve.cost)
    return Anytime(np.concatenate(cost), np.concatenate(best))


def on_grid(curves: Sequence[Anytime], grid: FloatArray) -> FloatArray:
    """`len(curves) x len(grid)` best values after the costs of a grid; NaN before a curve's first."""
    return np.array([[curve.at(cost) for cost in grid] for curve in curves])
