import contextlib
import json
import tomllib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from graphnas import studies
from graphnas.cell import Architecture
from graphnas.engines import LocalProcesses, WorkerLost
from graphnas.evaluate.protocol import EvaluationFailed, Result
from graphnas.search import RandomCellSampler
from graphnas.spaces import Space
from graphnas.studies import Event, StudyError, TooManyFailures
from tests.studies.conftest import EdgeCount, start


def test_a_search_leaves_settings_environment_and_whole_trials(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path / "search", space)
    studies.run(study, space, EdgeCount(), n_trials=4, budget=7, seed=5)
    config = tomllib.loads((tmp_path / "search" / "config.toml").read_text())
    assert config["space"] == {"name": "nasbench101"}
    assert config["sampler"] == {"class": "RandomCellSampler", "kind": "random", "seed": 3}
    environment = json.loads((tmp_path / "search" / "environment.json").read_text())
    assert environment["seed"] == 3
    assert "optuna" in environment["versions"]
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    for trial in study.trials:
        attributes = trial.user_attrs
        cell = studies.architecture(trial).cells[0]
        assert trial.value == pytest.approx(len(cell.edges) / 10 + len(cell.ops) / 1000)
        assert attributes["graphnas:hash"] == space.hash(studies.architecture(trial))
        assert attributes["graphnas:metrics"]["parameters"] == 1000 * len(cell.ops)
        assert attributes["graphnas:curve"] == {"val_accuracy": [trial.value / 2, trial.value]}
        assert trial.intermediate_values == {1: trial.value / 2, 2: trial.value}
        assert (attributes["graphnas:seed"], attributes["graphnas:budget"]) == (5, 7)
        assert attributes["graphnas:seconds"] == 0.01
        assert attributes["graphnas:attempts"] == 1


def test_worker_processes_give_the_same_trials(tmp_path: Path, space: Space) -> None:
    events: list[Event] = []
    study = start(tmp_path, space)
    with LocalProcesses(workers=2) as engine:
        studies.run(study, space, EdgeCount(), n_trials=6, executor=engine, on_event=events.append)
    alone = studies.create(tmp_path / "alone", space, EdgeCount(), RandomCellSampler(space, seed=3))
    studies.run(alone, space, EdgeCount(), n_trials=6)
    assert [trial.value for trial in study.trials] == [trial.value for trial in alone.trials]
    assert sum(event.kind == "finished" for event in events) == 6
    assert (tmp_path / "trials" / "0" / "progress.jsonl").read_text().count("\n") == 2


def test_a_study_in_memory_needs_no_folder(space: Space) -> None:
    study = optuna.create_study(direction="maximize", sampler=RandomCellSampler(space, seed=0))
    studies.run(study, space, EdgeCount(), n_trials=3)
    assert len(studies.finished(study)) == 3


class Weighty(EdgeCount):
    """Leaves a file of weights."""

    def evaluate(self, architecture: Architecture, **settings: Any) -> Result:
        result = super().evaluate(architecture, **settings)
        (settings["folder"] / "checkpoint.safetensors").write_bytes(b"")
        if len(architecture.cells[0].edges) == 9:
            raise EvaluationFailed("the most edges")
        return result


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_weights_are_kept_of_the_best(tmp_path: Path, space: Space, workers: int) -> None:
    study = start(tmp_path, space, Weighty())
    with LocalProcesses(workers) if workers else contextlib.nullcontext() as engine:
        studies.run(study, space, Weighty(), n_trials=20, keep=3, executor=engine, max_failure_rate=1.0)
    states = [trial.state for trial in study.trials]
    assert TrialState.FAIL in states
    kept = {int(path.parent.name) for path in tmp_path.glob("trials/*/*.safetensors")}
    assert kept == {trial.number for trial in studies.best(study, 3)}


def test_further_objectives_are_metrics(tmp_path: Path, space: Space) -> None:
    study = studies.create(
        tmp_path,
        space,
        EdgeCount(),
        RandomCellSampler(space, seed=0),
        directions=("maximize", "minimize"),
        objectives=("value", "parameters"),
    )
    studies.run(study, space, EdgeCount(), n_trials=2)
    for trial in study.trials:
        assert trial.values[1] == 1000 * len(studies.architecture(trial).cells[0].ops)


def test_bounds_are_recorded_and_kept_by_the_best(tmp_path: Path, space: Space) -> None:
    bounds = {"at_most": {"value": 0.85}, "at_least": {"parameters": 6500.0}}
    study = studies.create(
        tmp_path,
        space,
        EdgeCount(),
        RandomCellSampler(space, seed=0),
        config={"sampler": {"kind": "random", "seed": 0}},
        **bounds,
    )
    studies.run(study, space, EdgeCount(), n_trials=10)
    study = studies.resume(tmp_path)
    studies.run(study, space, EdgeCount(), n_trials=40)
    kept = []
    for trial in study.trials:
        vertices = len(studies.architecture(trial).cells[0].ops)
        # EdgeCount counts 1,000 parameters a vertex.
        expected = {"value at most 0.85": trial.values[0] - 0.85, "parameters at least 6500": 6500 - 1000 * vertices}
        assert trial.constraints == pytest.approx(expected)
        kept += [trial.number] if max(expected.values()) <= 0 else []
    assert kept
    assert len(kept) < 40
    assert [trial.number for trial in studies.feasible(study)] == kept
    assert {trial.number for trial in studies.best(study, 40)} == set(kept)


def test_bounds_stay_those_that_trials_were_judged_by(tmp_path: Path, space: Space) -> None:
    sampler = {"sampler": {"kind": "random", "seed": 0}}
    names = {"top-1 accuracy": 0.9, "latency.ms": 2.5}
    studies.create(tmp_path, space, EdgeCount(), RandomCellSampler(space, seed=0), at_most=names, config=sampler)
    assert studies.resume(tmp_path).user_attrs["graphnas:at_most"] == names
    path = tmp_path / studies.CONFIG
    path.write_text(path.read_text().replace("= 2.5", "= 3.5"))
    with pytest.raises(StudyError, match=r"at_most: expected .*2\.5.*, with which the search began, but got .*3\.5"):
        studies.resume(tmp_path)
    path.write_text(path.read_text().replace("= 3.5", '= "few"'))
    with pytest.raises(StudyError, match=r"at_most.latency.ms: expected a number, but got 'few'"):
        studies.resume(tmp_path)


def test_a_bound_on_what_no_result_has_fails_the_candidate(space: Space) -> None:
    study = optuna.create_study(sampler=RandomCellSampler(space, seed=0))
    study.set_user_attr("graphnas:at_most", {"latency": 1.0})
    studies.run(study, space, EdgeCount(), n_trials=1)
    assert "'latency' is missing from the metrics" in study.trials[0].user_attrs["graphnas:reason"]


def test_the_pareto_set_holds_feasible_trials_that_none_dominates() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    told = [(0.9, 5.0), (0.8, 4.0), (0.8, 5.0), (0.9, 5.0), (0.95, 1.0), (0.5, 4.0)]
    for number, values in enumerate(told):
        attributes = {"constraints:size": 1.0 if number == 4 else -1.0}
        study.add_trial(optuna.trial.create_trial(values=list(values), system_attrs=attributes))
    assert [trial.number for trial in studies.pareto_set(study)] == [0, 1]
    assert studies.hypervolume(study) is None
    study.set_user_attr("graphnas:reference_point", [0.7, 10.0])
    assert studies.hypervolume(study) == pytest.approx(0.2 * 5 + 0.1 * 1)
    assert [trial.number for trial in studies.best(study, 5)] == [0, 1]


@pytest.mark.parametrize(
    ("misbehave", "reason"),
    [
        ("fails", "an even number of convolutions"),
        ("raises", "ZeroDivisionError: division by an even number"),
        ("nan", "objective 'value' is nan"),
        ("infinite", "objective 'value' is inf"),
        ("text", "to return a Result, but got '0.5'"),
    ],
)
def test_a_candidate_that_fails_keeps_its_reason(tmp_path: Path, space: Space, misbehave: str, reason: str) -> None:
    evaluator = EdgeCount(misbehave=misbehave)
    study = start(tmp_path, space, evaluator)
    studies.run(study, space, evaluator, n_trials=12, max_failure_rate=1.0)
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert 0 < len(failed) < 12 == len(study.trials)
    assert all(reason in trial.user_attrs["graphnas:reason"] for trial in failed)


class Unreliable(Executor):
    """Loses the worker of every first attempt at a candidate."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        future: Future[Any] = Future()
        if self.calls % 2:
            future.set_exception(WorkerLost("worker process 7 died"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def test_a_candidate_whose_worker_was_lost_is_tried_again(tmp_path: Path, space: Space) -> None:
    events: list[Event] = []
    study = start(tmp_path, space)
    studies.run(study, space, EdgeCount(), n_trials=3, executor=Unreliable(), on_event=events.append)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert [trial.user_attrs["graphnas:attempts"] for trial in study.trials] == [2, 2, 2]
    assert [event.reason for event in events if event.kind == "retried"] == ["worker process 7 died"] * 3


@pytest.mark.slow
def test_hung_and_dead_workers_fail_their_candidate_alone(tmp_path: Path, space: Space) -> None:
    for misbehave, reason in (("hangs", "time limit"), ("dies", "in each of 2 attempts")):
        evaluator = EdgeCount(misbehave=misbehave)
        study = start(tmp_path / misbehave, space, evaluator)
        with LocalProcesses(workers=2, timeout=3.0) as engine:
            studies.run(study, space, evaluator, n_trials=6, executor=engine, max_attempts=2)
        failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
        assert 0 < len(failed) < 6 == len(study.trials)
        assert all(reason in trial.user_attrs["graphnas:reason"] for trial in failed)


def test_a_search_stops_above_the_failure_rate(tmp_path: Path, space: Space) -> None:
    evaluator = EdgeCount(misbehave="raises")
    study = start(tmp_path, space, evaluator)
    with pytest.raises(TooManyFailures, match="division by an even number"):
        studies.run(study, space, evaluator, n_trials=100, max_failure_rate=0.1)
    assert len(studies.finished(study)) == 10


def test_resume_goes_on_to_the_same_number(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    studies.run(study, space, EdgeCount(), n_trials=3)
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    again = studies.resume(moved)
    assert isinstance(again.sampler, RandomCellSampler)
    studies.run(again, space, EdgeCount(), n_trials=5)
    assert [trial.number for trial in again.trials] == [0, 1, 2, 3, 4]
    hashes = [trial.user_attrs["graphnas:hash"] for trial in again.trials]
    assert len(set(hashes)) == 5


def test_an_interrupted_candidate_is_evaluated_again_under_its_number(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    with pytest.raises(KeyboardInterrupt):
        studies.run(study, space, EdgeCount(misbehave="interrupts"), n_trials=12)
    left = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
    assert [trial.user_attrs["graphnas:attempts"] for trial in left] == [0]
    again = studies.resume(tmp_path)
    studies.run(again, space, EdgeCount(), n_trials=12)
    assert [trial.state for trial in again.trials] == [TrialState.COMPLETE] * 12
    assert studies.architecture(again.trials[left[0].number]) == studies.architecture(left[0])


def test_a_trial_without_a_proposal_counts_for_nothing(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    study.ask()
    studies.run(study, space, EdgeCount(), n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] + [TrialState.COMPLETE] * 2
    assert study.trials[0].user_attrs["graphnas:reason"] == studies.INTERRUPTED


def test_a_candidate_that_kills_the_coordinator_is_given_up(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    trial = study.ask()
    space.suggest(trial)
    trial.set_user_attr("graphnas:attempts", 3)
    studies.run(study, space, EdgeCount(), n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert "lost 3 times" in study.trials[0].user_attrs["graphnas:reason"]


class Killed(BaseException):
    """Ends a coordinator as SIGKILL would: nothing that it does for an interrupt or an error is done."""


@dataclass
class Training(EdgeCount):
    """Takes four steps, which it finds again in its folder, and is killed after some of them in each attempt."""

    steps: int = 1
    """Steps of an attempt."""

    def evaluate(self, architecture: Architecture, **settings: Any) -> Result:
        path = settings["folder"] / "steps.txt"
        done = int(path.read_text()) if path.exists() else 0
        for step in range(1, 5):
            if step > done + self.steps:
                raise Killed
            path.write_text(str(max(step, done)))
            settings["report"](step, {"val_accuracy": step / 10})
        return Result(0.4)


def test_kills_of_the_coordinator_do_not_fail_a_candidate_that_gets_on(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    for _ in range(3):
        with pytest.raises(Killed):
            studies.run(study, space, Training(), n_trials=1)
        study = studies.resume(tmp_path)
    studies.run(study, space, Training(), n_trials=1)
    (trial,) = study.trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.4)


def test_a_candidate_that_kills_the_coordinator_at_one_place_is_given_up(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    with pytest.raises(Killed):
        studies.run(study, space, Training(steps=2), n_trials=1)
    for _ in range(3):
        with pytest.raises(Killed):
            studies.run(studies.resume(tmp_path), space, Training(steps=0), n_trials=1)
    with pytest.raises(Killed):  # by the next candidate
        studies.run(study, space, Training(steps=0), n_trials=2)
    first, second = study.trials
    assert first.state == TrialState.FAIL
    assert "lost 3 times" in first.user_attrs["graphnas:reason"]
    assert second.state == TrialState.RUNNING


class Elsewhere(Executor):
    """Holds candidates in processes that never come back."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return Future()


def test_a_candidate_in_another_process_is_not_blamed_for_the_coordinator(tmp_path: Path, space: Space) -> None:
    def kill(event: Event) -> None:
        raise Killed

    study = start(tmp_path, space)
    for _ in range(5):
        with pytest.raises(Killed):
            studies.run(studies.resume(tmp_path), space, EdgeCount(), n_trials=1, executor=Elsewhere(), on_event=kill)
    studies.run(study, space, EdgeCount(), n_trials=1)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]


def test_an_enqueued_candidate_survives_an_interrupted_proposal(tmp_path: Path, space: Space) -> None:
    import numpy as np

    (wanted,) = space.sample(1, np.random.default_rng(8))
    study = start(tmp_path, space)
    study.enqueue_trial(space.parameters(wanted))
    study.ask()
    studies.run(study, space, EdgeCount(), n_trials=1)
    assert space.hash(studies.architecture(study.trials[1])) == space.hash(wanted)


def test_other_data_than_that_of_earlier_trials_is_refused(tmp_path: Path, space: Space) -> None:
    class Judge(EdgeCount):
        fingerprint = "a" * 16

    study = start(tmp_path, space)
    studies.run(study, space, Judge(), n_trials=2)
    studies.run(studies.resume(tmp_path), space, Judge(), n_trials=3)
    Judge.fingerprint = "b" * 16
    with pytest.raises(StudyError, match="expected the data of edge-count to be that of its trials, fingerprint aaaa"):
        studies.run(studies.resume(tmp_path), space, Judge(), n_trials=4)
    assert len(studies.resume(tmp_path).trials) == 3
