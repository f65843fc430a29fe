"""Trials on a database server; SQLite elsewhere stands for one, since to Optuna all of SQLAlchemy's are alike."""

from __future__ import annotations

import shutil
from pathlib import Path

import optuna
import pytest

from graphnas import studies
from graphnas.search import RandomCellSampler
from graphnas.spaces import Space
from graphnas.studies import StudyError, StudyLocked
from graphnas.studies.lock import coordinator_lock
from tests.studies.conftest import EdgeCount


@pytest.fixture
def server(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/server.db"


def begin(folder: Path, space: Space, server: str) -> optuna.Study:
    return studies.create(
        folder,
        space,
        EdgeCount(),
        RandomCellSampler(space, seed=0),
        at_most={"value": 5.0},
        storage=server,
        config={"sampler": {"kind": "random", "seed": 0}},
    )


def test_a_search_goes_on_from_a_server_that_holds_several(tmp_path: Path, space: Space, server: str) -> None:
    first, second = (begin(tmp_path / name / "found", space, server) for name in ("one", "other"))
    studies.run(first, space, EdgeCount(), n_trials=3)
    studies.run(second, space, EdgeCount(), n_trials=2)
    assert studies.folder_of(first) == tmp_path / "one" / "found"
    assert not (tmp_path / "one" / "found" / "study.db").exists()
    names = optuna.get_all_study_names(server)
    assert len(names) == 2
    assert all(name.startswith("found-") for name in names)
    again = studies.resume(tmp_path / "one" / "found")
    studies.run(again, space, EdgeCount(), n_trials=5)
    assert [trial.number for trial in studies.finished(again)] == list(range(5))
    # Whoever watches sees the same trials.
    watched = optuna.load_study(
        study_name=studies.read_config(tmp_path / "one" / "found")["storage"]["study"], storage=server
    )
    assert len(watched.trials) == 5
    with coordinator_lock(tmp_path / "one" / "found"), pytest.raises(StudyLocked):
        studies.run(again, space, EdgeCount(), n_trials=6)


def test_a_study_whose_creator_died_is_made_and_one_that_is_gone_is_missed(
    tmp_path: Path, space: Space, server: str
) -> None:
    folder = tmp_path / "found"
    begin(folder, space, server)
    name = studies.read_config(folder)["storage"]["study"]
    optuna.delete_study(study_name=name, storage=server)
    study = studies.resume(folder)
    studies.run(study, space, EdgeCount(), n_trials=1)
    optuna.delete_study(study_name=name, storage=server)
    with pytest.raises(StudyError, match=rf"study {name} of sqlite:.* is missing, but .*trials holds evaluations"):
        studies.resume(folder)


def test_a_copy_of_a_folder_does_not_go_on_with_its_study(tmp_path: Path, space: Space, server: str) -> None:
    folder, copy = tmp_path / "found", tmp_path / "copy"
    begin(folder, space, server)
    shutil.copytree(folder, copy)
    with pytest.raises(StudyError, match=f"is that of {folder}, of which {copy} is a copy"):
        studies.resume(copy)
    # A folder that was moved does.
    shutil.rmtree(folder)
    assert studies.folder_of(studies.resume(copy)) == copy


def test_a_password_written_into_the_settings_is_refused(tmp_path: Path, space: Space, server: str) -> None:
    begin(tmp_path, space, server)
    text = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(text.replace(server, "postgresql://me:secret@host/searches"))
    with pytest.raises(StudyError, match=r"config\.toml: storage\.url: Expected storage to have no password"):
        studies.resume(tmp_path)


def test_a_server_that_does_not_answer_leaves_nothing_behind(tmp_path: Path, space: Space) -> None:
    with pytest.raises(StudyError, match=r"sqlite:.*nowhere/server\.db: .*unable to open"):
        begin(tmp_path / "found", space, f"sqlite:///{tmp_path}/nowhere/server.db")
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+psycopg://me:secret@host/searches", "no password"),
        ("no url", "the URL of a database"),
        ("postgresql+psycopg://me@host:port/searches", "the URL of a database"),
        ("postgresql+psycopg://me@host/searches?password=secret", "no password"),
        ("sqlite:///server.db", "by its whole path"),
        ("sqlite://", "by its whole path"),
        ("nosuchserver://me@host/searches", "nosuchserver"),
    ],
)
def test_what_is_no_url_or_has_a_password_is_refused(tmp_path: Path, space: Space, url: str, reason: str) -> None:
    with pytest.raises((ValueError, StudyError), match=reason):
        begin(tmp_path / "found", space, url)
    assert not (tmp_path / "found").exists()
