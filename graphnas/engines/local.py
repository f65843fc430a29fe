"""Worker processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessPool

from graphnas.engines.errors import TimeLimitExceeded, WorkerLost

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Shared:
    """Stands for a value that every worker holds already."""

    number: int
    """Number of the value in the engine that shared it."""

    def resolve(self) -> Any:
        """The value, in a worker."""
        held = _held[self]
        if isinstance(held, bytes):
            # What this program pickled for its own worker, over their pipe: never the content of a file.
            held = _held[self] = pickle.loads(held)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(_threads)
        return held


class LocalProcesses(Executor):
    """Worker processes of this machine that can be killed one by one.

    Workers are spawned, not forked, so that torch and its threads are safe in them, and they end when this process
    does, even if it is killed. A call that outlives the time limit is killed and replaced by a fresh worker. With a
    worker the processes end that its call has started.

    Args:
        workers: Number of processes.
        threads: Threads of torch and OpenMP in each worker.
        timeout: Seconds after which a running call is killed; None for no limit.
        gpus: Names of GPUs as CUDA_VISIBLE_DEVICES has them. Each worker sees one of them, in turn, and a worker that
            replaces another sees that one's; all workers see what this process does if there are none.

    Example:
        >>> with LocalProcesses(workers=1, timeout=60) as engine:
        ...     engine.submit(pow, 2, 5).result()
        32
    """

    def __init__(
        self, workers: int = 2, threads: int = 1, timeout: float | None = None, gpus: Sequence[str] = ()
    ) -> None:
        if workers < 1 or threads < 1:
            raise ValueError(
                f"Expected at least one worker and one thread, but got workers={workers}, threads={threads}"
            )
        if timeout is not None and timeout <= 0:
            raise ValueError(f"Expected timeout to be positive seconds, but got {timeout}")
        self.workers = workers
        self.threads = threads
        self.timeout = timeout
        self.gpus = tuple(gpus)
        self._shared: list[bytes] = []
        self._pool: Any = None  # a ProcessPool, which is not fully typed
        self._places: _Places | None = None
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
            context = multiprocessing.get_context("spawn")
            self._places = _Places(self.gpus, context.Array("i", self.workers))
            self._pool = ProcessPool(
                max_workers=self.workers,
                initializer=_start_worker,
                initargs=(self.threads, tuple(self._shared), self._places),
                context=context,
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
            if self._places is not None:
                self._places.clear()

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


class _Places(NamedTuple):
    """Which worker is where, and which GPU it has."""

    gpus: tuple[str, ...]
    holders: Any
    """A shared array of the workers' process numbers, 0 where there is none yet. Each leads a group of its own, which
    what it starts belongs to."""

    def take(self) -> str | None:
        """The GPU of this process, if any: that of the first place whose holder is no more, and whose group ends."""
        os.setpgid(0, 0)
        with self.holders.get_lock():
            place = next((place for place, holder in enumerate(self.holders) if not _lives(holder)), 0)
            _end_group(self.holders[place])
            self.holders[place] = os.getpid()
        return self.gpus[place % len(self.gpus)] if self.gpus else None

    def clear(self) -> None:
        """End what workers that are no more have left."""
        for holder in self.holders:
            if not _lives(holder):
                _end_group(holder)


def _end_group(leader: int) -> None:
    if leader > 0:
        with contextlib.suppress(OSError):
            os.killpg(leader, signal.SIGKILL)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return process > 0


def _start_worker(threads: int, shared: tuple[bytes, ...], places: _Places) -> None:
    global _threads
    _threads = threads
    gpu = places.take()
    if gpu is not None:
        # Before anything asks for one.
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    _held.update({Shared(number): value for number, value in enumerate(shared)})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Imports and data behind a shared value are loaded before the clock of the first call runs. What goes wrong here
    # goes wrong again in that call, whose exception it then is.
    for value in list(_held):
        with contextlib.suppress(Exception):
            value.resolve()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.killpg(0, signal.SIGKILL)
