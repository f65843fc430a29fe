"""Searches of architectures and hyperparameters at once."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest

from graphnas.predictors.gaussian_process import winsorised_scores
from graphnas.search import BOHBSampler, CellSampler, LatentJointSampler, RandomCellSampler
from graphnas.search.sampler import SOURCE_KEY, candidate_key, split_key
from graphnas.spaces import HyperparameterSpace, Space
from graphnas.spaces.space import HASH_KEY
from graphnas.studies import architecture, hyperparameters
from tests.search.conftest import NearestCell, score

ROWS = {
    "optimizer": {"choices": ["sgd", "adamw"]},
    "learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
    "momentum": {"low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
    "batch_size": {"low": 8, "high": 128, "log": True},
}


@pytest.fixture(scope="module")
def settings() -> HyperparameterSpace:
    return HyperparameterSpace.of({"hyperparameters": ROWS})


def value(space: Space, settings: HyperparameterSpace, trial: optuna.Trial) -> float:
    """Best with adamw at a learning rate of 1e-2; the cell counts half as much."""
    cell, chosen = space.suggest(trial), settings.suggest(trial)
    away = np.log10(chosen["learning_rate"]) + 2
    return score(cell) / 2 - away**2 - 0.5 * (chosen["optimizer"] == "sgd")


def search(sampler: CellSampler, settings: HyperparameterSpace, n: int) -> list[optuna.trial.FrozenTrial]:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(functools.partial(value, sampler.space, settings), n_trials=n)
    return study.trials


Make = Callable[[Space, HyperparameterSpace, NearestCell, int], CellSampler]
SAMPLERS: dict[str, Make] = {
    "latent-joint": lambda space, settings, encoder, seed: LatentJointSampler(
        space, encoder, settings, metric=False, seed=seed
    ),
    "bohb": lambda space, settings, encoder, seed: BOHBSampler(
        space, settings, candidates=list(space.enumerate()), seed=seed
    ),
    "random": lambda space, settings, encoder, seed: RandomCellSampler(space, hyperparameters=settings, seed=seed),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind == "latent-joint" else []) for kind in SAMPLERS]
)
def test_no_candidate_comes_twice_and_architectures_come_again(
    small: Space, settings: HyperparameterSpace, kind: str
) -> None:
    encoder = NearestCell(small)
    trials = search(SAMPLERS[kind](small, settings, encoder, 1), settings, 26)
    keys = {candidate_key(trial.user_attrs[HASH_KEY], hyperparameters(trial)) for trial in trials}
    assert len(keys) == 26  # of a space of seven cells
    for trial in trials:
        small.validate(architecture(trial))
        settings.validate(hyperparameters(trial))
        assert hyperparameters(trial) == {name: trial.params[name] for name in hyperparameters(trial)}
    assert not [trial for trial in trials if trial.user_attrs[SOURCE_KEY].startswith("fallback")]
    again = search(SAMPLERS[kind](small, settings, encoder, 1), settings, 26)
    assert [trial.params for trial in again] == [trial.params for trial in trials]


@pytest.mark.parametrize("kind", [pytest.param("latent-joint", marks=pytest.mark.slow), "bohb"])
def test_settings_are_learnt_with_the_architecture(space: Space, settings: HyperparameterSpace, kind: str) -> None:
    few = space.sample(40, np.random.default_rng(0))
    encoder = NearestCell(space)
    best: dict[str, list[float]] = {"model": [], "random": []}
    for seed in range(2):
        sampler: CellSampler = (
            BOHBSampler(space, settings, candidates=few, seed=seed)
            if kind == "bohb"
            else LatentJointSampler(space, encoder, settings, candidates=few, metric=False, seed=seed)
        )
        chance = RandomCellSampler(space, candidates=few, hyperparameters=settings, seed=seed)
        for name, one in (("model", sampler), ("random", chance)):
            best[name].append(max(trial.value or 0.0 for trial in search(one, settings, 40)))
    assert np.mean(best["model"]) > np.mean(best["random"])
    assert min(best["model"]) > min(best["random"])


def test_proposals_in_parallel_differ_and_know_their_source(space: Space, settings: HyperparameterSpace) -> None:
    sampler = LatentJointSampler(space, NearestCell(space), settings, n_startup_trials=6, metric=False, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(functools.partial(value, space, settings), n_trials=8)
    trials = [study.ask() for _ in range(6)]
    for trial in trials:
        space.suggest(trial)
        settings.suggest(trial)
    assert len({candidate_key(trial.user_attrs[HASH_KEY], hyperparameters(trial)) for trial in trials}) == 6
    sources = Counter(trial.user_attrs[SOURCE_KEY] for trial in study.trials)
    assert sources["random"] == 6
    assert set(sources) <= {"random", "settings", "acquisition", "sample", "edit"}


def test_one_architecture_leaves_the_settings_to_be_searched(space: Space, settings: HyperparameterSpace) -> None:
    (only,) = space.sample(1, np.random.default_rng(0))
    sampler = LatentJointSampler(space, NearestCell(space), settings, candidates=[only], metric=False, seed=0)
    trials = search(sampler, settings, 30)
    assert {trial.user_attrs[HASH_KEY] for trial in trials} == {space.hash(only)}
    best = max(trials, key=lambda trial: trial.value or 0.0)
    assert hyperparameters(best)["optimizer"] == "adamw"
    assert 5e-3 < hyperparameters(best)["learning_rate"] < 2e-2


def test_a_joint_search_learns_from_several_budgets(space: Space, settings: HyperparameterSpace) -> None:
    sampler = LatentJointSampler(space, NearestCell(space), settings, n_startup_trials=8, metric=False, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for number in range(16):
        trial = study.ask()
        found = value(space, settings, trial)
        trial.set_user_attr("graphnas:budgets", {"1": found - 1} | ({"9": found} if number % 3 == 0 else {}))
        if number % 3 == 0:
            study.tell(trial, found)
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    sources = Counter(trial.user_attrs[SOURCE_KEY] for trial in study.trials)
    assert sources["random"] == 8
    assert not [source for source in sources if source.startswith("fallback")]


def test_few_failures_do_not_hide_what_sets_good_trials_apart() -> None:
    good = [0.97 + number / 1000 for number in range(20)]
    for failed in (1, 5, 20):
        scores = winsorised_scores([*good, *[float("nan")] * failed])[:, 0]
        # Failures are where the worst tenth is, whatever their number, and the best lie well above.
        assert set(scores[20:].tolist()) == {scores.min().item()}
        assert scores[1] == scores.min()
        assert scores[19] - scores[9] > 0.5
    assert winsorised_scores([float("nan")] * 3).tolist() == [[0.0]] * 3


def test_thompson_sampling_is_refused(space: Space, settings: HyperparameterSpace) -> None:
    with pytest.raises(ValueError, match="Expected acquisition to be ucb, log-ei or log-nei, but got 'thompson'"):
        LatentJointSampler(space, NearestCell(space), settings, acquisition="thompson")


def test_all_settings_of_one_architecture_are_found(space: Space) -> None:
    (only,) = space.sample(1, np.random.default_rng(0))
    four = HyperparameterSpace.of(
        {"hyperparameters": {"optimizer": {"choices": ["sgd", "adamw"]}, "nesterov": {"choices": [False, True]}}}
    )
    for seed in range(4):
        study = optuna.create_study(
            sampler=RandomCellSampler(space, candidates=[only], hyperparameters=four, seed=seed)
        )
        found = []
        for _ in range(5):
            trial = study.ask()
            space.suggest(trial)
            found.append(tuple(four.suggest(trial).values()))
        assert len(set(found[:4])) == 4
        assert study.trials[4].user_attrs[SOURCE_KEY] == "fallback: no new architecture"


def test_an_architecture_that_is_not_listed_does_not_disturb_the_model(
    space: Space, settings: HyperparameterSpace
) -> None:
    only, other = space.sample(2, np.random.default_rng(0))
    sampler = BOHBSampler(space, settings, candidates=[only], random_share=0, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial(space.parameters(other))
    study.optimize(functools.partial(value, space, settings), n_trials=14)
    assert study.trials[0].user_attrs[HASH_KEY] == space.hash(other)
    assert study.trials[13].user_attrs[SOURCE_KEY] == "model"


def test_keys_hold_hash_and_settings() -> None:
    chosen = {"learning_rate": 0.1 + 0.2, "optimizer": "{sgd}", "nesterov": True}
    assert split_key(candidate_key("00ff", chosen)) == ("00ff", chosen)
    assert candidate_key("00ff", {}) == "00ff"
    assert split_key("00ff") == ("00ff", {})


class TestDensities:
    """What BOHB's model is made of."""

    def tell(self, sampler: BOHBSampler, settings: HyperparameterSpace, budgets: list[dict[str, float]]) -> Any:
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for reached in budgets:
            trial = study.ask()
            sampler.space.suggest(trial)
            settings.suggest(trial)
            trial.set_user_attr("graphnas:budgets", reached)
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return study

    def sources(self, study: optuna.Study, space: Space, settings: HyperparameterSpace, n: int) -> Counter[str]:
        found: Counter[str] = Counter()
        for _ in range(n):
            trial = study.ask()
            space.suggest(trial)
            settings.suggest(trial)
            found[trial.user_attrs[SOURCE_KEY]] += 1
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return found

    def test_a_model_needs_three_more_than_it_has_dimensions(self, space: Space, settings: HyperparameterSpace) -> None:
        (only,) = space.sample(1, np.random.default_rng(0))
        # One decision and four hyperparameters: eight candidates at one budget.
        for n, expected in ((7, {"random"}), (8, {"model", "random"})):
            sampler = BOHBSampler(space, settings, candidates=[only], seed=0)
            study = self.tell(sampler, settings, [{"1": float(number)} for number in range(n)])
            trial = study.ask()
            space.suggest(trial)
            settings.suggest(trial)
            assert trial.user_attrs[SOURCE_KEY] in expected
            sampler = BOHBSampler(space, settings, candidates=[only], random_share=0, seed=0)
            study = self.tell(sampler, settings, [{"1": float(number)} for number in range(n)])
            trial = study.ask()
            space.suggest(trial)
            settings.suggest(trial)
            assert trial.user_attrs[SOURCE_KEY] == ("model" if n == 8 else "random")

    def test_a_third_of_the_proposals_is_random(self, space: Space, settings: HyperparameterSpace) -> None:
        (only,) = space.sample(1, np.random.default_rng(0))
        sampler = BOHBSampler(space, settings, candidates=[only], seed=0)
        study = self.tell(sampler, settings, [{"1": float(number)} for number in range(20)])
        found = self.sources(study, space, settings, 150)
        assert found["random"] == pytest.approx(50, abs=17)  # three standard deviations

    def test_the_largest_budget_with_enough_candidates_counts(
        self, space: Space, settings: HyperparameterSpace
    ) -> None:
        (only,) = space.sample(1, np.random.default_rng(0))
        drawn: dict[int, list[float]] = {}
        for n in (7, 12):
            sampler = BOHBSampler(space, settings, candidates=[only], random_share=0, seed=0)
            study = optuna.create_study(direction="maximize", sampler=sampler)
            for number in range(30):
                trial = study.ask()
                space.suggest(trial)
                rate = np.log10(settings.suggest(trial)["learning_rate"])
                # A few epochs favour large rates, many small ones.
                trial.set_user_attr("graphnas:budgets", {"1": rate} | ({"27": -rate} if number < n else {}))
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            drawn[n] = []
            for _ in range(30):
                trial = study.ask()
                space.suggest(trial)
                drawn[n].append(float(np.log10(settings.suggest(trial)["learning_rate"])))
        assert np.mean(drawn[7]) > np.mean(drawn[12]) + 0.3

    def test_without_the_model_it_is_the_random_search(self, space: Space, settings: HyperparameterSpace) -> None:
        plain = search(RandomCellSampler(space, hyperparameters=settings, seed=3), settings, 12)
        off = search(BOHBSampler(space, settings, random_share=1, seed=3), settings, 12)
        assert [trial.params for trial in off] == [trial.params for trial in plain]

    @pytest.mark.parametrize("share", [-0.1, 1.5])
    def test_shares_out_of_range_are_refused(self, space: Space, share: float) -> None:
        with pytest.raises(ValueError, match="Expected random_share to be a number from 0 to 1, but got"):
            BOHBSampler(space, random_share=share)
