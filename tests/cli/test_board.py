"""What TensorBoard is told of searches and maps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graphnas.cli.main import app

pytest.importorskip("tensorboard")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_trials_are_scalars_and_their_latents_are_projected(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board, out = tmp_path / "board", tmp_path / "found"
    settings = ("--task", "digits", "--images", 60, "--epochs", 1, "--workers", 0, "--device", "cpu")
    found = run("search", "nasbench101", *settings, "--trials", 3, "--out", out, "--tensorboard", board)
    assert found.exit_code == 0, found.stderr
    again = run("search", "--resume", out, "--trials", 4, "--device", "cpu", "--tensorboard", board, "--json")
    assert again.exit_code == 0, again.stderr
    events = EventAccumulator(str(board)).Reload()
    assert [event.step for event in events.Scalars("trials/value")] == [0, 1, 2, 3]
    best = [event.value for event in events.Scalars("best/value")]
    assert best == sorted(best)
    assert best[-1] == pytest.approx(json.loads(again.stdout)["best"][0]["value"])
    assert "metrics/parameters" in events.Tags()["scalars"]
    assert [path.name for path in sorted(board.glob("0*"))] == ["00003", "00004"]
    (metadata,) = board.glob("00004/latent/metadata.tsv")
    lines = metadata.read_text().splitlines()
    assert lines[0].split("\t") == ["trial", "value", "source", "cell"]
    assert len(lines) == 5
    (points,) = board.glob("00004/latent/tensors.tsv")
    assert len(points.read_text().splitlines()[0].split("\t")) == 32

    drawn = run("map", out, "--encoder", "nasbench101", "--out", tmp_path / "map.html", "--tensorboard", tmp_path / "b")
    assert drawn.exit_code == 0, drawn.stderr
    (metadata,) = (tmp_path / "b").glob("00000/latent/metadata.tsv")
    assert metadata.read_text().startswith("origin\tname\tvalue")
