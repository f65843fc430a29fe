"""One search, one folder: an Optuna study that survives the death of everything around it.

A folder holds `study.db` (the trials), `config.toml` (what was asked for), `environment.json` (versions, seed,
machine, command) and `trials/NUMBER/` (what evaluations write). One coordinator at a time, `run`, asks for proposals
and writes results; workers only evaluate. A trial's row is the record of its state:

- running, without an architecture: the coordinator died while it asked. The trial is failed as
  `INTERRUPTED` and counts for nothing.
- running, with an architecture: the candidate is evaluated again, under the same number. Only deaths that it may have
  caused count against it, at most `max_attempts`: those of its worker, and those of a coordinator that evaluated it in
  its own process and got no further with it than before.
- finished: never touched again. Everything about a trial is written before its state, so a finished trial is whole.

Nothing is unpickled from disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import json
import math
import os
import platform
import socket
import sqlite3
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from graphnas import engines
from graphnas.cell import Architecture

if TYPE_CHECKING:
    from graphnas.evaluate.protocol import Evaluator, Result
    from graphnas.spaces import Space

DATABASE = "study.db"
CONFIG = "config.toml"
ENVIRONMENT = "environment.json"
LOCK = "coordinator.lock"
INTERRUPTED = "interrupted before a proposal"
"""Reason of a failed trial for which no architecture had been proposed; it does not count as a trial."""
EXHAUSTED = "no new architecture"
"""Reason of a failed trial that would repeat an architecture since no other is left; it does not count either."""

_STUDY = "search"
_DIRECTIONS = ("maximize", "minimize")
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_FOREIGN_LEASE = 60.0  # seconds without a sign of life after which another host's lock is void
_PACKAGES: tuple[str, ...] = (
    "graphnas",
    "torch",
    "torch-geometric",
    "botorch",
    "gpytorch",
    "numpy",
    "scipy",
    "networkx",
)
_PACKAGES += ("scikit-learn", "optuna", "safetensors", "pebble")


class StudyError(ValueError):
    """A folder does not hold the search that was asked for, or holds one already."""


class StudyLocked(StudyError):
    """Another coordinator is at work on the folder."""


class TooManyFailures(RuntimeError):
    """So many candidates failed that the search has stopped; resuming goes on."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a trial of a running search."""

    kind: str
    """`"started"`, `"progress"`, `"retried"`, `"finished"`, `"failed"` or, once, `"exhausted"`."""
    number: int
    """Number of the trial."""
    architecture: Architecture
    """The candidate."""
    source: str
    """What proposed it."""
    values: tuple[float, ...] = ()
    """Objectives of a finished trial."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Metrics of a finished trial, or of the step just reported."""
    step: int | None = None
    """Step of a progress report."""
    seconds: float = 0.0
    """Seconds that the finished evaluation took."""
    reason: str = ""
    """Why the trial failed or is tried again."""


def create(
    folder: str | Path,
    space: Space,
    evaluator: Evaluator,
    sampler: BaseSampler,
    *,
    directions: Sequence[str] = ("maximize",),
    objectives: Sequence[str] = ("value",),
    config: Mapping[str, Any] | None = None,
) -> optuna.Study:
    """Start a search in a new folder.

    Args:
        folder: Made if it is missing; it must not hold a search.
        space: Search space of the candidates.
        evaluator: What will judge them.
        sampler: What will propose them.
        directions: `"maximize"` or `"minimize"` for each objective.
        objectives: `"value"`, or names of `Result.metrics`, one for each direction.
        config: Settings for `config.toml`, beside the names of the parts. `resume` rebuilds the sampler from a table
            `sampler` with `kind` (a name of `SAMPLERS`), `seed` and, where it needs one, `encoder`.

            A `file` in a table `space` is the name under which the folder keeps a copy of the space's own file.

    Of several processes that create a search in one folder at the same moment, one succeeds.

    Raises:
        ValueError: if a direction is unknown, or objectives and directions differ in number.
        StudyError: if the folder holds a search, or another process makes one there.
    """
    if not directions or any(direction not in _DIRECTIONS for direction in directions):
        raise ValueError(f"Expected directions out of {', '.join(_DIRECTIONS)}, but got {directions!r}")
    if len(directions) != len(objectives):
        raise ValueError(f"Expected one objective for each direction, but got {directions!r} and {objectives!r}")
    folder = Path(folder)
    settings: dict[str, Any] = {
        "directions": list(directions),
        "objectives": list(objectives),
        "space": {"name": space.name},
        "sampler": {"class": type(sampler).__name__},
        "evaluator": {"name": evaluator.name},
    }
    for key, value in (config or {}).items():
        settings[key] = {**settings[key], **value} if isinstance(settings.get(key), dict) else value
    _check_config(folder, settings)
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_search(folder)
    with _coordinator_lock(folder):
        _refuse_search(folder)
        _remove_parts(folder)
        file = settings["space"].get("file")
        if file is not None:
            write_text(folder / file, space.path.read_text(encoding="utf-8"))
        write_text(folder / ENVIRONMENT, json.dumps(environment(settings["sampler"].get("seed")), indent=2) + "\n")
        write_text(folder / CONFIG, to_toml(settings))
        _make_database(folder, settings)
    return _open(folder, settings, sampler)


def _refuse_search(folder: Path) -> None:
    if (folder / CONFIG).exists() or (folder / DATABASE).exists():
        raise StudyError(f"{folder} holds a search already; resume it, or choose another folder")


def resume(folder: str | Path, *, sampler: BaseSampler | None = None) -> optuna.Study:
    """Open the search of a folder, to go on with `run` or to look at its trials.

    Args:
        folder: A folder that `create` made.
        sampler: What proposes further candidates; rebuilt from `config.toml` if None.

    Raises:
        StudyError: if the folder holds no search, one that cannot be read, or results without a database.
    """
    folder = Path(folder)
    settings = read_config(folder)
    if sampler is None:
        sampler = _rebuild_sampler(folder, settings)
    path = folder / DATABASE
    if not path.exists():
        # Its creator died before it was made. Where candidates were evaluated there has been one.
        with _coordinator_lock(folder):
            if not path.exists():
                if any((folder / "trials").glob("*")):
                    raise StudyError(
                        f"{path} is missing, but {folder / 'trials'} holds evaluations: bring {DATABASE} back, or "
                        "search anew in another folder"
                    )
                _remove_parts(folder)
                _make_database(folder, settings)
    return _open(folder, settings, sampler)


def read_config(folder: str | Path) -> dict[str, Any]:
    """The settings of the search in a folder, from `config.toml`.

    Raises:
        StudyError: if there is no such file, it is not TOML, or what every search needs is missing or wrong.
    """
    path = Path(folder) / CONFIG
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise StudyError(f"{folder} holds no search: {path} is missing") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StudyError(f"{path}: {error}") from None
    _check_config(Path(folder), settings)
    return settings


def _check_config(folder: Path, settings: Mapping[str, Any]) -> None:
    setting(folder, settings, "space", dict)
    setting(folder, settings, "space.name", str)
    setting(folder, settings, "space.file", str, optional=True)
    setting(folder, settings, "evaluator", dict)
    setting(folder, settings, "sampler", dict)
    setting(folder, settings, "sampler.encoder", str, optional=True)
    setting(folder, settings, "sampler.seed", int, least=0, optional=True)
    directions = setting(folder, settings, "directions", list)
    if not directions or any(direction not in _DIRECTIONS for direction in directions):
        raise StudyError(
            f"{folder / CONFIG}: directions: expected a list out of {', '.join(_DIRECTIONS)}, but got {directions!r}"
        )
    objectives = setting(folder, settings, "objectives", list, optional=True)
    if objectives is not None and (
        len(objectives) != len(directions) or not all(isinstance(name, str) for name in objectives)
    ):
        raise StudyError(f"{folder / CONFIG}: objectives: expected one name for each direction, but got {objectives!r}")


_KINDS = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "a table"}


def setting(
    folder: str | Path,
    settings: Mapping[str, Any],
    key: str,
    kind: type[str | int | float | list[Any] | dict[str, Any]],
    *,
    least: float | None = None,
    optional: bool = False,
) -> Any:
    """One setting of a search.

    Args:
        folder: The folder of the search, for messages.
        settings: From `read_config`.
        key: Such as `sampler.seed`.
        kind: What it has to be; a whole number is a number too.
        least: The smallest number it may be.
        optional: Whether it may be missing.

    Returns:
        Its value, or None if it is missing and may be.

    Raises:
        StudyError: naming the file, the key, what was expected and what came.
    """
    value: Any = settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None and optional:
        return None
    kinds = (int, float) if kind is float else kind
    right = isinstance(value, kinds) and not isinstance(value, bool)
    if not right or (least is not None and not value >= least):
        expected = _KINDS[kind] + ("" if least is None else f" of at least {least:g}")
        came = "it is missing" if value is None else f"got {value!r:.200}"
        raise StudyError(f"{Path(folder) / CONFIG}: {key}: expected {expected}, but {came}")
    return value


def load_space(folder: str | Path) -> Space:
    """The search space of the search in a folder; a space file kept in the folder comes first.

    Raises:
        StudyError: if there is no such space, or its settings are wrong.
    """
    from graphnas.spaces import Space

    table = dict(read_config(folder)["space"])
    name, file = table.pop("name"), table.pop("file", None)
    try:
        return Space.load(Path(folder) / file if file else name, **table)
    except (ValueError, TypeError) as error:
        raise StudyError(f"{Path(folder) / CONFIG}: space: {error}") from None


def load_encoder(folder: str | Path, *, device: str = "cpu") -> Any:
    """The encoder of the search in a folder, or None if it uses none.

    Raises:
        StudyError: if it cannot be loaded.
    """
    name = read_config(folder).get("sampler", {}).get("encoder")
    if name is None:
        return None
    from graphnas.encoders import CellAutoencoder

    space = load_space(folder)
    try:
        return CellAutoencoder.from_pretrained(name, device=device, space=space)
    except (ValueError, OSError) as error:
        raise StudyError(f"{Path(folder) / CONFIG}: sampler.encoder: {error}") from None


def make_sampler(kind: str, space: Space, *, encoder: Any = None, seed: int | None = None) -> BaseSampler:
    """A sampler from the name that `config.toml` and the command line use: one of `SAMPLERS`."""
    from graphnas import search

    if kind == "latent-bo":
        if encoder is None:
            raise ValueError("The sampler 'latent-bo' needs an encoder")
        return search.LatentBOSampler(space, encoder, seed=seed)
    if kind == "random":
        return search.RandomCellSampler(space, seed=seed)
    if kind == "evolution":
        return search.RegularizedEvolutionSampler(space, seed=seed)
    raise ValueError(f"Expected a sampler out of {', '.join(SAMPLERS)}, but got {kind!r}")


SAMPLERS = ("latent-bo", "random", "evolution")


def _rebuild_sampler(folder: Path, settings: Mapping[str, Any]) -> BaseSampler:
    table = settings.get("sampler", {})
    if "kind" not in table:
        raise StudyError(
            f"{folder / CONFIG}: sampler.kind is missing, so the {table.get('class', 'sampler')} of this search cannot "
            "be rebuilt; pass it as resume(folder, sampler=...)"
        )
    if table["kind"] not in SAMPLERS:
        raise StudyError(
            f"{folder / CONFIG}: sampler.kind: expected one of {', '.join(SAMPLERS)}, but got {table['kind']!r}"
        )
    return make_sampler(table["kind"], load_space(folder), encoder=load_encoder(folder), seed=table.get("seed"))


def _make_database(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make the database of a search; under the folder's lock."""
    path = folder / DATABASE
    # SQLite would play the log of a database that is gone into the new one.
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(DATABASE + suffix).unlink(missing_ok=True)
    # Made under another name, so that there is no moment at which the database exists and is not whole.
    part = path.with_name(f".{DATABASE}.{os.getpid()}")
    try:
        made = RDBStorage(f"sqlite:///{part.absolute()}")
        number = made.create_new_study([StudyDirection[name.upper()] for name in settings["directions"]], _STUDY)
        made.set_study_user_attr(number, "graphnas:objectives", list(settings.get("objectives", ["value"])))
        made.engine.dispose()
        part.replace(path)
    finally:
        _remove_parts(folder)


def _remove_parts(folder: Path) -> None:
    """Remove files that processes which died have begun; under the folder's lock."""
    for name in (DATABASE, CONFIG, ENVIRONMENT):
        for part in folder.glob(f".{name}.*"):
            part.unlink(missing_ok=True)


def _open(folder: Path, settings: Mapping[str, Any], sampler: BaseSampler) -> optuna.Study:
    path = folder / DATABASE
    try:
        _check_database(path)
        storage = RDBStorage(
            f"sqlite:///{path.absolute()}",
            # Readers may hold the database for a moment; the coordinator waits for them.
            engine_kwargs={"connect_args": {"timeout": 60, "factory": _Connection}},
        )
        study = optuna.load_study(study_name=_STUDY, storage=storage, sampler=sampler)
        for trial in study.get_trials(deepcopy=False):
            if "graphnas:architecture" in trial.user_attrs:
                architecture(trial)
    except StudyError:
        raise
    except Exception as error:  # what a damaged row makes SQLite, SQLAlchemy, Optuna and JSON raise has no end
        raise StudyError(f"{path} cannot be read: {_reason(error)}") from error
    if study.user_attrs.get("graphnas:objectives") != settings.get("objectives", ["value"]):
        study.set_user_attr("graphnas:objectives", list(settings.get("objectives", ["value"])))
    return study


def _check_database(path: Path) -> None:
    """Refuse a file that is no whole database of a search, before anything is written to it."""
    with path.open("rb") as file:
        if file.read(16) != b"SQLite format 3\0":
            raise StudyError(f"{path} is no SQLite database")
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
        ((verdict,), *_) = database.execute("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise StudyError(f"{path} is damaged: {' '.join(verdict.split())}")
        if (_STUDY,) not in database.execute("SELECT study_name FROM studies").fetchall():
            raise StudyError(f"{path} holds no study named {_STUDY!r}")


def _reason(error: BaseException) -> str:
    """What lies behind an error of the storage, in one line."""
    # Optuna wraps an error of SQLAlchemy, which wraps one of SQLite.
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    error = getattr(error, "orig", None) or error
    text = " ".join(str(error).split())
    return text if isinstance(error, sqlite3.Error) else f"{type(error).__name__}: {text}"


class _Connection(sqlite3.Connection):
    """SQLite with a write-ahead log, so that readers never stop the coordinator.

    A trial is some forty commits. With the log they need no sync each: a killed process loses nothing, and a power
    failure at most the last moments, never the database.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        with contextlib.suppress(sqlite3.OperationalError):  # a folder that is read-only can still be read
            self.execute("PRAGMA journal_mode=WAL")
            self.execute("PRAGMA synchronous=NORMAL")


def architecture(trial: FrozenTrial | optuna.Trial) -> Architecture:
    """The architecture that a trial evaluates.

    Raises:
        ValueError: if none has been proposed for the trial.
    """
    text = trial.user_attrs.get("graphnas:architecture")
    if text is None:
        raise ValueError(f"Trial {trial.number} carries no architecture")
    return Architecture.from_json(text)


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Finished trials that count: completed, pruned, or failed after a new proposal."""
    trials = study.get_trials(deepcopy=False, states=_FINISHED)
    return [trial for trial in trials if trial.user_attrs.get("graphnas:reason") not in (INTERRUPTED, EXHAUSTED)]


def best(study: optuna.Study, n: int = 1) -> list[FrozenTrial]:
    """The `n` completed trials with the best first objective, best first; fewer if there are fewer."""
    sign = -1.0 if study.directions[0] == StudyDirection.MAXIMIZE else 1.0
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(trials, key=lambda trial: (sign * trial.values[0], trial.number))[:n]


def folder_of(study: optuna.Study) -> Path | None:
    """The folder of a study that `create` or `resume` opened; None for any other study."""
    storage = study._storage
    url = getattr(getattr(storage, "_backend", storage), "url", "")
    path = Path(str(url).removeprefix("sqlite:///"))
    return path.parent if path.name == DATABASE and (path.parent / CONFIG).exists() else None


def run(
    study: optuna.Study,
    space: Space,
    evaluator: Evaluator,
    *,
    n_trials: int,
    executor: Executor | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], None] | None = None,
    budget: int | None = None,
    seed: int = 0,
    parallel: int | None = None,
    max_attempts: int = 3,
    max_failure_rate: float = 0.5,
) -> None:
    """Ask, evaluate and tell until the study holds `n_trials` finished trials.

    A candidate that fails, whatever the reason, becomes a failed trial with the attribute `graphnas:reason`, and the
    search goes on. A candidate whose worker was lost is tried again.

    Args:
        study: From `create` or `resume`, or any Optuna study.
        space: Search space that maps proposals to architectures.
        evaluator: Judges them.
        n_trials: Finished trials in the study at the end, those of earlier runs included.
        executor: Where candidates are evaluated; in this process if None.
        timeout: Seconds after which no further candidate starts.
        on_event: Called in this thread with everything that happens.
        budget: Budget of each evaluation; the evaluator's default if None.
        seed: Seed of each evaluation.
        parallel: Candidates under way at once; the executor's number of workers if None.
        max_attempts: Attempts for a candidate whose worker died, or that was evaluated in this process and has taken
            it along: a killed process counts, unless the evaluation had reported more steps than any attempt before.
        max_failure_rate: Above this share of failures, among at least ten candidates of this run, the search stops.

    The search ends early, with an `"exhausted"` event, when the sampler finds no architecture that is new.

    Raises:
        StudyLocked: if another coordinator is at work on the study's folder.
        StudyError: if the database fails.
        TooManyFailures: above the failure rate.
        KeyboardInterrupt: candidates under way stay to be evaluated again, without an attempt counted.
    """
    workers = getattr(executor, "workers", None) or getattr(executor, "_max_workers", None) or 1
    coordinator = _Coordinator(
        study,
        space,
        evaluator,
        executor,
        on_event or (lambda event: None),
        budget,
        seed,
        max_attempts,
        max_failure_rate,
    )
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    folder = folder_of(study)
    with contextlib.nullcontext() if folder is None else _coordinator_lock(folder):
        try:
            coordinator.run(n_trials, parallel or workers, deadline)
        except StorageInternalError as error:
            place = "the study's storage" if folder is None else folder / DATABASE
            raise StudyError(f"{place} failed: {_reason(error)}") from error


@dataclass
class _Lease:
    """A candidate under way."""

    number: int
    trial_id: int
    architecture: Architecture
    source: str
    attempt: int
    """Number of the attempt under way, or of those that count against the candidate while it waits."""
    started: float
    steps: int = 0
    """Steps that this attempt has reported from another process."""
    reached: int = 0
    """Steps that the attempt which got furthest has reported, this one not included."""


class _Coordinator:
    """The one process that asks and writes."""

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        evaluator: Evaluator,
        executor: Executor | None,
        on_event: Callable[[Event], None],
        budget: int | None,
        seed: int,
        max_attempts: int,
        max_failure_rate: float,
    ) -> None:
        self.study = study
        self.space = space
        self.executor = executor
        # Threads die together with the candidate's process, which is this one.
        self.own_process = executor is None or isinstance(executor, ThreadPoolExecutor)
        # Engines that can hold a value in each worker spare sending the evaluator with every candidate.
        share = getattr(executor, "share", None)
        self.evaluator = evaluator if share is None else share(evaluator)
        self.on_event = on_event
        self.budget = budget
        self.seed = seed
        self.max_attempts = max_attempts
        self.max_failure_rate = max_failure_rate
        self.folder = folder_of(study)
        self.objectives: list[str] = study.user_attrs.get("graphnas:objectives", ["value"])
        self.pending: dict[Future[str], _Lease] = {}
        self.queue: list[_Lease] = []
        self.outcomes: list[bool] = []
        self.exhausted = False

    def run(self, n_trials: int, parallel: int, deadline: float) -> None:
        self._recover()
        count = len(finished(self.study))
        try:
            while True:
                while len(self.pending) < parallel and time.monotonic() < deadline:
                    if self.queue:
                        self._start(self.queue.pop(0))
                    elif count + len(self.pending) < n_trials and not self.exhausted:
                        lease = self._ask()
                        if lease is not None:
                            self._start(lease)
                    else:
                        break
                    # A call that ran in this process has finished already.
                    if any(future.done() for future in self.pending):
                        break
                if not self.pending:
                    return
                done, _ = wait(self.pending, timeout=0.5, return_when=FIRST_COMPLETED)
                self._watch()
                for future in done:
                    count += self._finish(future)
                self._check_failure_rate()
        except KeyboardInterrupt:
            for future, lease in self.pending.items():
                future.cancel()
                self._set(lease, "attempts", lease.attempt - 1)
            raise

    def _recover(self) -> None:
        """Take up what a coordinator that died has left behind."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if "graphnas:architecture" not in trial.user_attrs:
                self._discard(trial._trial_id, trial.number, INTERRUPTED)
                # An enqueued candidate is asked for once more; the sampler's next proposal replaces any other.
                if "fixed_params" in trial.system_attrs:
                    self.study.enqueue_trial(trial.system_attrs["fixed_params"])
                continue
            candidate = architecture(trial)
            lease = _Lease(
                trial.number,
                trial._trial_id,
                candidate,
                trial.user_attrs.get("graphnas:source", ""),
                trial.user_attrs.get("graphnas:attempts", 0),
                time.monotonic(),
            )
            self._acquit(lease, trial.user_attrs.get("graphnas:lease", {}))
            if "graphnas:source" not in trial.user_attrs:
                lease.source = "interrupted"
                self._set(lease, "source", lease.source)
            if "graphnas:hash" not in trial.user_attrs:
                self._set(lease, "hash", self.space.hash(candidate))
            if lease.attempt >= self.max_attempts:
                self._fail(lease, f"lost {lease.attempt} times while it was evaluated")
            else:
                self.queue.append(lease)

    def _acquit(self, lease: _Lease, record: Mapping[str, Any]) -> None:
        """Take back what a coordinator counted against the candidate that it had under way, if it got further."""
        place = self._place(lease)
        steps = 0 if place is None else len(engines.read_progress(place))
        before = record.get("reached", 0)
        if record.get("own_process", True) and steps > before:
            lease.attempt = 0
        lease.reached = max(before, steps)

    def _ask(self) -> _Lease | None:
        """A new candidate, or None if there is no other."""
        trial: optuna.Trial | None = None
        try:
            trial = self.study.ask()
            candidate = self.space.suggest(trial)
        except BaseException:
            if trial is not None and "graphnas:architecture" not in trial.user_attrs:
                self._discard(trial._trial_id, trial.number, INTERRUPTED)
            raise
        # Optuna does not ask the sampler about an enqueued trial, and its own samplers do not say what they do.
        enqueued = "fixed_params" in self.study._storage.get_trial(trial._trial_id).system_attrs
        default = "enqueued" if enqueued else type(self.study.sampler).__name__
        source = str(trial.user_attrs.get("graphnas:source", default))
        lease = _Lease(trial.number, trial._trial_id, candidate, source, 0, time.monotonic())
        if "graphnas:source" not in trial.user_attrs:
            self._set(lease, "source", source)
        if source == f"fallback: {EXHAUSTED}":
            self.exhausted = True
            self._discard(lease.trial_id, lease.number, EXHAUSTED)
            self._emit(lease, "exhausted", reason=EXHAUSTED)
            return None
        return lease

    def _start(self, lease: _Lease) -> None:
        lease.attempt += 1
        lease.started = time.monotonic()
        lease.reached = max(lease.reached, lease.steps)
        lease.steps = 0
        owner = {"owner": f"{socket.gethostname()}:{os.getpid()}", "attempt": lease.attempt}
        self._set(lease, "lease", {**owner, "own_process": self.own_process, "reached": lease.reached})
        # Whoever finds the trial running knows that this process has died. A candidate in another process is not the
        # cause; its attempt counts once its worker is known to have died.
        self._set(lease, "attempts", lease.attempt if self.own_process else lease.attempt - 1)
        self._emit(lease, "started")
        place = self._place(lease)
        call = partial(
            engines.evaluate,
            self.evaluator,
            lease.architecture.to_json(),
            budget=self.budget,
            seed=self.seed,
            folder=None if place is None else str(place),
            objectives=tuple(self.objectives),
        )
        if self.executor is not None:
            self.pending[self.executor.submit(call)] = lease
            return
        future: Future[str] = Future()
        self.pending[future] = lease
        try:
            future.set_result(call(report=partial(self._progress, lease)))
        except Exception as error:  # whatever an evaluator raises fails its candidate, as in another process
            future.set_exception(error)

    def _finish(self, future: Future[str]) -> int:
        """Write what became of a candidate; 1 if its trial has finished, 0 if it is tried again."""
        from graphnas.evaluate.protocol import EvaluationFailed, Result

        lease = self.pending.pop(future)
        if not self.own_process:
            self._set(lease, "attempts", lease.attempt)
        try:
            result = Result.from_json(future.result())
            values = engines.objective_values(result, self.objectives)
        except (engines.WorkerLost, BrokenExecutor) as error:
            if lease.attempt < self.max_attempts:
                self.queue.append(lease)
                self._emit(lease, "retried", reason=str(error))
                return 0
            self._fail(lease, f"{error}, in each of {lease.attempt} attempts")
        except (EvaluationFailed, engines.EngineError) as error:
            self._fail(lease, str(error))
        except Exception as error:  # an evaluator may raise anything; the trial keeps what it said
            self._fail(lease, f"{type(error).__name__}: {error}")
        else:
            self._complete(lease, result, values)
        return 1

    def _complete(self, lease: _Lease, result: Result, values: tuple[float, ...]) -> None:
        self._set(lease, "metrics", dict(result.metrics))
        self._set(lease, "curve", {name: list(curve) for name, curve in result.curve.items()})
        self._set(lease, "seconds", result.seconds)
        self._set(lease, "cost", result.cost)
        self._set(lease, "seed", result.seed)
        self._set(lease, "budget", result.budget)
        if result.predictions:
            # Relative, so that a search's folder can move.
            paths = {
                name: path if self.folder is None else os.path.relpath(path, self.folder)
                for name, path in result.predictions.items()
            }
            self._set(lease, "predictions", {name: str(path) for name, path in paths.items()})
        if len(values) == 1:
            for step, value in enumerate(_objective_curve(result), start=1):
                self.study._storage.set_trial_intermediate_value(lease.trial_id, step, value)
        self.study.tell(lease.number, list(values))
        self.outcomes.append(True)
        self._emit(lease, "finished", values=values, metrics=dict(result.metrics), seconds=result.seconds)

    def _fail(self, lease: _Lease, reason: str) -> None:
        self._set(lease, "reason", reason)
        self._set(lease, "seconds", time.monotonic() - lease.started)
        self._set(lease, "seed", self.seed)
        self._set(lease, "budget", self.budget)
        self.study.tell(lease.number, state=TrialState.FAIL)
        self.outcomes.append(False)
        self._emit(lease, "failed", reason=reason, seconds=time.monotonic() - lease.started)

    def _discard(self, trial_id: int, number: int, reason: str) -> None:
        self.study._storage.set_trial_user_attr(trial_id, "graphnas:reason", reason)
        self.study.tell(number, state=TrialState.FAIL)

    def _check_failure_rate(self) -> None:
        failures = self.outcomes.count(False)
        if len(self.outcomes) >= 10 and failures > self.max_failure_rate * len(self.outcomes):
            last = next(
                trial.user_attrs["graphnas:reason"]
                for trial in reversed(finished(self.study))
                if "graphnas:reason" in trial.user_attrs
            )
            raise TooManyFailures(f"{failures} of {len(self.outcomes)} candidates failed, the last one: {last}")

    def _set(self, lease: _Lease, name: str, value: Any) -> None:
        # A Trial object would ask the sampler again for a trial that an earlier coordinator left behind.
        self.study._storage.set_trial_user_attr(lease.trial_id, f"graphnas:{name}", value)

    def _place(self, lease: _Lease) -> Path | None:
        return None if self.folder is None else self.folder / "trials" / str(lease.number)

    def _watch(self) -> None:
        """Report the steps that candidates in other processes have written since the last look."""
        for lease in self.pending.values():
            place = self._place(lease)
            if self.executor is not None and place is not None:
                for step, metrics in engines.read_progress(place, after=lease.steps):
                    lease.steps += 1
                    self._progress(lease, step, metrics)
        if self.folder is not None:
            os.utime(self.folder / LOCK)

    def _progress(self, lease: _Lease, step: int, metrics: Mapping[str, float]) -> None:
        self._emit(lease, "progress", step=step, metrics=metrics)

    def _emit(self, lease: _Lease, kind: str, **details: Any) -> None:
        self.on_event(Event(kind, lease.number, lease.architecture, lease.source, **details))


def _objective_curve(result: Result) -> tuple[float, ...]:
    """The curve of the objective: the one that ends in, or at least reaches, the value; empty if there is none."""
    for curve in result.curve.values():
        if curve and curve[-1] == result.value:
            return curve
    return next((curve for curve in result.curve.values() if result.value in curve), ())


@contextlib.contextmanager
def _coordinator_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, or say who does. The system frees the lock of a process that dies."""
    path = folder / LOCK
    mine = {"pid": os.getpid(), "host": socket.gethostname()}
    with path.open("a+", encoding="utf-8", errors="replace") as file:
        file.seek(0)
        try:
            holder = json.loads(file.read(4096))
        except ValueError:
            holder = {}
        if not isinstance(holder, dict):
            holder = {}
        who = f"process {holder.get('pid')} on {holder.get('host')}"
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StudyLocked(f"{folder} is in use by {who}") from None
        # Some network file systems keep locks to one host; there the age of the last sign of life decides.
        age = _now(folder) - path.stat().st_mtime
        if holder and holder.get("host") != mine["host"] and age < _FOREIGN_LEASE:
            raise StudyLocked(
                f"{folder} was in use by {who} {age:.0f} seconds ago; if that process is gone, try again in a minute"
            )
        try:
            file.truncate(0)
            file.write(json.dumps(mine))
            file.flush()
            yield
        finally:
            # The file stays: removing it would let two processes lock two files of one name.
            file.truncate(0)


def _now(folder: Path) -> float:
    """The time by the folder's file system, which other hosts' files are stamped with."""
    probe = folder / f".{LOCK}.{os.getpid()}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def environment(seed: int | None = None) -> dict[str, Any]:
    """What a result depends on beside its settings: versions, seed, machine and command."""
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "seed": seed,
        "python": platform.python_version(),
        "versions": versions,
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def write_text(path: Path, text: str) -> None:
    """Replace a file as a whole: after a crash it holds the old text or the new, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_toml(settings: Mapping[str, Any]) -> str:
    """Settings as TOML: plain values first, then one table for each mapping; None is left out."""
    lines = [f"{key} = {_toml_value(value)}" for key, value in settings.items() if _is_plain(value)]
    for key, table in settings.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{key}]"]
            lines += [f"{name} = {_toml_value(value)}" for name, value in table.items() if value is not None]
    return "\n".join(lines).lstrip("\n") + "\n"


def _is_plain(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml_value(item)}" for key, item in value.items()) + " }"
    # A JSON string is a TOML string, but for the one control character that JSON leaves as it is.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
