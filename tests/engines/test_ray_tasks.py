"""A local Ray cluster, started once: some ten seconds."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import optuna
import pytest

from graphnas import studies
from graphnas.cell import Architecture
from graphnas.engines import EngineError, RayTasks, TimeLimitExceeded, WorkerLost
from graphnas.evaluate import TrainingEvaluator
from graphnas.evaluate.protocol import EvaluationFailed, Result
from graphnas.search import RandomCellSampler
from graphnas.spaces import Space
from graphnas.studies import Event

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ray = pytest.importorskip("ray")


class Counting:
    """Values a cell by its edges; dies, fails or hangs on the first attempts where it is told to."""

    name = "counting"

    def __init__(self, folder: Path, misbehave: str = "", times: int = 0) -> None:
        self.folder, self.misbehave, self.times = folder, misbehave, times

    def evaluate(self, architecture: Architecture, **settings: Any) -> Result:
        edges = len(architecture.cells[0].edges)
        mark = self.folder / f"{architecture.cells[0].hash}.attempts"
        with mark.open("a") as file:
            file.write("x")
        if self.misbehave and edges % 2 == 0 and len(mark.read_text()) <= self.times:
            if self.misbehave == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.misbehave == "hangs":
                time.sleep(600)
            raise EvaluationFailed("an even number of edges")
        return Result(edges / 10, {"pid": float(os.getpid())})


# First, while no cluster is running.
def test_an_address_at_which_nothing_listens_is_refused_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(EngineError, match=f"no Ray cluster at '{address}': .*refused"):
        RayTasks(address)
    assert time.monotonic() - began < 10


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    # Workers find the tests' classes where this process does.
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}},
    )
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.load("nasbench101")


def start(space: Space) -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=RandomCellSampler(space, seed=3))


def test_calls_return_raise_die_and_hang(cluster: None) -> None:
    with RayTasks(timeout=4) as engine:
        assert engine.workers == 2
        assert engine.submit(pow, 2, 5).result(timeout=60) == 32
        with pytest.raises(ZeroDivisionError):
            engine.submit(divmod, 1, 0).result(timeout=60)
        with pytest.raises(WorkerLost):
            engine.submit(_die).result(timeout=60)
        hanging: Future[None] = engine.submit(time.sleep, 600)
        with pytest.raises(TimeLimitExceeded, match="killed at the time limit of 4 seconds"):
            hanging.result(timeout=60)
        assert engine.submit(abs, -3).result(timeout=60) == 3
    with pytest.raises(RuntimeError, match="after its shutdown"):
        engine.submit(abs, -3)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_study_runs_in_tasks_and_gives_the_same_trials(cluster: None, space: Space, tmp_path: Path) -> None:
    study, alone = start(space), start(space)
    with RayTasks() as engine:
        studies.run(study, space, Counting(tmp_path), n_trials=4, executor=engine)
    studies.run(alone, space, Counting(tmp_path), n_trials=4)
    assert [trial.value for trial in study.trials] == [trial.value for trial in alone.trials]
    assert all(trial.user_attrs["graphnas:metrics"]["pid"] != os.getpid() for trial in study.trials)


@pytest.mark.parametrize("misbehave", ["dies", "fails", "hangs"])
def test_a_lost_candidate_is_tried_again_and_others_fail_alone(
    cluster: None, space: Space, tmp_path: Path, misbehave: str
) -> None:
    study, events, evaluator = start(space), list[Event](), Counting(tmp_path, misbehave, times=1)
    with RayTasks(timeout=5) as engine:
        studies.run(study, space, evaluator, n_trials=5, executor=engine, on_event=events.append, max_failure_rate=1.0)
    even = [trial for trial in study.trials if len(studies.architecture(trial).cells[0].edges) % 2 == 0]
    assert 0 < len(even) < 5
    if misbehave == "dies":
        assert {event.number for event in events if event.kind == "retried"} == {trial.number for trial in even}
        assert all(trial.value is not None for trial in study.trials)
        assert all(trial.user_attrs["graphnas:attempts"] == 2 for trial in even)
    else:
        reason = "an even number of edges" if misbehave == "fails" else "killed at the time limit of 5 seconds"
        assert [trial.user_attrs.get("graphnas:reason") for trial in even] == [reason] * len(even)
        assert all(trial.value is not None for trial in study.trials if trial not in even)


def test_a_candidate_that_always_dies_is_given_up(cluster: None, space: Space, tmp_path: Path) -> None:
    study, evaluator = start(space), Counting(tmp_path, "dies", times=99)
    with RayTasks() as engine:
        studies.run(study, space, evaluator, n_trials=5, executor=engine)
    (reason,) = [trial.user_attrs["graphnas:reason"] for trial in study.trials if trial.value is None]
    assert "in each of 3 attempts" in reason
    # Ray itself repeated nothing.
    assert sorted(path.read_text() for path in tmp_path.glob("*.attempts")) == ["x"] * 4 + ["xxx"]


def test_real_trainings_leave_their_progress_and_weights(cluster: None, space: Space, tmp_path: Path) -> None:
    evaluator = TrainingEvaluator(space, epochs=2, sizes={"channels": 4, "stacks": 2})
    study = studies.create(tmp_path / "search", space, evaluator, RandomCellSampler(space, seed=3))
    with RayTasks() as engine:
        studies.run(study, space, evaluator, n_trials=2, executor=engine)
    assert all(trial.value is not None for trial in study.trials)
    for number in (0, 1):
        assert (tmp_path / "search" / "trials" / str(number) / "progress.jsonl").read_text().count("\n") == 2
        assert (tmp_path / "search" / "trials" / str(number) / "checkpoint.safetensors").is_file()
    straight = evaluator.evaluate(studies.architecture(study.trials[0]))
    assert study.trials[0].value == straight.value


def test_what_the_cluster_cannot_hold_is_refused(cluster: None) -> None:
    with pytest.raises(EngineError, match="no room for a call of 1 processors and 1 GPUs"):
        RayTasks(gpus=1)
    for settings in ({"workers": 0}, {"cpus": 0}, {"gpus": -1.0}, {"timeout": 0.0}):
        with pytest.raises(ValueError, match=next(iter(settings))), contextlib.suppress(EngineError):
            RayTasks(**settings)  # type: ignore[arg-type]
