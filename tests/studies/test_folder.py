import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from graphnas import studies
from graphnas.search import RandomCellSampler
from graphnas.spaces import Space
from graphnas.studies import StudyError, StudyLocked
from graphnas.studies.lock import LOCK, coordinator_lock
from tests.studies.conftest import EdgeCount, start


def test_a_second_coordinator_is_refused_and_a_dead_ones_lock_taken_over(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    script = (
        "import fcntl, json, os, sys\n"
        "file = open(sys.argv[1], 'a+'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write(json.dumps({'pid': os.getpid(), 'host': 'localhost'})); file.flush()\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    lock = str(tmp_path / "coordinator.lock")
    with subprocess.Popen(
        [sys.executable, "-c", script, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StudyLocked, match=f"process {other.pid} on localhost"):
            studies.run(study, space, EdgeCount(), n_trials=1)
        other.kill()
    (tmp_path / "coordinator.lock").write_text(json.dumps({"pid": other.pid, "host": socket.gethostname()}))
    studies.run(study, space, EdgeCount(), n_trials=1)
    assert len(study.trials) == 1


def test_what_comes_first_is_there_as_soon_as_the_study_is(tmp_path: Path, space: Space) -> None:
    cells = space.sample(3, np.random.default_rng(1))
    parameters = [space.parameters(cell) for cell in cells]
    config = {"sampler": {"kind": "random", "seed": 0}}
    studies.create(tmp_path, space, EdgeCount(), RandomCellSampler(space, seed=0), first=parameters, config=config)
    for path in tmp_path.glob("study.db*"):  # a creator that died had not come that far
        path.unlink()
    study = studies.resume(tmp_path)
    studies.run(study, space, EdgeCount(), n_trials=4)
    assert [space.hash(studies.architecture(trial)) for trial in study.trials[:3]] == space.hashes(cells)


def test_another_hosts_lock_is_void_when_it_shows_no_sign_of_life(tmp_path: Path, space: Space) -> None:
    study = start(tmp_path, space)
    lock = tmp_path / "coordinator.lock"
    lock.write_text('{"pid": 1, "host": "elsewhere"}')
    with pytest.raises(StudyLocked, match="elsewhere"):
        studies.run(study, space, EdgeCount(), n_trials=1)
    stamp = lock.stat().st_mtime - 120
    os.utime(lock, (stamp, stamp))
    studies.run(study, space, EdgeCount(), n_trials=1)
    assert len(study.trials) == 1


def test_a_busy_coordinator_shows_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphnas.studies.lock._SIGN_OF_LIFE", 0.01)
    with coordinator_lock(tmp_path):
        os.utime(tmp_path / LOCK, (0, 0))
        deadline = time.monotonic() + 30
        while (tmp_path / LOCK).stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / LOCK).stat().st_mtime > 0


@pytest.mark.parametrize("name", ["what?", "50%41", "a#b", "two words"])
def test_a_folder_may_have_any_name_and_be_read_only(
    name: str, tmp_path: Path, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = start(tmp_path / name, space)
    studies.run(study, space, EdgeCount(), n_trials=2)
    storage: Any = study._storage
    storage.remove_session()
    storage._backend.engine.dispose()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    before = sorted(path.name for path in (tmp_path / name).iterdir())
    assert "study.db-wal" not in before
    monkeypatch.setattr("graphnas.studies.database._may_write", lambda path: False)
    assert len(studies.resume(tmp_path / name).trials) == 2
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == before


def test_the_folder_is_known_wherever_the_study_was_opened_and_used(
    tmp_path: Path, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = start(Path("found"), space)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    studies.run(study, space, EdgeCount(), n_trials=1)
    assert studies.folder_of(study) == tmp_path / "found"
    loaded = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path}/found/study.db")
    assert studies.folder_of(loaded) == tmp_path / "found"
    assert studies.folder_of(optuna.create_study()) is None


def test_folders_that_hold_no_search_are_refused_by_name(tmp_path: Path, space: Space) -> None:
    with pytest.raises(StudyError, match=r"config\.toml is missing"):
        studies.resume(tmp_path)
    start(tmp_path, space)
    with pytest.raises(StudyError, match="holds a search already"):
        start(tmp_path, space)
    (tmp_path / "study.db").write_text("no database at all")
    with pytest.raises(StudyError, match=r"study\.db is no SQLite database"):
        studies.resume(tmp_path)
    (tmp_path / "config.toml").write_text("seed = = 1")
    with pytest.raises(StudyError, match=r"config\.toml: .*line 1"):
        studies.resume(tmp_path)


def test_unknown_directions_are_refused_before_anything_is_written(tmp_path: Path, space: Space) -> None:
    sampler = RandomCellSampler(space)
    with pytest.raises(ValueError, match=r"directions out of maximize, minimize, but got \('up',\)"):
        studies.create(tmp_path / "search", space, EdgeCount(), sampler, directions=("up",))
    with pytest.raises(ValueError, match="one objective for each direction"):
        studies.create(tmp_path / "search", space, EdgeCount(), sampler, objectives=("value", "parameters"))
    assert not (tmp_path / "search").exists()


@pytest.mark.slow
def test_of_processes_that_create_a_search_in_one_folder_one_succeeds(tmp_path: Path, space: Space) -> None:
    folder = tmp_path / "search"
    script = (
        "import sys\n"
        "from graphnas import studies\n"
        "from graphnas.search import RandomCellSampler\n"
        "from graphnas.spaces import Space\n"
        "class Judge:\n    name = 'judge'\n"
        "space = Space.load('nasbench101')\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        "try:\n    study = studies.create(sys.argv[1], space, Judge(), RandomCellSampler(space))\n"
        "    study.ask()\n    print('made')\n"
        "except studies.StudyError as error:\n    print('refused')\n"
    )
    creators = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", script, str(folder)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(3)
    ]
    for creator in creators:
        assert creator.stdout is not None
        assert creator.stdout.readline() == "ready\n"
    for creator in creators:
        assert creator.stdin is not None
        creator.stdin.write("go\n")
        creator.stdin.flush()
    answers = [creator.communicate(timeout=60)[0].strip() for creator in creators]
    assert sorted(answers) == ["made", "refused", "refused"]
    assert len(studies.resume(folder, sampler=RandomCellSampler(space)).trials) == 1


def test_a_database_that_was_never_whole_is_made_again(tmp_path: Path, space: Space) -> None:
    start(tmp_path, space)
    (tmp_path / "study.db").rename(tmp_path / ".study.db.123")
    (tmp_path / ".study.db.123-journal").touch()
    study = studies.resume(tmp_path)
    assert not list(tmp_path.glob(".*"))
    studies.run(study, space, EdgeCount(), n_trials=1)
    (tmp_path / "study.db").unlink()
    with pytest.raises(StudyError, match=r"study\.db is missing, but .*trials holds evaluations"):
        studies.resume(tmp_path)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 6] = b"x" * (4096 * 4)
    path.write_bytes(content)


def without_study(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM studies")
    database.close()


def with_wrong_values(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE trial_user_attributes SET value_json = '{'")
    database.close()


def with_a_wrong_architecture(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE trial_user_attributes SET value_json = '\"no cell\"' WHERE key = 'graphnas:architecture'"
        )
    database.close()


def of_something_else(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE songs (name TEXT)")
    database.close()


@pytest.mark.parametrize(
    "damage",
    [truncated, overwritten, without_study, with_wrong_values, with_a_wrong_architecture, of_something_else],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_database_is_named(tmp_path: Path, space: Space, damage: Callable[[Path], None]) -> None:
    study = start(tmp_path, space)
    studies.run(study, space, EdgeCount(), n_trials=2)
    study._storage.remove_session()
    study._storage._backend.engine.dispose()  # type: ignore[attr-defined]
    assert not (tmp_path / "study.db-wal").exists()
    damage(tmp_path / "study.db")
    before = (tmp_path / "study.db").read_bytes()
    with pytest.raises(StudyError, match=r"study\.db .*"):
        studies.resume(tmp_path)
    assert (tmp_path / "study.db").read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"space": 3}, "space: expected a table, but got 3"),
        ({"space": {}}, "space.name: expected text, but it is missing"),
        ({"space": {"name": "chairs"}}, "space: chairs: no such space"),
        (
            {"directions": ["sideways"]},
            r"directions: expected a list out of maximize, minimize, but got \['sideways'\]",
        ),
        ({"objectives": []}, "objectives: expected one name for each direction"),
        ({"sampler": None}, "sampler: expected a table, but it is missing"),
        ({"sampler": {"kind": "foo"}}, "sampler.kind: Expected a sampler out of latent-bo, .*, but got 'foo'"),
        ({"sampler": {"kind": "random", "seed": "x"}}, "sampler.seed: expected a whole number of at least 0"),
        ({"sampler": {"kind": "latent-bo", "encoder": "none"}}, "sampler.encoder: .*none"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, space: Space, wrong: dict[str, Any], message: str) -> None:
    start(tmp_path, space)
    settings = studies.read_config(tmp_path)
    (tmp_path / "config.toml").write_text(studies.to_toml({**settings, **wrong}))
    with pytest.raises(StudyError, match=rf"config\.toml: {message}"):
        studies.resume(tmp_path)


def test_the_folder_keeps_the_file_of_a_space_of_ones_own(tmp_path: Path, space: Space) -> None:
    own = tmp_path / "own.toml"
    own.write_text(space.path.read_text().replace('name = "nasbench101"', 'name = "own"'))
    loaded = Space.load(own)
    config = {"space": {"file": "space.toml"}}
    studies.create(tmp_path / "search", loaded, EdgeCount(), RandomCellSampler(loaded), config=config)
    own.unlink()
    assert studies.load_space(tmp_path / "search").name == "own"


@pytest.mark.parametrize("text", ["[1, 2]", "{", '"x"', "\0" * 9])
def test_a_damaged_lock_has_no_holder(tmp_path: Path, space: Space, text: str) -> None:
    study = start(tmp_path, space)
    (tmp_path / "coordinator.lock").write_text(text)
    studies.run(study, space, EdgeCount(), n_trials=1)
    assert len(study.trials) == 1


def test_settings_survive_toml() -> None:
    settings = {"name": 'a "b"\n\\ é \x7f', "on": True, "table": {"x": 0.5, "n": 3, "list": ["a", 1], "none": None}}
    del settings["table"]["none"]  # type: ignore[attr-defined]
    assert tomllib.loads(studies.to_toml({**settings, "gone": None})) == settings
