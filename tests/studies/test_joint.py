"""Searches of architectures and hyperparameters in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from graphnas import studies
from graphnas.cell import Architecture
from graphnas.engines import LocalProcesses
from graphnas.evaluate import TrainingEvaluator
from graphnas.evaluate.protocol import EvaluationFailed, Result
from graphnas.search import BOHBSampler
from graphnas.spaces import HyperparameterSpace, Space
from graphnas.studies import Fidelity
from tests.studies.conftest import EdgeCount


@dataclass
class Rate(EdgeCount):
    """Values a candidate by its learning rate; remembers what it was given."""

    epochs: int = 9
    given: list[tuple[str, Mapping[str, Any] | None]] = field(default_factory=list)

    def evaluate(
        self,
        architecture: Architecture,
        *,
        hyperparameters: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Result:
        self.given.append((architecture.to_json(), hyperparameters))
        assert hyperparameters is not None
        return Result(hyperparameters["learning_rate"], budget=self.epochs, evaluator=self.name)


@pytest.fixture(scope="module")
def sgd() -> HyperparameterSpace:
    return HyperparameterSpace.load("sgd-small")


def begin(folder: Path, space: Space, sgd: HyperparameterSpace, kind: str = "random") -> optuna.Study:
    return studies.create(
        folder,
        space,
        Rate(),
        studies.make_sampler(kind, space, hyperparameters=sgd, seed=3),
        hyperparameters=sgd,
        config={"sampler": {"kind": kind, "seed": 3}},
    )


def test_the_evaluator_is_given_what_the_trial_records(tmp_path: Path, space: Space, sgd: HyperparameterSpace) -> None:
    study, evaluator, events = begin(tmp_path / "s", space, sgd), Rate(), []
    studies.run(study, space, evaluator, n_trials=6, hyperparameters=sgd, on_event=events.append)
    for trial, (text, given) in zip(study.trials, evaluator.given, strict=True):
        assert text == studies.architecture(trial).to_json()
        assert given == studies.hyperparameters(trial) == {name: trial.params[name] for name in sgd.columns}
        sgd.validate(given or {})
        assert trial.values == [given["learning_rate"]] if given else False
    assert [event.settings for event in events if event.kind == "finished"] == [given for _, given in evaluator.given]


@pytest.mark.parametrize("kind", ["random", "bohb"])
def test_a_search_goes_on_as_if_it_had_never_stopped(
    tmp_path: Path, space: Space, sgd: HyperparameterSpace, kind: str
) -> None:
    whole = begin(tmp_path / "whole", space, sgd, kind)
    studies.run(whole, space, Rate(), n_trials=8, hyperparameters=sgd)
    studies.run(begin(tmp_path / "parts", space, sgd, kind), space, Rate(), n_trials=5, hyperparameters=sgd)
    again, read = studies.resume(tmp_path / "parts"), studies.load_hyperparameters(tmp_path / "parts")
    assert read is not None
    assert read.parameters == sgd.parameters
    studies.run(again, space, Rate(), n_trials=8, hyperparameters=read)
    assert [trial.params for trial in again.trials] == [trial.params for trial in whole.trials]


def test_a_trial_without_its_settings_is_asked_anew(tmp_path: Path, space: Space, sgd: HyperparameterSpace) -> None:
    study = begin(tmp_path / "s", space, sgd, "tpe")
    # The coordinator died between two writes.
    space.suggest(study.ask())
    whole = study.ask()
    space.suggest(whole)
    settings = sgd.suggest(whole)
    evaluator = Rate()
    studies.run(study, space, evaluator, n_trials=3, hyperparameters=sgd)
    assert len(studies.finished(study)) == 3
    assert study.trials[0].user_attrs["graphnas:reason"] == studies.INTERRUPTED
    assert evaluator.given[0] == (studies.architecture(study.trials[1]).to_json(), settings)


def test_a_failed_trial_has_cost_the_epochs_that_it_came_to(
    tmp_path: Path, space: Space, sgd: HyperparameterSpace
) -> None:
    evaluator = TrainingEvaluator(space, "digits#100", epochs=3, sizes={"channels": 4, "stacks": 1})

    class Failing(TrainingEvaluator):
        def evaluate(self, architecture: Architecture, **settings: Any) -> Result:
            super().evaluate(architecture, **settings)
            raise EvaluationFailed("no reason")

    failing = Failing(space, "digits#100", epochs=3, sizes=evaluator.sizes)
    study = begin(tmp_path / "s", space, sgd)
    studies.run(study, space, failing, n_trials=1, hyperparameters=sgd)
    assert study.trials[0].user_attrs["graphnas:epochs"] == 3
    study = begin(tmp_path / "rungs", space, sgd)
    fidelity = Fidelity("halving", (1, 3), restarted=True)

    class FailingLater(TrainingEvaluator):
        def evaluate(self, architecture: Architecture, **settings: Any) -> Result:
            result = super().evaluate(architecture, **settings)
            if settings["budget"] == 3:
                raise EvaluationFailed("no reason")
            return result

    later = FailingLater(space, "digits#100", epochs=3, sizes=evaluator.sizes)
    studies.run(study, space, later, n_trials=1, hyperparameters=sgd, fidelity=fidelity)
    assert study.trials[0].user_attrs["graphnas:epochs"] == 1 + 3
    assert study.trials[0].user_attrs["graphnas:cost"] > 0


def test_only_given_architectures_are_proposed(tmp_path: Path, space: Space, sgd: HyperparameterSpace) -> None:
    few = space.sample(3, np.random.default_rng(0))
    folder = tmp_path / "s"
    sampler = BOHBSampler(space, sgd, candidates=few, seed=0)
    study = studies.create(
        folder,
        space,
        Rate(),
        sampler,
        hyperparameters=sgd,
        candidates=few,
        config={"sampler": {"kind": "bohb", "seed": 0}},
    )
    studies.run(study, space, Rate(), n_trials=4, hyperparameters=sgd)
    assert studies.load_candidates(folder) == few
    study = studies.resume(folder)
    studies.run(study, space, Rate(), n_trials=12, hyperparameters=sgd)
    assert {space.hash(studies.architecture(trial)) for trial in study.trials} <= set(space.hashes(few))
    (folder / studies.CANDIDATES).write_text("{")
    with pytest.raises(studies.StudyError, match=r"candidates\.json"):
        studies.resume(folder)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_trainings_of_several_budgets_keep_their_settings(
    tmp_path: Path, space: Space, sgd: HyperparameterSpace, workers: int
) -> None:
    evaluator = TrainingEvaluator(space, epochs=3, sizes={"channels": 4, "stacks": 1})
    study, fidelity = begin(tmp_path / "s", space, sgd), Fidelity("hyperband", (1, 3))
    with LocalProcesses(workers) if workers else contextlib.nullcontext() as engine:
        studies.run(
            study, space, evaluator, n_trials=6, fidelity=fidelity, hyperparameters=sgd, executor=engine, seed=1
        )
    trial = studies.best(study)[0]
    settings, budget = studies.hyperparameters(trial), trial.user_attrs["graphnas:budget"]
    alone = evaluator.evaluate(studies.architecture(trial), budget=budget, seed=1, hyperparameters=settings)
    assert alone.value == trial.value
