"""Searches that are killed without warning, and resumed."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from graphnas import studies

TRIALS = 40
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def search(*arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "graphnas", "search", *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_search(space: Path, table: Path, folder: Path, workers: int) -> tuple[object, ...]:
    settings = ("--objective", f"table:{table}", "--sampler", "evolution", "--seed", 4)
    return (space, *settings, "--trials", TRIALS, "--workers", workers, "--out", folder)


def finished(folder: Path) -> dict[int, tuple[str, float | None]]:
    """Architecture and value of the trials that count, by number."""
    if not (folder / "study.db").exists():
        return {}
    study = load(folder)
    return {
        trial.number: (trial.user_attrs["graphnas:architecture"], trial.values[0] if trial.values else None)
        for trial in studies.finished(study)
    }


def load(folder: Path) -> optuna.Study:
    storage = f"sqlite:///{folder / 'study.db'}"
    return optuna.load_study(study_name="search", storage=storage)


def count(folder: Path) -> int:
    """Number of finished trials, read while the search writes."""
    if not (folder / "study.db").exists():
        return 0
    with contextlib.closing(sqlite3.connect(folder / "study.db", timeout=30)) as database:
        (number,) = database.execute("SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'FAIL')").fetchone()
    return int(number)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_search_killed_at_ten_random_points_loses_and_repeats_nothing(
    small_space: Path, small_table: Path, tmp_path: Path, workers: int
) -> None:
    folder = tmp_path / "search"
    draw = random.Random(workers)
    kills = 0
    for attempt in range(60):
        before = finished(folder)
        resumable = (folder / "config.toml").exists()
        arguments = ("--resume", folder) if resumable else first_search(small_space, small_table, folder, workers)
        process = search(*arguments)
        try:
            start = count(folder)
            if kills < 10:
                # Killed before, at or after the next few trials; starting up takes most of the time.
                wanted, limit = draw.randrange(4), time.monotonic() + 60
                while time.monotonic() < limit and process.poll() is None:
                    if wanted == 0 and (folder / "config.toml").exists():
                        time.sleep(draw.random() * 3)
                        break
                    if wanted and count(folder) >= start + wanted:
                        time.sleep(draw.random() * 0.3)
                        break
                    time.sleep(0.02)
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
            _, errors = process.communicate(timeout=300)
        finally:
            process.kill()
            process.wait()
        after = finished(folder)
        note = f"workers {workers}, attempt {attempt}, kills {kills}: {errors}"
        assert {number: after.get(number) for number in before} == before, note
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, note
    assert process.returncode == 0
    assert kills == 10
    assert len(after) == TRIALS
    study = load(folder)
    trials = studies.finished(study)
    hashes = [trial.user_attrs["graphnas:hash"] for trial in trials]
    assert len(set(hashes)) == TRIALS
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    assert not study.get_trials(states=(TrialState.RUNNING,))
    assert (folder / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_with_130_and_says_how_to_go_on(
    small_space: Path, small_table: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "search"
    process = search(*first_search(small_space, small_table, folder, 2))
    deadline = time.monotonic() + 120
    while count(folder) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == f"graphnas: interrupted; graphnas search --resume {folder} goes on"
    again = search("--resume", folder)
    output, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert f"of {TRIALS} trials" in output
