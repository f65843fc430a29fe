"""Searches whose trials end at several budgets."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
import torch
from botorch.models.multitask import MultiTaskGP
from scipy.stats import spearmanr

from graphnas.predictors.gaussian_process import fit_budgets_process, normal_scores
from graphnas.predictors.posterior import Posterior
from graphnas.search import LatentBOSampler
from graphnas.spaces import Space
from tests.search.conftest import NearestCell, score

BUDGETS = "graphnas:budgets"


def test_many_values_of_a_small_budget_help_few_of_the_largest() -> None:
    X = torch.randn(70, 4, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    truth = X[:, 0] + 0.5 * X[:, 1].square()
    noise = torch.randn(50, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    small = 5 * truth[:50] - 20 + 0.2 * noise
    # Only the ten that seemed best were trained on.
    chosen = small.argsort(descending=True)[:10]
    points, budgets = torch.cat([X[:50], X[chosen]]), [4] * 50 + [108] * 10
    scores = torch.cat([normal_scores(small.tolist()), normal_scores(truth[chosen].tolist())])
    model = fit_budgets_process(points, budgets, scores)
    assert isinstance(model, MultiTaskGP)
    both = Posterior(model).mean(X[50:])
    assert spearmanr(both.detach(), truth[50:]).statistic > 0.8
    # The best known at the largest budget lie above what was left behind.
    known = Posterior(model).mean(X[:50])
    assert known[chosen].mean() > known.mean() + 0.5


def history(space: Space, sampler: LatentBOSampler, told: list[dict[str, Any]]) -> optuna.Study:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for one in told:
        trial = study.ask()
        value = score(space.suggest(trial))
        if "budgets" in one:
            reached = {budget: value * int(budget) for budget in one["budgets"]}
            trial.set_user_attr(BUDGETS, reached)
            for budget, figure in reached.items():
                trial.report(figure, int(budget))
        if one["state"] == "complete":
            study.tell(trial, value * 108)
        elif one["state"] == "pruned":
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif one["state"] == "failed":
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return study


@pytest.mark.parametrize("acquisition", ["ucb", "log-ei", "log-nei"])
def test_trials_that_ended_early_are_learnt_from(space: Space, encoder: NearestCell, acquisition: str) -> None:
    sampler = LatentBOSampler(space, encoder, acquisition=acquisition, n_startup_trials=10, seed=0)
    told = [{"state": "pruned", "budgets": ["4"]}] * 5 + [{"state": "pruned", "budgets": ["4", "12"]}] * 2
    told += [{"state": "complete", "budgets": ["4", "12", "108"]}, {"state": "failed"}]
    told += [{"state": "running", "budgets": ["4"]}, {"state": "running"}]
    study = history(space, sampler, told)
    space.suggest(study.ask())
    assert study.trials[-1].user_attrs["graphnas:source"] in ("acquisition", "sample", "edit")


def test_thompson_sampling_is_refused(space: Space, encoder: NearestCell) -> None:
    sampler = LatentBOSampler(space, encoder, acquisition="thompson", n_startup_trials=5, seed=0)
    with pytest.raises(ValueError, match="Expected acquisition ucb, log-ei or log-nei"):
        history(space, sampler, [{"state": "complete", "budgets": ["4", "12"]}] * 6)


def test_nothing_but_the_smallest_budget_is_a_model_too(space: Space, encoder: NearestCell) -> None:
    sampler = LatentBOSampler(space, encoder, n_startup_trials=5, seed=0)
    study = history(space, sampler, [{"state": "pruned", "budgets": ["4"]}] * 8)
    space.suggest(study.ask())
    assert study.trials[-1].user_attrs["graphnas:source"] in ("acquisition", "sample", "edit")
    history_ = sampler._read(study, len(study.trials))
    assert list(history_.budgets) == [4]
    assert all(math.isnan(one.value) for one in list(history_.finished.values())[:8])


def test_what_fails_later_was_no_good_sign_earlier(space: Space, encoder: NearestCell) -> None:
    sampler = LatentBOSampler(space, encoder, n_startup_trials=50, seed=0)
    study = history(
        space, sampler, [{"state": "failed", "budgets": ["4", "12"]}, {"state": "pruned", "budgets": ["4"]}]
    )
    budgets = sampler._read(study, 5).budgets
    assert [math.isnan(value) for reached in budgets.values() for value in reached.values()] == [True, False, True]


def test_nothing_is_modelled_before_a_trial_has_finished(space: Space, encoder: NearestCell) -> None:
    sampler = LatentBOSampler(space, encoder, n_startup_trials=2, seed=0)
    study = history(space, sampler, [{"state": "running", "budgets": ["4"]}] * 3)
    assert study.trials[-1].user_attrs["graphnas:source"] == "fallback: fewer than two finite values"


def test_values_of_small_budgets_are_no_values(space: Space, encoder: NearestCell) -> None:
    sampler = LatentBOSampler(space, encoder, n_startup_trials=50, seed=0)
    study = history(space, sampler, [{"state": "pruned", "budgets": ["4"]}, {"state": "complete", "budgets": ["108"]}])
    first, second = sampler._read(study, 5).finished.values()
    assert first.values == ()
    assert second.value == study.trials[1].value
    assert sampler._read(study, 5).budgets == {4: {first.hash: study.trials[0].value}, 108: {second.hash: second.value}}
