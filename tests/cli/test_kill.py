"""Searches that are killed without warning, stopped or damaged, and resumed."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner, Result

from graphnas import studies
from graphnas.cli.main import app
from graphnas.spaces import Space

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def search(*arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "graphnas", "search", *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: object) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, ["search", *map(str, arguments)])


def first_search(space: Path, table: Path, folder: Path, workers: int, trials: int) -> tuple[object, ...]:
    settings = ("--objective", f"table:{table}", "--sampler", "evolution", "--seed", 4)
    return (space, *settings, "--trials", trials, "--workers", workers, "--out", folder)


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
        # More trials than the ten kills leave time for, then a few more than there are.
        trials = 2000 if kills < 10 else len(before) + 5
        if (folder / "config.toml").exists():
            process = search("--resume", folder, "--trials", trials)
        else:
            process = search(*first_search(small_space, small_table, folder, workers, trials))
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
    assert len(after) == trials
    study = load(folder)
    done = studies.finished(study)
    hashes = [trial.user_attrs["graphnas:hash"] for trial in done]
    assert len(set(hashes)) == trials
    assert all(trial.state == TrialState.COMPLETE for trial in done)
    assert not study.get_trials(states=(TrialState.RUNNING,))
    assert (folder / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_with_130_and_says_how_to_go_on(
    small_space: Path, small_table: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "search"
    process = search(*first_search(small_space, small_table, folder, 2, 2000))
    deadline = time.monotonic() + 120
    while count(folder) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    before = count(folder)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, f"{before} trials before, {count(folder)} after: {output}{errors}"
    assert errors.splitlines()[-1] == f"graphnas: interrupted; graphnas search --resume {folder} goes on"
    trials = count(folder) + 5
    again = search("--resume", folder, "--trials", trials)
    output, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert f"of {trials} trials" in output


def checkpoints(folder: Path) -> dict[Path, int]:
    """Times of the last steps of all trainings in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/checkpoint.safetensors")}


def is_at_work(pid: int, folder: Path) -> bool:
    """Whether a process holds the folder's lock and has started candidates there, now or earlier."""
    return (folder / "trials").exists() and f'"pid": {pid},' in (folder / "coordinator.lock").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_trainings_outlive_kills_of_their_search(small_space: Path, tmp_path: Path, workers: int) -> None:
    folder = tmp_path / "search"
    settings = ("--task", "digits", "--sampler", "random", "--epochs", 30, "--workers", workers)
    arguments: tuple[object, ...] = (small_space, *settings, "--trials", 2, "--out", folder)
    for _ in range(4):
        process = search(*arguments)
        try:
            before, deadline = checkpoints(folder), time.monotonic() + 120
            # Without workers after a new step; with workers as soon as they have candidates, before any step.
            while process.poll() is None and time.monotonic() < deadline:
                if is_at_work(process.pid, folder) if workers else checkpoints(folder) != before:
                    break
                time.sleep(0.01)
            time.sleep(0.4)
        finally:
            process.kill()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, errors
        arguments = ("--resume", folder)
    process = search(*arguments)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert [trial.state for trial in load(folder).trials] == [TrialState.COMPLETE] * 2


def test_a_search_that_stops_at_failures_leaves_a_report_and_says_how_to_go_on(
    small_space: Path, small_table: Path, tmp_path: Path
) -> None:
    with np.load(small_table) as table:
        np.savez(tmp_path / "few.npz", **{name: column[:20] for name, column in table.items()})
    folder = tmp_path / "search"
    settings = ("--objective", f"table:{tmp_path / 'few.npz'}", "--sampler", "random", "--workers", 0)
    result = run(small_space, *settings, "--out", folder)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "10 of 10 candidates failed" in result.stderr
    assert f"see {folder / 'report.html'}; graphnas search --resume {folder} goes on" in result.stderr
    assert (folder / "report.html").is_file()


def test_a_damaged_checkpoint_of_the_best_cell_is_set_aside(small_space: Path, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    settings = ("--task", "digits", "--sampler", "random", "--epochs", 1, "--workers", 0, "--trials", 2)
    before = json.loads(run(small_space, *settings, "--out", folder, "--json").stdout)
    path = folder / "trials" / str(before["best"][0]["trial"]) / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    (folder / "report.html").unlink()
    result = run("--resume", folder, "--json")
    assert result.exit_code == 0, result.stderr
    assert f"{path} to checkpoint.safetensors.damaged" in result.stderr
    assert json.loads(result.stdout) == before
    assert path.with_name("checkpoint.safetensors.damaged").stat().st_size == 1000
    assert (folder / "report.html").is_file()


def test_a_folder_without_settings_of_this_command_is_bad_data(
    small_space: Path, small_table: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "search"
    settings = ("--objective", f"table:{small_table}", "--sampler", "random", "--workers", 0, "--trials", 1)
    assert run(small_space, *settings, "--out", folder).exit_code == 0
    path = folder / "config.toml"
    whole = path.read_text()
    for old, new, message in (
        ("[search]", "[find]", "search.trials: expected a whole number of at least 1, but it is missing"),
        ("trials = 1", 'trials = "many"', "search.trials: expected a whole number of at least 1, but got 'many'"),
        ("workers = 0", "workers = -1", "search.workers: expected a whole number of at least 0, but got -1"),
        ("[search]", '[search]\nengine = "steam"', "search.engine: expected local, ray, but got 'steam'"),
        ("[search]", '[search]\nfidelity = "halving"', "search.fidelity: Expected two or more budgets"),
        ('objective = "table', 'objective = "chair', "evaluator: Expected an objective"),
        ('metric = "test', 'metric = "taste', "evaluator: 'taste_acc_run0' is no metric"),
    ):
        assert old in whole
        path.write_text(whole.replace(old, new))
        result = run("--resume", folder)
        assert result.exit_code == 3
        assert result.stderr.startswith(f"graphnas: {path}: {message}")
        assert result.stderr.count("\n") == 1


def test_equal_architectures_are_enqueued_once(small_space: Path, small_table: Path, tmp_path: Path) -> None:
    first, second = Space.load(small_space).sample(2, np.random.default_rng(5))
    (tmp_path / "first.json").write_text("\n".join(one.to_json() for one in (first, second, first)))
    settings = ("--objective", f"table:{small_table}", "--sampler", "random", "--workers", 0, "--trials", 3)
    result = run(small_space, *settings, "--out", tmp_path / "search", "--init", tmp_path / "first.json", "--json")
    assert json.loads(result.stdout)["sources"] == {"enqueued": 2, "random": 1}
    assert "first.json: 1 of 3 architectures repeat another" in result.stderr


def test_folders_of_results_are_never_shared(
    small_space: Path, small_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ("--objective", f"table:{small_table}", "--sampler", "random", "--workers", 0, "--trials", 1, "--json")
    folders = [json.loads(run(small_space, *settings).stdout)["folder"] for _ in range(3)]
    assert [folder.removeprefix(folders[0]) for folder in folders] == ["", "-2", "-3"]


def test_a_seed_that_no_generator_takes_is_wrong_usage() -> None:
    assert run("nasbench101", "--seed", 2**31).exit_code == 2
