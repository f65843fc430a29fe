from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from graphnas.cli.main import app
from graphnas.spaces import Space
from graphnas.surrogates import Archive

SPACE = Space.load("nasbench201")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("surrogate") / "trainings.parquet"
    cells = SPACE.sample(60, np.random.default_rng(0))
    convolutions = [sum(op.startswith("nor_conv") for op in cell.cells[0].ops) for cell in cells]
    Archive.of(SPACE, cells, 0.6 + 0.05 * np.array(convolutions), samplers=["random"] * 30 + ["tpe"] * 30).write(path)
    return path


@pytest.fixture(scope="module")
def folder(trainings: Path) -> Path:
    path = trainings.parent / "mine"
    result = run("surrogate", "fit", trainings, "--space", "nasbench201", "--members", 2, "--out", path)
    assert result.exit_code == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "Trainings held out" in text
    assert "Trainings of a sampler, after a fit to those of the others" in text
    about = json.loads((path / "surrogate.json").read_text())["about"]
    assert set(about["left_out"]) == {"random", "tpe"}
    assert about["archive"]["trainings"] == 60
    return path


def test_it_is_asked_and_measured(folder: Path, trainings: Path, tmp_path: Path) -> None:
    file = tmp_path / "cells.txt"
    file.write_text(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|\n"
        "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|\n"
    )
    result = run("surrogate", "query", folder, file, "--json")
    assert result.exit_code == 0, result.stderr
    rich, poor = json.loads(result.stdout)
    assert rich["value"] > poor["value"] + 0.1
    assert rich["seconds"] is None
    assert isinstance(rich["familiar"], bool)
    assert "deviation of members" in run("surrogate", "query", folder, file).stdout
    measured = json.loads(run("surrogate", "evaluate", folder, trainings, "--share", 0.5, "--json").stdout)
    assert measured["all"]["trainings"] == 30
    whole = run("surrogate", "evaluate", folder, trainings)
    assert "was fitted to these trainings" in whole.stderr
    assert measured["all"]["spearman"] > 0.8


def test_a_search_asks_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "search"
    command = ("search", "nasbench201", "--objective", f"surrogate:{folder}", "--sampler", "evolution", "--trials", 5)
    result = run(*command, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    assert 0.5 < json.loads(result.stdout)["best"][0]["value"] < 1
    noisy = run(
        *command[:2], "--objective", f"surrogate:{folder}:noisy", *command[4:], "--out", tmp_path / "n", "--json"
    )
    assert noisy.exit_code == 0, noisy.stderr
    best, exact = (json.loads(one.stdout)["best"][0] for one in (noisy, result))
    assert best["value"] != exact["value"]
    # Values of different kinds are not put together.
    other = run("search", "nasbench201", "--objective", "proxy:macs", "--trials", 3, "--sampler", "random", "--workers",
                0, "--out", tmp_path / "macs")  # fmt: skip
    assert other.exit_code == 0, other.stderr
    mixed = run("surrogate", "fit", out, tmp_path / "macs", "--out", tmp_path / "mixed")
    assert mixed.exit_code == 3
    assert "expected values of one kind, but those of" in mixed.stderr
    # What two searches found is put together, and settings are tried first.
    more = run(*command[:4], "--sampler", "random", "--trials", 30, "--workers", 0, "--out", tmp_path / "more")
    assert more.exit_code == 0, more.stderr
    joined = run(
        "surrogate", "fit", out, tmp_path / "more", "--members", 2, "--tune", 1, "--out", tmp_path / "joined", "--json"
    )
    assert joined.exit_code == 0, joined.stderr
    about = json.loads((tmp_path / "joined" / "surrogate.json").read_text())["about"]
    assert 30 < about["archive"]["trainings"] <= 35
    assert set(about["archive"]["samplers"]) <= {"evolution", "random"}
    # And what it found can be learned from.
    again = run("surrogate", "evaluate", folder, out, "--json")
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["all"]["spearman"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("fit", "FILE", "--out", "OUT"), 2, "--space says of which space the trainings are"),
        (
            ("fit", "FILE", "--space", "nasbench201", "--model", "svm", "--out", "OUT"),
            2,
            "expected one of xgb, lgb, gin, gnn",
        ),
        (("fit", "FILE", "--space", "nasbench201", "--share", 0.1, "--out", "OUT"), 3, "expected 30 or more trainings"),
        (("fit", "none.parquet", "--space", "nasbench201", "--out", "OUT"), 3, "none.parquet: there is no such file"),
        (("query", "none", "FILE"), 3, "neither a folder with a surrogate.json nor a surrogate that is known"),
    ],
)
def test_wrong_usage_is_refused(
    arguments: tuple[object, ...], code: int, message: str, trainings: Path, tmp_path: Path
) -> None:
    places = {"FILE": trainings, "OUT": tmp_path / "out"}
    result = run("surrogate", *(places.get(str(one), one) for one in arguments))
    assert result.exit_code == code
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_objectives_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("darts", "--objective", f"surrogate:{folder}"), "is of nasbench201, not of darts"),
        (("nasbench201", "--objective", f"surrogate:{folder}", "--epochs", 3), "a surrogate knows whole trainings"),
        (("nasbench201", "--objective", "surrogate:"), "expected table, table:FILE, surrogate:NAME or proxy:NAME"),
        (("nasbench201", "--objective", "proxy:flow"), "'flow' is no proxy; known: fisher"),
        (("nasbench201", "--objective", "proxy:snip", "--epochs", 3), "a proxy trains nothing"),
    ):
        result = run("search", *arguments, "--out", tmp_path / "none")
        assert result.exit_code == 2, arguments
        assert message in " ".join(result.stderr.replace("│", " ").split())
