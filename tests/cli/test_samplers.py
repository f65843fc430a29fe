from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graphnas.cli.main import app
from graphnas.studies import LATENT_SAMPLERS, SAMPLERS, SEVERAL_OBJECTIVES


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def search(small_table: Path) -> tuple[object, ...]:
    limit = ("--limit", "max_vertices=5")
    return ("search", "nasbench101", *limit, "--objective", f"table:{small_table}", "--workers", 0)


def test_every_sampler_is_named_in_the_help() -> None:
    text = " ".join(run("search", "--help").stdout.replace("│", " ").split())
    assert not [name for name in SAMPLERS if name not in text]


@pytest.mark.parametrize(
    "sampler",
    [
        *(
            name
            for name in SAMPLERS
            if name not in ("random", "evolution", "latent-bo", "latent-pareto", "latent-joint")
        ),
        "latent-bo:acquisition=thompson:sources=sample+edit",
    ],
)
def test_every_sampler_searches_a_table_and_goes_on(search: tuple[object, ...], tmp_path: Path, sampler: str) -> None:
    if sampler == "xgboost":
        pytest.importorskip("xgboost")
    out = tmp_path / "found"
    encoder = ("--encoder", "nasbench101") if sampler.split(":")[0] in LATENT_SAMPLERS else ()
    result = run(*search, "--sampler", sampler, *encoder, "--out", out, "--trials", 12)
    assert result.exit_code == 0, result.stderr
    result = run("search", "--resume", out, "--trials", 14, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["trials"] == 14


# BoTorch compiles its hypervolumes when they are first asked for, which takes a minute.
@pytest.mark.parametrize(
    "sampler",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name is None or name.startswith("latent") else [])
        for name in (None, "latent-pareto:reference_point=0+1e9", *SEVERAL_OBJECTIVES)
    ],
)
def test_several_objectives_with_a_bound_end_in_a_pareto_set(
    search: tuple[object, ...], tmp_path: Path, sampler: str | None
) -> None:
    out = tmp_path / "found"
    goals = ("--minimize", "macs", "--at-most", "test_acc_run0=0.7", *(("--sampler", sampler) if sampler else ()))
    result = run(*search, *goals, "--out", out, "--trials", 14)
    assert result.exit_code == 0, result.stderr
    assert "Pareto set of 14 trials" in result.stdout
    result = run("search", "--resume", out, "--trials", 16, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["trials"] == 16
    assert ("hypervolume" in found) == ("reference_point" in (sampler or ""))
    assert found.get("hypervolume", 1) > 0
    values = [tuple(one["values"].values()) for one in found["best"]]
    assert values == sorted(values, reverse=True)
    assert len({macs for _, macs in values}) == len(values)
    assert all(accuracy <= 0.7 for accuracy, _ in values)
    assert [one["trial"] for one in json.loads((out / "pareto.json").read_text())] == [
        one["trial"] for one in found["best"]
    ]
    assert (out / "figures" / "pareto.svg").is_file()
    assert "The Pareto set" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("goals", "message"),
    [
        (("--minimize", "macs", "--minimize", "macs"), "'macs' is an objective already"),
        (("--maximize", "value"), "'value' is an objective already"),
        (("--minimize", "test_acc_run0"), "'test_acc_run0' is what the search maximises already"),
        (("--at-most", "macs=3", "--at-most", "macs=2"), "--at-most: macs has a bound already, 3"),
        (("--at-most", "macs=3", "--at-least", "macs=4"), "no macs is at least 4 and at most 3"),
        (("--minimize", "macs", "--sampler", "latent-pareto:reference_point=0"), "reference_point of 2 numbers"),
        (("--minimize", "latency"), "'latency' is no metric of small.npz; it has"),
        (("--minimize", "macs", "--sampler", "latent-bo"), "--sampler latent-bo takes one objective; latent-pareto,"),
        (("--sampler", "latent-pareto"), "--sampler latent-pareto needs several objectives"),
        (("--sampler", "evolution:size=3"), "Expected evolution:NAME=VALUE with a name out of population"),
        (("--sampler", "evolution:population=0"), "population 0"),
        (("--at-most", "macs"), "--at-most 'macs': expected METRIC=NUMBER"),
        (("--at-least", "macs=few"), "--at-least 'macs=few': expected METRIC=NUMBER"),
        (("--at-most", "macs=nan"), "--at-most 'macs=nan': expected METRIC=NUMBER"),
    ],
)
def test_wrong_goals_are_refused_before_anything_is_written(
    search: tuple[object, ...], tmp_path: Path, goals: tuple[str, ...], message: str
) -> None:
    result = run(*search, *goals, "--encoder", "nasbench101", "--out", tmp_path / "found")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "found").exists()


def test_samplers_that_do_not_heed_bounds_say_so(search: tuple[object, ...], tmp_path: Path) -> None:
    result = run(*search, "--sampler", "evolution", "--at-most", "macs=50000", "--trials", 3, "--out", tmp_path / "a")
    assert result.exit_code == 0
    assert "evolution proposes without regard to the bounds; latent-bo," in result.stderr
    result = run(*search, "--sampler", "tpe", "--at-most", "macs=50000", "--trials", 3, "--out", tmp_path / "b")
    assert "without regard" not in result.stderr


def test_bounds_that_nothing_keeps_are_said(search: tuple[object, ...], tmp_path: Path) -> None:
    result = run(*search, "--sampler", "random", "--at-most", "macs=1", "--trials", 3, "--out", tmp_path / "found")
    assert result.exit_code == 1
    assert "none of 3 candidates keeps all bounds" in result.stderr
    assert (tmp_path / "found" / "report.html").is_file()
