import os
import signal
import subprocess
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from graphnas.engines import LocalProcesses, TimeLimitExceeded, WorkerLost


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


def seen(seconds: float) -> str | None:
    """The GPUs that a worker sees, after so long that each worker has one call."""
    time.sleep(seconds)
    return os.getenv("CUDA_VISIBLE_DEVICES")


def test_each_worker_sees_a_gpu_of_its_own_and_its_successor_the_same() -> None:
    with LocalProcesses(workers=2, gpus=("3", "GPU-5")) as engine:
        # So many that the worker which starts last has one too.
        assert {call.result(timeout=60) for call in [engine.submit(seen, 0.5) for _ in range(12)]} == {"3", "GPU-5"}
        with pytest.raises(WorkerLost):
            engine.submit(die).result(timeout=60)
        assert {call.result(timeout=60) for call in [engine.submit(seen, 0.5) for _ in range(12)]} == {"3", "GPU-5"}


def begin(path: str) -> None:
    """Start a process, write its number, and hang."""
    with Path(path).open("w") as file:
        file.write(str(subprocess.Popen(["sleep", "600"]).pid))
    time.sleep(600)


def lives(process: int) -> bool:
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_what_a_killed_call_has_started_ends_with_it(tmp_path: Path) -> None:
    with LocalProcesses(workers=1, timeout=2.0) as engine:
        with pytest.raises(TimeLimitExceeded):
            engine.submit(begin, str(tmp_path / "number")).result(timeout=60)
        assert engine.submit(abs, -3).result(timeout=60) == 3
        assert not lives(int((tmp_path / "number").read_text()))
