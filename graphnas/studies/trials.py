"""The trials of a study that count, and their architectures."""

from __future__ import annotations

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from graphnas.cell import Architecture

INTERRUPTED = "interrupted before a proposal"
"""Reason of a failed trial for which no architecture had been proposed; it does not count as a trial."""

EXHAUSTED = "no new architecture"
"""Reason of a failed trial that would repeat an architecture since no other is left; it does not count either."""

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def architecture(trial: FrozenTrial | optuna.Trial) -> Architecture:
    """The architecture that a trial evaluates.

    Raises:
        ValueError: if none has been proposed for the trial.
    """
    text = trial.user_attrs.get("graphnas:architecture")
    if text is None:
        raise ValueError(f"Trial {trial.number} carries no architecture")
    return Architecture.from_json(text)


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Finished trials that count: completed, pruned, or failed after a new proposal."""
    trials = study.get_trials(deepcopy=False, states=_FINISHED)
    return [trial for trial in trials if trial.user_attrs.get("graphnas:reason") not in (INTERRUPTED, EXHAUSTED)]


def best(study: optuna.Study, n: int = 1) -> list[FrozenTrial]:
    """The `n` completed trials with the best first objective, best first; fewer if there are fewer."""
    sign = -1.0 if study.directions[0] == StudyDirection.MAXIMIZE else 1.0
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(trials, key=lambda trial: (sign * trial.values[0], trial.number))[:n]
