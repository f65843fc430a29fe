from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from graphnas import studies
from graphnas.cell import Architecture
from graphnas.engines import LocalProcesses
from graphnas.evaluate import TrainingEvaluator
from graphnas.evaluate.protocol import Result
from graphnas.search import RandomCellSampler
from graphnas.spaces import Space
from graphnas.studies import Event, Fidelity
from tests.studies.conftest import EdgeCount, start


@dataclass
class Epochs(EdgeCount):
    """Values a cell by its edges, less what is missing of nine epochs; remembers what it was asked for."""

    epochs: int = 9
    asked: list[tuple[int, int | None]] = field(default_factory=list)

    def evaluate(
        self,
        architecture: Architecture,
        *,
        budget: int | None = None,
        seed: int = 0,
        folder: str | Path | None = None,
        until: int | None = None,
        **settings: Any,
    ) -> Result:
        budget = budget or self.epochs
        self.asked.append((budget, until))
        reached = until or budget
        cell = architecture.cells[0]
        value = len(cell.edges) / 10 + len(cell.ops) / 1000 + cell.ops.count("conv3x3") / 1e5 - 1 / reached
        if folder is not None:
            Path(folder, "model.safetensors").write_bytes(b"")
        return Result(value, {}, {}, float(reached), float(reached), reached, seed, self.name)


class Interrupted(Epochs):
    """Is interrupted at the largest budget."""

    def evaluate(self, architecture: Architecture, **settings: Any) -> Result:
        if settings.get("until") is None:
            raise KeyboardInterrupt
        return super().evaluate(architecture, **settings)


def rungs(trial: FrozenTrial) -> list[int]:
    return sorted(trial.intermediate_values)


def test_halving_ends_what_falls_behind(tmp_path: Path, space: Space) -> None:
    study, evaluator = start(tmp_path, space), Epochs()
    events: list[Event] = []
    halving = Fidelity("halving", (1, 3, 9))
    studies.run(study, space, evaluator, n_trials=27, fidelity=halving, on_event=events.append)
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    pruned = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert len(complete) + len(pruned) == 27
    assert 1 <= len(complete) <= 9
    assert all(rungs(trial) == [1, 3, 9] for trial in complete)
    assert {tuple(rungs(trial)) for trial in pruned} <= {(1,), (1, 3)}
    # Whoever goes on was among the best third at that moment; the last to come has been compared with all.
    for trial in study.trials[9:]:
        before = sorted((one.intermediate_values[1] for one in study.trials[: trial.number + 1]), reverse=True)
        assert (len(rungs(trial)) > 1) == (trial.intermediate_values[1] >= before[len(before) // 3 - 1])
    # Trainings go on, so what a trial has cost is what its last budget has.
    assert set(evaluator.asked) == {(9, 1), (9, 3), (9, None)}
    assert all(trial.user_attrs["graphnas:cost"] == max(rungs(trial)) for trial in study.trials)
    assert sum(event.kind == "pruned" for event in events) == len(pruned)
    assert {event.step for event in events if event.kind == "pruned"} <= {1, 3}
    assert {trial.number for trial in studies.best(study, 50)} == {trial.number for trial in complete}
    kept = {int(path.parent.name) for path in tmp_path.rglob("*.safetensors")}
    assert kept == {trial.number for trial in studies.best(study, 5)}


def test_hyperband_begins_at_several_budgets_and_restarts_cost_all_of_them(tmp_path: Path, space: Space) -> None:
    study, evaluator = start(tmp_path, space), Epochs()
    band = Fidelity("hyperband", (1, 3, 9), restarted=True)
    studies.run(study, space, evaluator, n_trials=30, fidelity=band)
    assert {rungs(trial)[0] for trial in study.trials} == {1, 3, 9}
    assert set(evaluator.asked) == {(1, None), (3, None), (9, None)}
    for trial in study.trials:
        # From its first budget on, none is left out.
        assert rungs(trial) == [step for step in (1, 3, 9) if rungs(trial)[0] <= step <= rungs(trial)[-1]]
        assert trial.user_attrs["graphnas:cost"] == sum(rungs(trial))
    assert not list(tmp_path.rglob("budget-*/*.safetensors"))


def test_budgets_of_any_proportion_are_all_compared(space: Space) -> None:
    for factor in (2, 3, 4):
        study = optuna.create_study(direction="maximize", sampler=RandomCellSampler(space, seed=3))
        studies.run(study, space, Epochs(), n_trials=40, fidelity=Fidelity("halving", (2, 5, 6, 9), factor))
        reached = [sum(budget in rungs(trial) for trial in study.trials) for budget in (2, 5, 6, 9)]
        assert reached == sorted(reached, reverse=True)
        # Those that came to the third budget were compared there, whatever its proportion to the others.
        marks = ["completed_rung_2" in trial.system_attrs for trial in study.trials]
        assert marks == [6 in rungs(trial) for trial in study.trials]
    band = Fidelity("hyperband", tuple(3**rung for rung in range(6)))
    study = optuna.create_study(direction="maximize", study_name="one")
    trials = [optuna.trial.create_trial(value=0.0) for _ in range(400)]
    for number, trial in enumerate(trials):
        trial.number = number
    study.pruner = band.pruner(0)
    first = [band.first(study, trial) for trial in trials]
    assert set(first) == set(range(6))
    # A function of seed and number alone.
    other = optuna.create_study()
    other.pruner = band.pruner(0)
    assert [band.first(other, trial) for trial in trials] == first
    other.pruner = band.pruner(1)
    assert [band.first(other, trial) for trial in trials] != first


def test_a_candidate_that_was_given_up_costs_no_other_its_weights(tmp_path: Path, space: Space) -> None:
    class Dies(Epochs):
        def evaluate(self, architecture: Architecture, **settings: Any) -> Result:
            super().evaluate(architecture, **settings)
            raise KeyboardInterrupt

    study = start(tmp_path, space)
    for number in range(3):
        space.suggest(study.ask())
        (tmp_path / "trials" / str(number)).mkdir(parents=True)
        (tmp_path / "trials" / str(number) / "checkpoint.safetensors").write_bytes(b"")
    (tmp_path / "trials" / "mine").mkdir()
    (tmp_path / "trials" / "mine" / "mine.safetensors").write_bytes(b"")
    study._storage.set_trial_user_attr(study.trials[0]._trial_id, "graphnas:attempts", 3)
    with pytest.raises(KeyboardInterrupt):
        studies.run(studies.resume(tmp_path), space, Dies(), n_trials=3)
    kept = sorted(path.parent.name for path in tmp_path.glob("trials/*/checkpoint.safetensors"))
    assert kept == ["1", "2"]
    assert (tmp_path / "trials" / "mine" / "mine.safetensors").is_file()


def test_fewer_weights_stay_when_a_search_is_asked_to_keep_fewer(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    studies.run(study, space, EdgeCount(), n_trials=3)
    for number in range(3):
        (tmp_path / "trials" / str(number) / "checkpoint.safetensors").write_bytes(b"")
    studies.run(study, space, EdgeCount(), n_trials=3, keep=1)
    (best,) = studies.best(study)
    assert [path.parent.name for path in tmp_path.glob("trials/*/*.safetensors")] == [str(best.number)]


def test_a_promotion_counts_no_earlier_attempts(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    with pytest.raises(KeyboardInterrupt):
        studies.run(study, space, Interrupted(), n_trials=1, fidelity=Fidelity("halving", (1, 9)))
    (trial,) = study.trials
    assert trial.user_attrs["graphnas:attempts"] == 0
    assert trial.user_attrs["graphnas:promoted"][0] == 9
    # Other budgets than before: the trial goes on at the next that there is.
    study, evaluator = studies.resume(tmp_path), Epochs()
    studies.run(study, space, evaluator, n_trials=1, fidelity=Fidelity("halving", (3, 10)))
    assert evaluator.asked == [(10, None)]


def test_a_trial_goes_on_at_the_budget_it_had_come_to(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    with pytest.raises(KeyboardInterrupt):
        studies.run(study, space, Interrupted(), n_trials=9, fidelity=Fidelity("halving", (1, 3, 9)))
    (waiting,) = study.get_trials(states=(TrialState.RUNNING,))
    study, evaluator = studies.resume(tmp_path), Epochs()
    studies.run(study, space, evaluator, n_trials=9, fidelity=Fidelity("halving", (1, 3, 9)))
    assert evaluator.asked[0] == (9, None)
    assert study.trials[waiting.number].state == TrialState.COMPLETE
    assert rungs(study.trials[waiting.number]) == [1, 3, 9]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_training_that_goes_on_is_as_one_that_never_stopped(tmp_path: Path, space: Space, workers: int) -> None:
    evaluator = TrainingEvaluator(space, epochs=4, sizes={"channels": 4, "stacks": 2})
    study = start(tmp_path, space)
    fidelity = Fidelity.of("halving:factor=2", evaluator)
    assert fidelity.budgets == (1, 2, 4)
    with LocalProcesses(workers) if workers else contextlib.nullcontext() as engine:
        studies.run(study, space, evaluator, n_trials=4, fidelity=fidelity, executor=engine)
    best = studies.best(study)[0]
    straight = evaluator.evaluate(studies.architecture(best))
    assert best.value == straight.value
    assert best.user_attrs["graphnas:curve"]["train_loss"] == list(straight.curve["train_loss"])
    pruned = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert all(len(trial.user_attrs["graphnas:curve"]["train_loss"]) == max(rungs(trial)) for trial in pruned)
    assert all(trial.user_attrs["graphnas:metrics"]["parameters"] > 0 for trial in study.trials)


def test_words_and_budgets(space: Space) -> None:
    assert Fidelity.of("hyperband", Epochs()).budgets == (1, 3, 9)
    assert Fidelity.of("hyperband", Epochs(epochs=20)).budgets == (2, 6, 20)
    assert Fidelity.of("halving:least=4:factor=5", Epochs(epochs=100)).budgets == (4, 20, 100)
    assert Fidelity.of("halving:restarted=true", Epochs()).restarted
    for word, message in (
        ("band", "Expected fidelity to be one of hyperband, halving, but got 'band'"),
        ("halving:most=3", "Expected fidelity settings least=N, factor=N and restarted=true, but got 'most=3'"),
        ("halving:least=true", "but got 'least=true'"),
        ("halving:factor=1", "Expected least from 1 and factor from 2, but got 1 and 1"),
        ("halving:least=9", "Expected two or more budgets for fidelity 'halving:least=9', but edge-count has [9]"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            Fidelity.of(word, Epochs())
    with pytest.raises(ValueError, match=re.escape("Expected two or more increasing budgets from 1, but got (3, 1)")):
        Fidelity("halving", (3, 1))
    with pytest.raises(ValueError, match="edge-count has none"):
        Fidelity.of("halving", EdgeCount())


def test_several_objectives_and_bounds_are_refused(space: Space) -> None:
    several = optuna.create_study(directions=["maximize", "minimize"])
    bounded = optuna.create_study()
    bounded.set_user_attr("graphnas:at_most", {"macs": 3.0})
    for study in (several, bounded):
        with pytest.raises(ValueError, match="Expected a study with one objective, and neither bounds nor a budget"):
            studies.run(study, space, Epochs(), n_trials=1, fidelity=Fidelity("halving", (1, 3)))


def test_optunas_sampler_proposes_within_brackets(space: Space) -> None:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    studies.run(study, space, Epochs(), n_trials=15, fidelity=Fidelity("hyperband", (1, 3, 9)))
    assert len(studies.finished(study)) == 15


def test_a_random_sampler_serves_a_study_in_memory(space: Space) -> None:
    study = optuna.create_study(direction="maximize", sampler=RandomCellSampler(space, seed=0))
    studies.run(study, space, Epochs(), n_trials=6, fidelity=Fidelity("halving", (1, 3, 9)))
    assert any(trial.state == TrialState.PRUNED for trial in study.trials)
