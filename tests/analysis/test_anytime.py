from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from graphnas.analysis.anytime import Anytime, anytime, in_turn, on_grid

NAN = float("nan")


def study_of(*rows: tuple[TrialState, float | None, int], direction: str = "maximize") -> optuna.Study:
    """Trials of a state, a value and epochs; the last one asked was the first to finish."""
    study, began = optuna.create_study(direction=direction), datetime(2026, 1, 1)
    for number, (state, value, epochs) in enumerate(rows):
        trial = create_trial(state=state, value=value, user_attrs={"graphnas:epochs": epochs})
        trial.datetime_start = began
        trial.datetime_complete = began + timedelta(seconds=100 - number)
        study.add_trial(trial)
    return study


def test_every_trial_costs_and_whole_ones_count() -> None:
    study = study_of(
        (TrialState.COMPLETE, 0.8, 9),
        (TrialState.COMPLETE, 0.7, 9),
        (TrialState.PRUNED, None, 1),
        (TrialState.FAIL, None, 3),
    )
    curve = anytime(study)
    np.testing.assert_equal(curve.cost, [3, 4, 13, 22])
    np.testing.assert_equal(curve.best, [NAN, NAN, 0.7, 0.8])
    assert np.isnan(curve.at(12.9))
    assert curve.at(13) == curve.at(21.9) == 0.7
    assert curve.at(1e9) == 0.8
    np.testing.assert_equal(on_grid([curve], np.array([5.0, 13.0, 30.0])), [[NAN, 0.7, 0.8]])


def test_smaller_may_be_better() -> None:
    study = study_of((TrialState.COMPLETE, 0.8, 1), (TrialState.COMPLETE, 0.9, 1), direction="minimize")
    np.testing.assert_equal(anytime(study).best, [0.9, 0.8])


def test_what_is_beyond_a_bound_is_no_find() -> None:
    study = study_of((TrialState.COMPLETE, 0.8, 1))
    worse = create_trial(value=0.9, user_attrs={"graphnas:epochs": 1}, system_attrs={"constraints:parameters": 1.0})
    study.add_trial(worse)
    assert anytime(study).best.max() == 0.8


def test_unknown_units_and_costs_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected unit to be one of epochs, cost, seconds, but got 'hours'"):
        anytime(study_of((TrialState.COMPLETE, 0.8, 1)), unit="hours")
    with pytest.raises(ValueError, match="Expected trials that know their seconds, but got none"):
        anytime(study_of((TrialState.COMPLETE, 0.8, 1)), unit="seconds")
    assert np.isnan(Anytime(np.array([1.0]), np.array([0.5])).at(0.5))


def test_costs_of_searches_in_turn_add_up() -> None:
    first = Anytime(np.array([2.0, 5.0]), np.array([NAN, 0.6]))
    second = Anytime(np.array([1.0, 3.0, 4.0]), np.array([NAN, 0.5, 0.7]))
    both = in_turn([first, second])
    np.testing.assert_equal(both.cost, [2, 5, 6, 8, 9])
    np.testing.assert_equal(both.best, [NAN, 0.6, 0.6, 0.6, 0.7])
    np.testing.assert_equal(in_turn([first, second], maximized=False).best, [NAN, 0.6, 0.6, 0.5, 0.6])
    np.testing.assert_equal(in_turn([first]), first)
