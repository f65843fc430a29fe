from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from graphnas.cli.main import app
from graphnas.spaces import Space

SPACE = Space.load("nasbench201")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cells.json"
    cells = SPACE.sample(3, np.random.default_rng(0))
    path.write_text(json.dumps([json.loads(one.to_json()) for one in cells]))
    return path


def test_neighbours_are_near(file: Path) -> None:
    command = ("analyse", "neighbours", file, "--encoder", "nasbench201", "--among", file, "--count", 2)
    result = run(*command, "--json")
    assert result.exit_code == 0, result.stderr
    for number, one in enumerate(json.loads(result.stdout)):
        nearest, second = one["neighbours"]
        assert nearest["row"] == number
        assert nearest["distance"] == pytest.approx(0, abs=1e-6)
        assert second["distance"] > 0
    assert "distance" in run(*command).stdout


def test_the_way_between_two(file: Path) -> None:
    result = run("analyse", "interpolate", file, "--encoder", "nasbench201", "--steps", 4, "--json")
    assert result.exit_code == 0, result.stderr
    way = json.loads(result.stdout)
    assert [one["share"] for one in way] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert "to the last" in run("analyse", "interpolate", file, "--encoder", "nasbench201").stdout


def test_an_explanation_by_a_proxy(file: Path) -> None:
    command = ("analyse", "explain", file, "--space", "nasbench201", "--objective", "proxy:parameters")
    result = run(*command, "--json")
    assert result.exit_code == 0, result.stderr
    for one in json.loads(result.stdout):
        # More convolutions of 3 x 3 have more parameters, unless there is nothing else.
        assert one["gain"] > 0 or set(one["architecture"]["cells"][0]["ops"][1:-1]) <= {"nor_conv_3x3", "sum"}
    assert "mean change if altered" in run(*command).stdout


def test_what_cannot_be_analysed_is_refused(file: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.json"
    one.write_text(json.dumps(json.loads(file.read_text())[0]))
    result = run("analyse", "interpolate", one, "--encoder", "nasbench201")
    assert result.exit_code == 3
    assert "expected two architectures, but got one" in result.stderr
