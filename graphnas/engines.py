"""Where evaluations run: in worker processes of this machine, or in any `concurrent.futures.Executor`.

A study hands an executor one call of `evaluate` per candidate. What travels is the architecture as JSON, the budget,
the seed and a folder; what comes back is a Result as JSON. The evaluator itself travels once per worker where the
executor offers `share` (as `LocalProcesses` does) and with every call elsewhere.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessPool

if TYPE_CHECKING:
    from graphnas.evaluate.protocol import Evaluator, Result

P = ParamSpec("P")
T = TypeVar("T")

PROGRESS = "progress.jsonl"
"""File in a trial's folder to which a running evaluation appends one JSON object per reported step."""


class EngineError(RuntimeError):
    """A candidate did not come back from where it ran."""


class WorkerLost(EngineError):
    """The process that evaluated a candidate died; another attempt may succeed."""


class TimeLimitExceeded(EngineError):
    """A candidate ran past its time limit and was killed."""


@dataclass(frozen=True)
class Shared:
    """Stands for a value that every worker holds already."""

    number: int
    """Number of the value in the engine that shared it."""


class LocalProcesses(Executor):
    """Worker processes of this machine that can be killed one by one.

    Workers are spawned, not forked, so that torch and its threads are safe in them, and they end when this process
    does, even if it is killed. A call that outlives the time limit is killed and replaced by a fresh worker.

    Args:
        workers: Number of processes.
        threads: Threads of torch and OpenMP in each worker.
        timeout: Seconds after which a running call is killed; None for no limit.

    Example:
        >>> with LocalProcesses(workers=1, timeout=60) as engine:
        ...     engine.submit(pow, 2, 5).result()
        32
    """

    def __init__(self, workers: int = 2, threads: int = 1, timeout: float | None = None) -> None:
        if workers < 1 or threads < 1:
            raise ValueError(
                f"Expected at least one worker and one thread, but got workers={workers}, threads={threads}"
            )
        if timeout is not None and timeout <= 0:
            raise ValueError(f"Expected timeout to be positive seconds, but got {timeout}")
        self.workers = workers
        self.threads = threads
        self.timeout = timeout
        self._shared: list[bytes] = []
        self._pool: Any = None  # a ProcessPool, which is not fully typed
        self._closed = False

    def share(self, value: T) -> T | Shared:
        """Send a value once to every worker instead of with every call.

        Returns:
            A placeholder that `evaluate` resolves in the worker, or the value itself if workers have started already.
        """
        if self._pool is not None:
            return value
        self._shared.append(pickle.dumps(value))
        return Shared(len(self._shared) - 1)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` in a worker.

        Returns:
            A future that raises `TimeLimitExceeded` or `WorkerLost` where the call or its process did not end well.
        """
        if self._closed:
            raise RuntimeError("cannot submit to an engine after its shutdown")
        inner = self._running_pool().schedule(fn, args=args, kwargs=kwargs, timeout=self.timeout)
        outer: Future[T] = Future()
        inner.add_done_callback(partial(_translate, outer, self.timeout))
        return outer

    def _running_pool(self) -> Any:
        # A pool whose workers all died while idle stays broken; a fresh one serves the calls that follow.
        if self._pool is None or not self._pool.active:
            if self._pool is not None:
                self._pool.stop()
            self._pool = ProcessPool(
                max_workers=self.workers,
                initializer=_start_worker,
                initargs=(self.threads, tuple(self._shared)),
                context=multiprocessing.get_context("spawn"),
            )
        return self._pool

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers, after the calls under way unless `cancel_futures`."""
        self._closed = True
        if self._pool is None:
            return
        if cancel_futures or not self._pool.active:
            self._pool.stop()
        else:
            self._pool.close()
        if wait:
            self._pool.join()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # After an interrupt nobody waits for the results of the calls under way.
        self.shutdown(cancel_futures=kind is not None)


def _translate(outer: Future[Any], timeout: float | None, inner: Future[Any]) -> None:
    if inner.cancelled():
        outer.cancel()
        outer.set_running_or_notify_cancel()
        return
    if not outer.set_running_or_notify_cancel():
        return
    error = inner.exception()
    if error is None:
        outer.set_result(inner.result())
    elif isinstance(error, TimeoutError) and error.args[:1] == ("Task timeout",):
        outer.set_exception(TimeLimitExceeded(f"killed at the time limit of {timeout:g} seconds"))
    elif isinstance(error, ProcessExpired):
        outer.set_exception(WorkerLost(f"worker process {error.pid} died with exit code {error.exitcode}"))
    elif isinstance(error, BrokenProcessPool):
        outer.set_exception(WorkerLost("all worker processes died"))
    else:
        outer.set_exception(error)


_held: dict[Shared, bytes | Any] = {}
_threads = 1


def _start_worker(threads: int, shared: tuple[bytes, ...]) -> None:
    global _threads
    _threads = threads
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    _held.update({Shared(number): value for number, value in enumerate(shared)})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Imports behind a shared value are done before the clock of the first call runs. What goes wrong here goes wrong
    # again in that call, whose exception it then is.
    for value in list(_held):
        with contextlib.suppress(Exception):
            _resolve(value)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _resolve(value: Any) -> Any:
    if not isinstance(value, Shared):
        return value
    held = _held[value]
    if isinstance(held, bytes):
        # What this program pickled for its own worker, over their pipe: never the content of a file.
        held = _held[value] = pickle.loads(held)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(_threads)
    return held


def evaluate(
    evaluator: Evaluator | Shared,
    architecture: str,
    *,
    budget: int | None = None,
    seed: int = 0,
    folder: str | None = None,
    report: Callable[[int, Mapping[str, float]], None] | None = None,
    objectives: Sequence[str] = (),
    until: int | None = None,
) -> str:
    """Evaluate one candidate where this is called.

    Args:
        evaluator: The evaluator, or its placeholder from `LocalProcesses.share`.
        architecture: `Architecture.to_json`.
        budget: Evaluator's units (epochs in training); its own default if None.
        seed: Seed of the evaluation.
        folder: The trial's folder, for progress and predictions; nothing is written if None.
        report: Called with each step and its metrics, after they were appended to `folder`.
        objectives: `"value"`, or names of metrics, that have to be finite.
        until: As in `Evaluator.evaluate`, which need not know the argument otherwise.

    Returns:
        `Result.to_json`.

    Raises:
        EvaluationFailed: if the evaluator says so, or an objective is not finite.
        TypeError: if what the evaluator returns is no Result.
    """
    from graphnas.cell import Architecture
    from graphnas.evaluate.protocol import Result

    judge: Evaluator = _resolve(evaluator)
    place = None if folder is None else Path(folder)
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
        # A new attempt starts a new record, so that no step of an earlier one is counted twice.
        (place / PROGRESS).unlink(missing_ok=True)
        report = partial(_append, place / PROGRESS, report)
    candidate = Architecture.from_json(architecture)
    further: dict[str, Any] = {}
    if until is not None:
        further["until"] = until
    result = judge.evaluate(candidate, budget=budget, seed=seed, report=report, folder=place, **further)
    if not isinstance(result, Result):
        raise TypeError(f"Expected evaluator {judge.name!r} to return a Result, but got {result!r:.200}")
    # Here, since JSON has one word for all figures that are not finite.
    objective_values(result, objectives)
    return result.to_json()


def objective_values(result: Result, objectives: Sequence[str]) -> tuple[float, ...]:
    """The figures of a result that a search is after.

    Args:
        result: What an evaluator returned.
        objectives: `"value"`, or names of metrics.

    Raises:
        EvaluationFailed: if one is missing or not finite, saying what came.
    """
    from graphnas.evaluate.protocol import EvaluationFailed

    values = []
    for name in objectives:
        if name != "value" and name not in result.metrics:
            raise EvaluationFailed(f"objective {name!r} is missing from the metrics {sorted(result.metrics)}")
        figure: Any = result.value if name == "value" else result.metrics[name]
        try:
            value = float(figure)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not math.isfinite(value):
            raise EvaluationFailed(f"objective {name!r} is {figure!s:.200}")
        values.append(value)
    return tuple(values)


def _append(
    path: Path,
    then: Callable[[int, Mapping[str, float]], None] | None,
    step: int,
    metrics: Mapping[str, float],
) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, **metrics}, default=float) + "\n")
    if then is not None:
        then(step, metrics)


def read_progress(folder: Path, *, after: int = 0) -> list[tuple[int, dict[str, float]]]:
    """Steps that a running evaluation has reported into its folder.

    Args:
        folder: The trial's folder.
        after: Number of steps that were read before.

    Returns:
        Pairs of step and metrics, in order; a line that is still being written is left for the next call, and so is
        what follows a damaged one.
    """
    try:
        lines = (folder / PROGRESS).read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    steps = []
    for line in itertools.islice(lines, after, None):
        if not line.endswith("\n"):
            break
        try:
            metrics = json.loads(line)
            steps.append((int(metrics.pop("step")), metrics))
        except (ValueError, TypeError, KeyError, AttributeError):
            break
    return steps
