"""A search in a folder: an Optuna study that is created once and opened as often as one likes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.samplers import BaseSampler

from graphnas.studies.database import (
    DATABASE,
    FolderDatabase,
    SearchStorage,
    ServerDatabase,
    database_of,
    reason_of,
    server_settings,
)
from graphnas.studies.errors import StudyError
from graphnas.studies.lock import coordinator_lock
from graphnas.studies.records import environment, to_toml, write_text
from graphnas.studies.samplers import rebuild_sampler
from graphnas.studies.settings import BOUNDS, CANDIDATES, CONFIG, DIRECTIONS, FIRST, check_config, read_config
from graphnas.studies.trials import architecture

if TYPE_CHECKING:
    from graphnas.cell import Architecture
    from graphnas.evaluate.protocol import Evaluator
    from graphnas.spaces import HyperparameterSpace, Space


ENVIRONMENT = "environment.json"


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
    first: Sequence[Mapping[str, Any]] = (),
    storage: str | None = None,
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
        first: Parameters of the trials that come first, as `Study.enqueue_trial` takes them.
        storage: URL of a database server that keeps the trials, without a password, such as
            `postgresql+psycopg://me@host/searches`; an SQLite file in the folder if None.
        config: Settings for `config.toml`, beside the names of the parts. `resume` rebuilds the sampler from a table
            `sampler` with `kind` (a word of `split_sampler`), `seed` and, where it needs one, `encoder`.

            A `file` in a table `space` is the name under which the folder keeps a copy of the space's own file.

    Of several processes that create a search in one folder at the same moment, one succeeds.

    Raises:
        ValueError: if a direction is unknown, objectives and directions differ in number, or the URL has a password.
        StudyError: if the folder holds a search, another process makes one there, or the server does not answer.
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
        "storage": None if storage is None else server_settings(folder, storage),
    }
    for key, value in (config or {}).items():
        settings[key] = {**settings[key], **value} if isinstance(settings.get(key), dict) else value
    check_config(folder, settings)
    database = database_of(folder, settings)
    _refuse_search(folder)
    if storage is not None:
        database.exists()  # a server that does not answer leaves no folder behind
    folder.mkdir(parents=True, exist_ok=True)
    with coordinator_lock(folder):
        _refuse_search(folder)
        _remove_parts(folder)
        file = settings["space"].get("file")
        if file is not None:
            write_text(folder / file, space.path.read_text(encoding="utf-8"))
        if candidates is not None:
            listed = [json.loads(one.to_json()) for one in candidates]
            write_text(folder / CANDIDATES, json.dumps(listed) + "\n")
        if first:
            write_text(folder / FIRST, json.dumps([dict(one) for one in first]) + "\n")
        write_text(folder / ENVIRONMENT, json.dumps(environment(settings["sampler"].get("seed")), indent=2) + "\n")
        write_text(folder / CONFIG, to_toml(settings))
        _make(folder, database, settings)
    return _open(folder, database, settings, sampler)


def _make(folder: Path, database: FolderDatabase | ServerDatabase, settings: Mapping[str, Any]) -> None:
    """Make the study with the trials that come first."""
    first = folder / FIRST
    enqueued = json.loads(first.read_text(encoding="utf-8")) if first.exists() else []
    database.make(settings["directions"], _study_attributes(settings), enqueued)


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
    database = database_of(folder, settings)
    if not database.exists():
        # Its creator died before it was made. Where candidates were evaluated there has been one.
        with coordinator_lock(folder):
            if not database.exists():
                if any((folder / "trials").glob("*")):
                    raise StudyError(
                        f"{database} is missing, but {folder / 'trials'} holds evaluations: bring it back, or search "
                        "anew in another folder"
                    )
                _remove_parts(folder)
                _make(folder, database, settings)
    return _open(folder, database, settings, sampler)


def _remove_parts(folder: Path) -> None:
    """Remove files that processes which died have begun; under the folder's lock."""
    for name in (DATABASE, CONFIG, ENVIRONMENT):
        for part in folder.glob(f".{name}.*"):
            part.unlink(missing_ok=True)


def _open(
    folder: Path, database: FolderDatabase | ServerDatabase, settings: Mapping[str, Any], sampler: BaseSampler
) -> optuna.Study:
    try:
        study = database.open(sampler)
        for trial in study.get_trials(deepcopy=False):
            if "graphnas:architecture" in trial.user_attrs:
                architecture(trial)
    except StudyError:
        raise
    except Exception as error:  # what a damaged row makes SQLite, SQLAlchemy, Optuna and JSON raise has no end
        raise StudyError(f"{database} cannot be read: {reason_of(error)}") from error
    attributes = _study_attributes(settings)
    for side in BOUNDS:
        # Only a creator that died leaves a study without bounds, and then without trials.
        before = study.user_attrs.get(f"graphnas:{side}", {} if study.get_trials(deepcopy=False) else None)
        if before is not None and before != attributes[f"graphnas:{side}"]:
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


def folder_of(study: optuna.Study) -> Path | None:
    """The folder of a study that `create` or `resume` opened, or whose `study.db` is in one; None for any other."""
    storage = getattr(study._storage, "_backend", study._storage)
    if isinstance(storage, SearchStorage):
        return storage.folder
    path = Path(str(getattr(storage, "url", "")).removeprefix("sqlite:///"))
    return path.parent if path.name == DATABASE and (path.parent / CONFIG).exists() else None
