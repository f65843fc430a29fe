from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graphnas.cli.main import app
from graphnas.cli.samplers import Sampler
from graphnas.studies import LATENT_SAMPLERS, SAMPLERS


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_names_are_those_of_the_library() -> None:
    assert {sampler.value for sampler in Sampler} == set(SAMPLERS)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in ("random", "evolution", "latent-bo")])
def test_every_sampler_searches_a_table_and_goes_on(
    small_space: Path, small_table: Path, tmp_path: Path, sampler: str
) -> None:
    if sampler == "xgboost":
        pytest.importorskip("xgboost")
    out = tmp_path / "found"
    objective = ("--objective", f"table:{small_table}", "--sampler", sampler, "--workers", 0, "--out", out)
    encoder = ("--encoder", "nasbench101") if sampler in LATENT_SAMPLERS else ()
    result = run("search", "nasbench101", "--limit", "max_vertices=5", *objective, *encoder, "--trials", 12)
    assert result.exit_code == 0, result.stderr
    result = run("search", "--resume", out, "--trials", 14, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["trials"] == 14
