"""Evaluations as tasks of a Ray cluster."""

from __future__ import annotations

import math
import re
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from graphnas.engines.errors import EngineError, TimeLimitExceeded, WorkerLost

P = ParamSpec("P")
T = TypeVar("T")

_KEY = "graphnas:waited:"
_CONNECTED = 10.0  # seconds for a cluster to answer
_NEARLY = 0.95  # of a time limit: clocks of machines differ a little


def _answers(address: str | None) -> None:
    """Refuse `HOST:PORT` at which nothing listens, for which Ray would look for minutes.

    Raises:
        EngineError: naming the address.
    """
    place = re.fullmatch(r"(?:ray://)?(?P<host>[^/:]+|\[[^\]]+\]):(?P<port>[0-9]{1,5})", address or "")
    if place is None:
        return
    try:
        socket.create_connection((place["host"].strip("[]"), int(place["port"])), timeout=_CONNECTED).close()
    except (OSError, OverflowError) as error:
        raise EngineError(f"no Ray cluster at {address!r}: {error}") from None


class RayTasks(Executor):
    """Tasks of a Ray cluster, each with its share of processors and GPUs.

    Ray itself repeats nothing: a study tries a candidate whose worker was lost again, a limited number of times. A
    study's folder has to be reachable from all machines, since checkpoints and progress are kept there.

    Args:
        address: Of a running cluster, `auto` for the one of this machine; None starts one that ends with the engine.
        workers: Calls at once; as many as the cluster has room for if None.
        cpus: Processors of each call, which are its threads too.
        gpus: GPUs of each call; a fraction lets several calls share one. Ray then gives each call a process of its
            own, which imports and loads data anew.
        timeout: Seconds after which a running call is killed; None for no limit.

    Raises:
        ImportError: if Ray is not installed (`pip install 'graphnas[ray]'`).
        EngineError: if there is no such cluster, or it has no room for one call.

    Example:
        >>> with RayTasks(workers=2) as engine:  # doctest: +SKIP
        ...     engine.submit(pow, 2, 5).result()
        32
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        cpus: int = 1,
        gpus: float = 0.0,
        timeout: float | None = None,
    ) -> None:
        if (workers is not None and workers < 1) or cpus < 1 or gpus < 0:
            raise ValueError(
                f"Expected workers and cpus from 1 and gpus from 0, but got workers={workers}, cpus={cpus}, gpus={gpus}"
            )
        if timeout is not None and timeout <= 0:
            raise ValueError(f"Expected timeout to be positive seconds, but got {timeout}")
        try:
            import ray
        except ImportError:
            raise ImportError("RayTasks needs Ray; install it with: pip install 'graphnas[ray]'") from None
        self._ray: Any = ray
        self.timeout = timeout
        self._threads, self._closed = cpus, False
        self._pending: set[Any] = set()
        self._stored: list[Stored] = []
        self._lock = threading.Lock()
        self._owns = not ray.is_initialized()
        if self._owns:
            own: dict[str, Any] = {"num_cpus": cpus * workers if workers else None, "include_dashboard": False}
            handler = signal.getsignal(signal.SIGTERM)
            _answers(address)
            try:
                # Without an address Ray would look for a cluster that is running.
                ray.init(address=address or "local", log_to_driver=False, **({} if address else own))
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise EngineError(f"no Ray cluster at {address!r}: {' '.join(str(error).split())}") from None
            finally:
                # Ray's own would end this process at once.
                if threading.current_thread() is threading.main_thread():
                    signal.signal(signal.SIGTERM, handler)
        room = self._room(cpus, gpus)
        if room < 1:
            self.shutdown()
            raise EngineError(f"the Ray cluster has no room for a call of {cpus} processors and {gpus:g} GPUs")
        self.workers = room if workers is None else workers
        self._call: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_run)

    def _room(self, cpus: int, gpus: float) -> int:
        """Calls that all machines together can hold."""
        room = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                found = node["Resources"]
                of_gpus = int(found.get("GPU", 0) / gpus) if gpus else sys.maxsize
                room += min(int(found.get("CPU", 0) / cpus), of_gpus)
        return room

    def share(self, value: T) -> Stored:
        """Put a value into the cluster's memory instead of sending it with every call.

        Returns:
            A placeholder that `evaluate` resolves in the worker.
        """
        stored = Stored(self._ray.put(value))
        self._stored.append(stored)
        return stored

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` in a task.

        Returns:
            A future that raises `TimeLimitExceeded` or `WorkerLost` where the call or its process did not end well.
        """
        if self._closed:
            raise RuntimeError("cannot submit to an engine after its shutdown")
        name, submitted = uuid.uuid4().hex, time.time()
        call = partial(fn, *args, **kwargs)
        reference = self._call.remote(name, submitted, call, self._stored, self._threads, self.timeout)
        with self._lock:
            self._pending.add(reference)
        outer: Future[T] = Future()
        reference.future().add_done_callback(partial(self._settle, outer, reference, name, submitted))
        return outer

    def _settle(self, outer: Future[Any], reference: Any, name: str, submitted: float, inner: Future[Any]) -> None:
        with self._lock:
            self._pending.discard(reference)
        if not outer.set_running_or_notify_cancel():
            return
        error = inner.exception()
        errors = self._ray.exceptions
        if error is None:
            outer.set_result(inner.result())
        elif isinstance(error, errors.RayTaskError):
            outer.set_exception(error.cause if isinstance(error.cause, Exception) else error)
        elif type(error).__name__ == "UnserializableException":
            outer.set_exception(EngineError("the evaluation raised an exception that cannot be sent back"))
        elif self.timeout is not None and time.time() - submitted - _waited(name) >= _NEARLY * self.timeout:
            outer.set_exception(TimeLimitExceeded(f"killed at the time limit of {self.timeout:g} seconds"))
        else:
            outer.set_exception(WorkerLost(f"{type(error).__name__}: {' '.join(str(error).split()):.300}"))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the tasks, after those under way unless `cancel_futures`, and the cluster if this engine started it."""
        self._closed = True
        with self._lock:
            pending = list(self._pending)
        if cancel_futures:
            for reference in pending:
                self._ray.cancel(reference, force=True)
        elif wait and pending:
            self._ray.wait(pending, num_returns=len(pending))
        if self._owns:
            self._ray.shutdown()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # After an interrupt nobody waits for the results of the calls under way.
        self.shutdown(cancel_futures=kind is not None)


@dataclass(frozen=True)
class Stored:
    """Stands for a value in the memory of a Ray cluster."""

    reference: Any
    """Ray's `ObjectRef` of the value."""

    def resolve(self) -> Any:
        """The value, in a worker; fetched once by each."""
        key = self.reference.hex()
        if key not in _fetched:
            import ray

            _fetched[key] = ray.get(self.reference)
        return _fetched[key]


_fetched: dict[str, Any] = {}


def _waited(name: str) -> float:
    """Seconds from a call's submission to its start; endless if it never started."""
    text = _internal_kv()._internal_kv_get(_KEY + name)
    return math.inf if text is None else float(text)


def _internal_kv() -> Any:
    from ray.experimental import internal_kv

    return internal_kv


def _run(
    name: str,
    submitted: float,
    call: Callable[[], T],
    stored: Sequence[Stored],
    threads: int,
    timeout: float | None,
) -> T:
    """A call in the worker's process, with its threads and its time limit."""
    # Imports and data behind a shared value are loaded before the clock runs.
    for value in stored:
        value.resolve()
    if timeout is not None:
        # How long the call waited for its worker tells a time limit from a death of other causes.
        _internal_kv()._internal_kv_put(_KEY + name, str(time.time() - submitted))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    # Ray has no time limits. The alarm ends the process, whatever it is doing, since nothing handles it.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, timeout or 0.0)
    try:
        return call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
