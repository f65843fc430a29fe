"""A search in a folder: an Optuna study in SQLite that is created once and opened as often as one likes."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from graphnas.studies.errors import StudyError
from graphnas.studies.lock import coordinator_lock
from graphnas.studies.records import environment, to_toml, write_text
from graphnas.studies.samplers import rebuild_sampler
from graphnas.studies.settings import BOUNDS, CANDIDATES, CONFIG, DIRECTIONS, check_config, read_config
from graphnas.studies.trials import architecture

if TYPE_CHECKING:
    from graphnas.cell import Architecture
    from graphnas.evaluate.protocol import Evaluator
    from graphnas.spaces import HyperparameterSpace, Space


DATABASE = "study.db"

ENVIRONMENT = "environment.json"

_STUDY = "search"


def create(
    folder: str | Path,
    space: Space,
    evaluator: Evaluator,
    sampler: BaseSampler,
    *,
    directions: Sequence[str] = ("maximize",),
    objectives: Sequence[str] = ("value",),
    at_most: Mapping[str, float] | None = None,
    at_least: Mapping[str, float] | None = None,
    hyperparameters: HyperparameterSpace | None = None,
    candidates: Sequence[Architecture] | None = None,
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
        at_most: Upper bounds on `"value"` or metrics by name. Trials beyond one count as infeasible: samplers that heed
            constraints avoid them, and they are never among the best.
        at_least: Lower bounds.
        hyperparameters: What is searched beside architectures; `run` needs them too.
        candidates: What the sampler is restricted to, if it is.
        config: Settings for `config.toml`, beside the names of the parts. `resume` rebuilds the sampler from a table
            `sampler` with `kind` (a word of `split_sampler`), `seed` and, where it needs one, `encoder`.

            A `file` in a table `space` is the name under which the folder keeps a copy of the space's own file.

    Of several processes that create a search in one folder at the same moment, one succeeds.

    Raises:
        ValueError: if a direction is unknown, or objectives and directions differ in number.
        StudyError: if the folder holds a search, or another process makes one there.
    """
    if not directions or any(direction not in DIRECTIONS for direction in directions):
        raise ValueError(f"Expected directions out of {', '.join(DIRECTIONS)}, but got {directions!r}")
    if len(directions) != len(objectives):
        raise ValueError(f"Expected one objective for each direction, but got {directions!r} and {objectives!r}")
    folder = Path(folder)
    settings: dict[str, Any] = {
        "directions": list(directions),
        "objectives": list(objectives),
        "at_most": dict(at_most or {}) or None,
        "at_least": dict(at_least or {}) or None,
        "space": {"name": space.name},
        "sampler": {"class": type(sampler).__name__},
        "evaluator": {"name": evaluator.name},
        "joint": None if hyperparameters is None else hyperparameters.table(),
    }
    for key, value in (config or {}).items():
        settings[key] = {**settings[key], **value} if isinstance(settings.get(key), dict) else value
    check_config(folder, settings)
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_search(folder)
    with coordinator_lock(folder):
        _refuse_search(folder)
        _remove_parts(folder)
        file = settings["space"].get("file")
        if file is not None:
            write_text(folder / file, space.path.read_text(encoding="utf-8"))
        if candidates is not None:
            listed = [json.loads(one.to_json()) for one in candidates]
            write_text(folder / CANDIDATES, json.dumps(listed) + "\n")
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
        sampler = rebuild_sampler(folder, settings)
    path = folder / DATABASE
    if not path.exists():
        # Its creator died before it was made. Where candidates were evaluated there has been one.
        with coordinator_lock(folder):
            if not path.exists():
                if any((folder / "trials").glob("*")):
                    raise StudyError(
                        f"{path} is missing, but {folder / 'trials'} holds evaluations: bring {DATABASE} back, or "
                        "search anew in another folder"
                    )
                _remove_parts(folder)
                _make_database(folder, settings)
    return _open(folder, settings, sampler)


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
        for name, value in _study_attributes(settings).items():
            made.set_study_user_attr(number, name, value)
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
        raise StudyError(f"{path} cannot be read: {reason_of(error)}") from error
    attributes = _study_attributes(settings)
    for side in BOUNDS:
        before = study.user_attrs.get(f"graphnas:{side}", {})
        if before != attributes[f"graphnas:{side}"]:
            # Finished trials were judged by these.
            raise StudyError(
                f"{folder / CONFIG}: {side}: expected {before}, with which the search began, but got "
                f"{attributes[f'graphnas:{side}']}"
            )
    for name, value in attributes.items():
        if study.user_attrs.get(name) != value:
            study.set_user_attr(name, value)
    return study


def _study_attributes(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the coordinator reads of the settings."""
    bounds = {f"graphnas:{side}": dict(settings.get(side) or {}) for side in BOUNDS}
    return {"graphnas:objectives": list(settings.get("objectives", ["value"])), **bounds}


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


def reason_of(error: BaseException) -> str:
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


def folder_of(study: optuna.Study) -> Path | None:
    """The folder of a study that `create` or `resume` opened; None for any other study."""
    storage = study._storage
    url = getattr(getattr(storage, "_backend", storage), "url", "")
    path = Path(str(url).removeprefix("sqlite:///"))
    return path.parent if path.name == DATABASE and (path.parent / CONFIG).exists() else None
