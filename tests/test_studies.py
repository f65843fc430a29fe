import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
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
from graphnas.evaluate.protocol import EvaluationFailed, Report, Result
from graphnas.search import RandomCellSampler
from graphnas.spaces import Space
from graphnas.studies import Event, StudyError, StudyLocked, TooManyFailures

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass
class EdgeCount:
    """Values a cell by its edges and vertices, in no time; misbehaves where it is told to."""

    name: str = "edge-count"
    misbehave: str = ""
    """What happens to cells with an even number of 3 x 3 convolutions."""
    seconds: float = 0.0

    def evaluate(
        self,
        architecture: Architecture,
        *,
        budget: int | None = None,
        seed: int = 0,
        hyperparameters: Mapping[str, Any] | None = None,
        report: Report | None = None,
        folder: str | Path | None = None,
    ) -> Result:
        cell = architecture.cells[0]
        time.sleep(self.seconds)
        if self.misbehave and cell.ops.count("conv3x3") % 2 == 0:
            if self.misbehave == "fails":
                raise EvaluationFailed("an even number of convolutions")
            if self.misbehave == "raises":
                raise ZeroDivisionError("division by an even number")
            if self.misbehave == "nan":
                return Result(float("nan"))
            if self.misbehave == "infinite":
                return Result(float("inf"))
            if self.misbehave == "text":
                return "0.5"  # type: ignore[return-value]
            if self.misbehave == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.misbehave == "hangs":
                time.sleep(600)
            if self.misbehave == "interrupts":
                raise KeyboardInterrupt
        value = len(cell.edges) / 10 + len(cell.ops) / 1000
        curve = (value / 2, value)
        for step, accuracy in enumerate(curve, start=1):
            if report is not None:
                report(step, {"val_accuracy": accuracy})
        metrics = {"parameters": 1000.0 * len(cell.ops), "val_accuracy": value}
        return Result(value, metrics, {"val_accuracy": curve}, 0.01, 0.01, budget or 2, seed, self.name)


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.load("nasbench101")


def start(folder: Path, space: Space, evaluator: EdgeCount | None = None) -> optuna.Study:
    return studies.create(
        folder,
        space,
        evaluator or EdgeCount(),
        RandomCellSampler(space, seed=3),
        config={"sampler": {"kind": "random", "seed": 3}},
    )


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


def test_a_second_coordinator_is_refused_and_a_dead_ones_lock_taken_over(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    script = (
        "import fcntl, json, os, sys\n"
        "file = open(sys.argv[1], 'a+'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write(json.dumps({'pid': os.getpid(), 'host': 'localhost'})); file.flush()\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    lock = str(tmp_path / "coordinator.lock")
    with subprocess.Popen(
        [sys.executable, "-c", script, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StudyLocked, match=f"process {other.pid} on localhost"):
            studies.run(study, space, EdgeCount(), n_trials=1)
        other.kill()
    (tmp_path / "coordinator.lock").write_text(json.dumps({"pid": other.pid, "host": socket.gethostname()}))
    studies.run(study, space, EdgeCount(), n_trials=1)
    assert len(study.trials) == 1


def test_another_hosts_lock_is_void_when_it_shows_no_sign_of_life(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    lock = tmp_path / "coordinator.lock"
    lock.write_text('{"pid": 1, "host": "elsewhere"}')
    with pytest.raises(StudyLocked, match="elsewhere"):
        studies.run(study, space, EdgeCount(), n_trials=1)
    stamp = lock.stat().st_mtime - 120
    os.utime(lock, (stamp, stamp))
    studies.run(study, space, EdgeCount(), n_trials=1)
    assert len(study.trials) == 1


def test_folders_that_hold_no_search_are_refused_by_name(tmp_path: Path, space: Space) -> None:
    with pytest.raises(StudyError, match=r"config\.toml is missing"):
        studies.resume(tmp_path)
    start(tmp_path, space)
    with pytest.raises(StudyError, match="holds a search already"):
        start(tmp_path, space)
    (tmp_path / "study.db").write_text("no database at all")
    with pytest.raises(StudyError, match=r"study\.db is no SQLite database"):
        studies.resume(tmp_path)
    (tmp_path / "config.toml").write_text("seed = = 1")
    with pytest.raises(StudyError, match=r"config\.toml: .*line 1"):
        studies.resume(tmp_path)


def test_unknown_directions_are_refused_before_anything_is_written(tmp_path: Path, space: Space) -> None:
    sampler = RandomCellSampler(space)
    with pytest.raises(ValueError, match=r"directions out of maximize, minimize, but got \('up',\)"):
        studies.create(tmp_path / "search", space, EdgeCount(), sampler, directions=("up",))
    with pytest.raises(ValueError, match="one objective for each direction"):
        studies.create(tmp_path / "search", space, EdgeCount(), sampler, objectives=("value", "parameters"))
    assert not (tmp_path / "search").exists()


def test_of_processes_that_create_a_search_in_one_folder_one_succeeds(tmp_path: Path, space: Space) -> None:
    folder = tmp_path / "search"
    script = (
        "import sys\n"
        "from graphnas import studies\n"
        "from graphnas.search import RandomCellSampler\n"
        "from graphnas.spaces import Space\n"
        "class Judge:\n    name = 'judge'\n"
        "space = Space.load('nasbench101')\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        "try:\n    study = studies.create(sys.argv[1], space, Judge(), RandomCellSampler(space))\n"
        "    study.ask()\n    print('made')\n"
        "except studies.StudyError as error:\n    print('refused')\n"
    )
    creators = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", script, str(folder)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(3)
    ]
    for creator in creators:
        assert creator.stdout is not None
        assert creator.stdout.readline() == "ready\n"
    for creator in creators:
        assert creator.stdin is not None
        creator.stdin.write("go\n")
        creator.stdin.flush()
    answers = [creator.communicate(timeout=60)[0].strip() for creator in creators]
    assert sorted(answers) == ["made", "refused", "refused"]
    assert len(studies.resume(folder, sampler=RandomCellSampler(space)).trials) == 1


def test_a_database_that_was_never_whole_is_made_again(tmp_path: Path, space: Space) -> None:
    start(tmp_path, space)
    (tmp_path / "study.db").rename(tmp_path / ".study.db.123")
    (tmp_path / ".study.db.123-journal").touch()
    study = studies.resume(tmp_path)
    assert not list(tmp_path.glob(".*"))
    studies.run(study, space, EdgeCount(), n_trials=1)
    (tmp_path / "study.db").unlink()
    with pytest.raises(StudyError, match=r"study\.db is missing, but .*trials holds evaluations"):
        studies.resume(tmp_path)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 6] = b"x" * (4096 * 4)
    path.write_bytes(content)


def without_study(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM studies")
    database.close()


def with_wrong_values(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE trial_user_attributes SET value_json = '{'")
    database.close()


def with_a_wrong_architecture(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE trial_user_attributes SET value_json = '\"no cell\"' WHERE key = 'graphnas:architecture'"
        )
    database.close()


def of_something_else(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE songs (name TEXT)")
    database.close()


@pytest.mark.parametrize(
    "damage",
    [truncated, overwritten, without_study, with_wrong_values, with_a_wrong_architecture, of_something_else],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_database_is_named(tmp_path: Path, space: Space, damage: Callable[[Path], None]) -> None:
    study = start(tmp_path, space)
    studies.run(study, space, EdgeCount(), n_trials=2)
    study._storage.remove_session()
    study._storage._backend.engine.dispose()  # type: ignore[attr-defined]
    assert not (tmp_path / "study.db-wal").exists()
    damage(tmp_path / "study.db")
    before = (tmp_path / "study.db").read_bytes()
    with pytest.raises(StudyError, match=r"study\.db .*"):
        studies.resume(tmp_path)
    assert (tmp_path / "study.db").read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"space": 3}, "space: expected a table, but got 3"),
        ({"space": {}}, "space.name: expected text, but it is missing"),
        ({"space": {"name": "chairs"}}, "space: chairs: no such space"),
        (
            {"directions": ["sideways"]},
            r"directions: expected a list out of maximize, minimize, but got \['sideways'\]",
        ),
        ({"objectives": []}, "objectives: expected one name for each direction"),
        ({"sampler": None}, "sampler: expected a table, but it is missing"),
        ({"sampler": {"kind": "foo"}}, "sampler.kind: expected one of latent-bo, gradient, .*, but got 'foo'"),
        ({"sampler": {"kind": "random", "seed": "x"}}, "sampler.seed: expected a whole number of at least 0"),
        ({"sampler": {"kind": "latent-bo", "encoder": "none"}}, "sampler.encoder: .*none"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, space: Space, wrong: dict[str, Any], message: str) -> None:
    start(tmp_path, space)
    settings = studies.read_config(tmp_path)
    (tmp_path / "config.toml").write_text(studies.to_toml({**settings, **wrong}))
    with pytest.raises(StudyError, match=rf"config\.toml: {message}"):
        studies.resume(tmp_path)


def test_the_folder_keeps_the_file_of_a_space_of_ones_own(tmp_path: Path, space: Space) -> None:
    own = tmp_path / "own.toml"
    own.write_text(space.path.read_text().replace('name = "nasbench101"', 'name = "own"'))
    loaded = Space.load(own)
    config = {"space": {"file": "space.toml"}}
    studies.create(tmp_path / "search", loaded, EdgeCount(), RandomCellSampler(loaded), config=config)
    own.unlink()
    assert studies.load_space(tmp_path / "search").name == "own"


@pytest.mark.parametrize("text", ["[1, 2]", "{", '"x"', "\0" * 9])
def test_a_damaged_lock_has_no_holder(tmp_path: Path, space: Space, text: str) -> None:
    study = start(tmp_path, space)
    (tmp_path / "coordinator.lock").write_text(text)
    studies.run(study, space, EdgeCount(), n_trials=1)
    assert len(study.trials) == 1


def test_settings_survive_toml() -> None:
    settings = {"name": 'a "b"\n\\ é \x7f', "on": True, "table": {"x": 0.5, "n": 3, "list": ["a", 1], "none": None}}
    del settings["table"]["none"]  # type: ignore[attr-defined]
    assert tomllib.loads(studies.to_toml({**settings, "gone": None})) == settings
