"""Where the trials of a search are kept: SQLite in its folder, or a study on a database server."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from graphnas.studies.errors import StudyError
from graphnas.studies.lock import LOCK

DATABASE = "study.db"

_STUDY = "search"

_OWNER = "graphnas:folder"  # attribute of a study on a server: the folder of its search


class SearchStorage(RDBStorage):
    """A storage that knows the folder of its search, and whose trials share what is the same in all of them."""

    def __init__(self, folder: Path, url: str | URL, **settings: Any) -> None:
        super().__init__(_text_of(url), engine_kwargs=settings)
        self.folder = folder.absolute()
        self._distributions: dict[tuple[tuple[str, BaseDistribution], ...], dict[str, BaseDistribution]] = {}

    def _get_trials(self, *args: Any, **kwargs: Any) -> list[FrozenTrial]:
        """Trials that share names and distributions, of which each has some thirty and every row new ones."""
        trials = super()._get_trials(*args, **kwargs)
        for trial in trials:
            key = tuple(trial.distributions.items())
            trial.distributions = self._distributions.setdefault(key, trial.distributions)
            trial.params, trial.user_attrs = _interned(trial.params), _interned(trial.user_attrs)
        return trials


def _interned(value: Any) -> Any:
    """The same, with one object for each name of a mapping."""
    return {sys.intern(k): _interned(v) for k, v in value.items()} if isinstance(value, dict) else value


class FolderDatabase:
    """One study in an SQLite file of the search's folder, with a write-ahead log, so that readers stop nobody.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / DATABASE

    def __str__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        """Whether the study was made."""
        return self.path.exists()

    def make(
        self, directions: Sequence[str], attributes: Mapping[str, Any], enqueued: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Make the study with parameters of trials that come first; under the folder's lock."""
        # SQLite would play the log of a database that is gone into the new one.
        for suffix in ("-wal", "-shm", "-journal"):
            self.path.with_name(DATABASE + suffix).unlink(missing_ok=True)
        # Made under another name, so that there is no moment at which the database exists and is not whole.
        part = self.path.with_name(f".{DATABASE}.{os.getpid()}")
        try:
            made = RDBStorage(_text_of(_sqlite(part)))
            _make_study(made, _STUDY, directions, attributes, enqueued)
            made.engine.dispose()
            part.replace(self.path)
        finally:
            part.unlink(missing_ok=True)

    def open(self, sampler: BaseSampler) -> optuna.Study:
        """The study.

        Raises:
            StudyError: if the file is damaged or holds no search.
            Exception: whatever a damaged row makes SQLite, SQLAlchemy and Optuna raise.
        """
        self._check()
        storage = SearchStorage(
            self.folder,
            _sqlite(self.path, self._mode),
            # Readers may hold the database for a moment; the coordinator waits for them.
            connect_args={"timeout": 60, "factory": _Connection},
        )
        return optuna.load_study(study_name=_STUDY, storage=storage, sampler=sampler)

    @property
    def _mode(self) -> dict[str, str]:
        """How SQLite opens the file; where nothing may be written, it can only be read."""
        if _may_write(self.folder) and _may_write(self.path):
            return {"mode": "rw"}
        # A log that is there is needed. Without one nobody writes, and SQLite would make one to read by.
        return {"mode": "ro"} if self.path.with_name(f"{DATABASE}-wal").exists() else {"immutable": "1"}

    def _check(self) -> None:
        """Refuse a file that is no whole database of a search, before anything is written to it."""
        with self.path.open("rb") as file:
            if file.read(16) != b"SQLite format 3\0":
                raise StudyError(f"{self} is no SQLite database")
        location = f"{self.path.absolute().as_uri()}?{urlencode(self._mode)}"
        with contextlib.closing(sqlite3.connect(location, timeout=60, uri=True)) as database:
            ((verdict,), *_) = database.execute("PRAGMA quick_check(1)")
            if verdict != "ok":
                raise StudyError(f"{self} is damaged: {' '.join(verdict.split())}")
            if (_STUDY,) not in database.execute("SELECT study_name FROM studies").fetchall():
                raise StudyError(f"{self} holds no study named {_STUDY!r}")


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK)


def _sqlite(path: Path, mode: Mapping[str, str] | None = None) -> URL:
    """The URL of a file, whatever characters its name has."""
    if mode is None:
        return URL.create("sqlite", database=str(path.absolute()))
    return URL.create("sqlite", database=path.absolute().as_uri(), query={**mode, "uri": "true"})


def _text_of(url: str | URL) -> str:
    return url if isinstance(url, str) else url.render_as_string(hide_password=False)


class ServerDatabase:
    """One of the studies on a database server, such as PostgreSQL, that other machines may look at.

    Args:
        folder: The folder of the search.
        url: As SQLAlchemy writes it.
        study: Name of the study.
    """

    def __init__(self, folder: Path, url: str, study: str) -> None:
        self.folder, self.url, self.study = folder, url, study

    def __str__(self) -> str:
        return f"study {self.study} of {self.url}"

    def exists(self) -> bool:
        """Whether the study was made.

        Raises:
            StudyError: if the server does not answer.
        """
        with self._answering():
            names = optuna.get_all_study_names(self._storage)
        return self.study in names

    def make(
        self, directions: Sequence[str], attributes: Mapping[str, Any], enqueued: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Make the study with parameters of trials that come first.

        Raises:
            StudyError: if the server does not answer, or has a study of that name.
        """
        with self._answering():
            _make_study(self._storage, self.study, directions, attributes, enqueued)

    def open(self, sampler: BaseSampler) -> optuna.Study:
        """The study.

        Raises:
            StudyError: if the server does not answer, has no such study, or has it as that of another folder.
        """
        with self._answering():
            storage = self._storage
        try:
            study = optuna.load_study(study_name=self.study, storage=storage, sampler=sampler)
        except KeyError:
            raise StudyError(f"{self.url} holds no study named {self.study!r}") from None
        # The lock of a folder does not keep its copies from the same study.
        mine = str(self.folder.absolute())
        owner = study.user_attrs.get(_OWNER)
        if owner not in (None, mine) and Path(owner, LOCK).exists():
            raise StudyError(f"{self} is that of {owner}, of which {mine} is a copy: resume that one, or remove it")
        if owner != mine:
            study.set_user_attr(_OWNER, mine)
        return study

    @functools.cached_property
    def _storage(self) -> SearchStorage:
        # A connection that the server closed meanwhile is opened anew.
        return SearchStorage(self.folder, self.url, pool_pre_ping=True)

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            hint = " (pip install 'graphnas[postgres]')" if self.url.startswith("postgresql") else ""
            raise StudyError(f"{self.url}: {' '.join(str(error).split())}{hint}") from None
        except Exception as error:  # drivers have errors of their own
            raise StudyError(f"{self.url}: {reason_of(error)}") from error


def check_server(url: str) -> None:
    """Refuse what cannot be kept as the URL of a database server.

    Raises:
        ValueError: if it is none, depends on the working directory, or has a password, which would be written to the
            folder of the search.
    """
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        example = "postgresql+psycopg://me@host/searches"
        raise ValueError(f"Expected storage to be the URL of a database, such as {example}, but got {url!r}") from None
    if parts.get_backend_name() == "sqlite" and not Path(parts.database or "").is_absolute():
        raise ValueError(f"Expected storage to name a file of SQLite by its whole path, but got {url!r}")
    if parts.password is not None or any("password" in name for name in parts.query):
        raise ValueError(
            "Expected storage to have no password, which the folder would show: PostgreSQL reads it from PGPASSWORD or "
            "~/.pgpass"
        )


def server_settings(folder: Path, url: str) -> dict[str, str]:
    """What `config.toml` keeps of a database server: its URL, and a name for the study that no other search has.

    Raises:
        ValueError: as `check_server`.
    """
    check_server(url)
    return {"url": url, "study": f"{folder.absolute().name}-{uuid4().hex[:8]}"}


def database_of(folder: Path, settings: Mapping[str, Any]) -> FolderDatabase | ServerDatabase:
    """Where the search of a folder keeps its trials, by its settings."""
    server = settings.get("storage")
    return FolderDatabase(folder) if server is None else ServerDatabase(folder, server["url"], server["study"])


def reason_of(error: BaseException) -> str:
    """What lies behind an error of the storage, in one line."""
    # Optuna wraps an error of SQLAlchemy, which wraps one of the driver.
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    error = getattr(error, "orig", None) or error
    text = " ".join(str(error).split())
    return text if isinstance(error, sqlite3.Error) else f"{type(error).__name__}: {text}"


def _make_study(
    storage: RDBStorage,
    name: str,
    directions: Sequence[str],
    attributes: Mapping[str, Any],
    enqueued: Sequence[dict[str, Any]],
) -> None:
    number = storage.create_new_study([StudyDirection[direction.upper()] for direction in directions], name)
    for key, value in attributes.items():
        storage.set_study_user_attr(number, key, value)
    study = optuna.load_study(study_name=name, storage=storage)
    for parameters in enqueued:
        study.enqueue_trial(parameters)


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
