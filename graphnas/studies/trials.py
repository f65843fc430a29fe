"""The trials of a study that count, and their architectures."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from graphnas.cell import Architecture
from graphnas.spaces.hyperparameters import HYPERPARAMETERS_KEY

INTERRUPTED = "interrupted before a proposal"
"""Reason of a failed trial for which no architecture had been proposed; it does not count as a trial."""

EXHAUSTED = "no new architecture"
"""Reason of a failed trial that would repeat an architecture since no other is left; it does not count either."""

WEIGHTS = "*.safetensors"
"""Files in a trial's folder that hold a network's weights."""

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


def hyperparameters(trial: FrozenTrial | optuna.Trial) -> dict[str, Any]:
    """The settings that a trial of a joint search trains with; none for others."""
    return dict(trial.user_attrs.get(HYPERPARAMETERS_KEY, {}))


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Finished trials that count: completed, pruned, or failed after a new proposal."""
    trials = study.get_trials(deepcopy=False, states=_FINISHED)
    return [trial for trial in trials if trial.user_attrs.get("graphnas:reason") not in (INTERRUPTED, EXHAUSTED)]


def labels(study: optuna.Study, value: str) -> list[str]:
    """Names of the objectives for people; `value` is that of the evaluator's own."""
    names = study.user_attrs.get("graphnas:objectives", ["value"] * len(study.directions))
    return [value if name == "value" else name for name in names]


def keeps_bounds(trial: FrozenTrial) -> bool:
    """Whether a trial violates none of its constraints."""
    return all(value <= 0 for value in trial.constraints.values())


def feasible(study: optuna.Study) -> list[FrozenTrial]:
    """Completed trials that violate no constraint."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in trials if keeps_bounds(trial)]


def best(study: optuna.Study, n: int = 1) -> list[FrozenTrial]:
    """The `n` feasible trials with the best first objective, best first; of several objectives, the Pareto set's.

    There are fewer if there are not so many.
    """
    sign = -1.0 if study.directions[0] == StudyDirection.MAXIMIZE else 1.0
    trials = feasible(study) if len(study.directions) == 1 else pareto_set(study)
    return sorted(trials, key=lambda trial: (sign * trial.values[0], trial.number))[:n]


def hypervolume(study: optuna.Study) -> float | None:
    """How much the Pareto set dominates up to the study's reference point; None if the study has none.

    A study has the one that its `LatentParetoSampler` was given. The unit is the product of those of the objectives.

    Raises:
        ValueError: if it has not one value for each objective.
    """
    reference = study.user_attrs.get("graphnas:reference_point")
    if reference is None:
        return None
    if len(reference) != len(study.directions):
        raise ValueError(f"Expected a reference point of {len(study.directions)} values, but got {reference}")
    import torch
    from botorch.utils.multi_objective.hypervolume import Hypervolume

    signs = torch.tensor([1.0 if direction == StudyDirection.MAXIMIZE else -1.0 for direction in study.directions])
    values = torch.tensor([trial.values for trial in pareto_set(study)], dtype=torch.float64)
    bound = torch.tensor(reference, dtype=torch.float64) * signs
    return float(Hypervolume(bound).compute(values.reshape(-1, len(signs)) * signs))


def pareto_set(study: optuna.Study) -> list[FrozenTrial]:
    """Feasible trials to which no other is superior in one objective and at least equal in all; of equals the first."""
    signs = np.array([1.0 if direction == StudyDirection.MAXIMIZE else -1.0 for direction in study.directions])
    trials = feasible(study)
    values = np.array([trial.values for trial in trials]).reshape(len(trials), len(signs)) * signs
    kept = []
    for row, mine in enumerate(values):
        superior = (values >= mine).all(1) & (values > mine).any(1)
        repeated = (values[:row] == mine).all(1)
        if not superior.any() and not repeated.any():
            kept.append(trials[row])
    return kept
