import os
import signal
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from graphnas.engines import LocalProcesses, TimeLimitExceeded, WorkerLost, objective_values, read_progress
from graphnas.evaluate.protocol import EvaluationFailed, Result


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(text: str) -> None:
    raise TimeoutError(text)


def test_a_worker_returns_what_the_function_returns() -> None:
    with LocalProcesses(workers=1) as engine:
        assert engine.submit(pow, 2, 5).result(timeout=60) == 32


def test_workers_run_with_the_threads_they_are_given() -> None:
    with LocalProcesses(workers=1, threads=1) as engine:
        assert engine.submit(os.getenv, "OMP_NUM_THREADS").result(timeout=60) == "1"


def test_a_hanging_call_is_killed_and_its_worker_replaced() -> None:
    with LocalProcesses(workers=1, timeout=1.0) as engine:
        hanging: Future[None] = engine.submit(time.sleep, 600)
        with pytest.raises(TimeLimitExceeded, match="time limit of 1 seconds"):
            hanging.result(timeout=60)
        assert engine.submit(abs, -3).result(timeout=60) == 3


def test_a_lost_worker_is_named_and_replaced() -> None:
    with LocalProcesses(workers=1) as engine:
        with pytest.raises(WorkerLost, match="exit code -9"):
            engine.submit(die).result(timeout=60)
        assert engine.submit(abs, -3).result(timeout=60) == 3


def test_a_timeout_error_of_the_function_is_its_own() -> None:
    with LocalProcesses(workers=1, timeout=60) as engine, pytest.raises(TimeoutError, match="socket"):
        engine.submit(fail, "socket").result(timeout=60)


@pytest.mark.parametrize("settings", [{"workers": 0}, {"threads": 0}, {"timeout": 0.0}])
def test_wrong_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        LocalProcesses(**settings)  # type: ignore[arg-type]


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    assert read_progress(tmp_path) == []
    (tmp_path / "progress.jsonl").write_text('{"step": 1, "accuracy": 0.5}\n{"step": 2, "acc')
    assert read_progress(tmp_path) == [(1, {"accuracy": 0.5})]
    (tmp_path / "progress.jsonl").write_text('{"step": 1, "accuracy": 0.5}\n{"step": 2, "accuracy": 0.75}\n')
    assert read_progress(tmp_path, after=1) == [(2, {"accuracy": 0.75})]


def test_a_damaged_line_ends_the_record(tmp_path: Path) -> None:
    for damage in ("\0\0\0", "[1]", '{"accuracy": 1.0}', '{"step": null}'):
        (tmp_path / "progress.jsonl").write_text(f'{{"step": 1, "accuracy": 0.5}}\n{damage}\n{{"step": 3}}\n')
        assert read_progress(tmp_path) == [(1, {"accuracy": 0.5})]


def test_objectives_are_finite_figures_of_a_result() -> None:
    result = Result(0.5, {"loss": float("inf"), "parameters": 1000.0})
    assert objective_values(result, ["value", "parameters"]) == (0.5, 1000.0)
    with pytest.raises(EvaluationFailed, match="objective 'loss' is inf"):
        objective_values(result, ["value", "loss"])
    with pytest.raises(EvaluationFailed, match=r"'speed' is missing from the metrics \['loss', 'parameters'\]"):
        objective_values(result, ["speed"])
    with pytest.raises(EvaluationFailed, match="objective 'value' is None"):
        objective_values(Result(None), ["value"])  # type: ignore[arg-type]
