"""One coordinator at a time: the lock of a search's folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from graphnas.studies.errors import StudyLocked

LOCK = "coordinator.lock"

_FOREIGN_LEASE = 60.0  # seconds without a sign of life after which another host's lock is void
_SIGN_OF_LIFE = 10.0  # seconds between two


@contextlib.contextmanager
def coordinator_lock(folder: Path) -> Iterator[None]:
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
        over = threading.Event()
        # A thread of its own, since the coordinator may be busy with a candidate for hours.
        alive = threading.Thread(target=_give_signs, args=(path, over), daemon=True)
        try:
            file.truncate(0)
            file.write(json.dumps(mine))
            file.flush()
            alive.start()
            yield
        finally:
            over.set()
            # The file stays: removing it would let two processes lock two files of one name.
            file.truncate(0)


def _give_signs(path: Path, over: threading.Event) -> None:
    while not over.wait(_SIGN_OF_LIFE):
        with contextlib.suppress(OSError):
            os.utime(path)


def _now(folder: Path) -> float:
    """The time by the folder's file system, which other hosts' files are stamped with."""
    probe = folder / f".{LOCK}.{os.getpid()}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()
