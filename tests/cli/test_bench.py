from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graphnas.cli.main import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_a_comparison_leaves_figures_that_a_second_run_repeats_byte_for_byte(tmp_path: Path) -> None:
    command = (
        "bench",
        "digits101",
        "--methods",
        "latent-bo,evolution,tpe",
        "--seeds",
        2,
        "--queries",
        14,
        "--processes",
        2,
    )
    for name in ("one", "other"):
        result = run(*command, "--out", tmp_path / name)
        assert result.exit_code == 0, result.stderr
        assert "latent-bo - evolution" in result.stdout
        assert "Test accuracy of the best, %" in " ".join(result.stdout.split())
        assert "digits101  latent-bo  seed 0" in result.stderr
    one, other = ((tmp_path / name / "results.json").read_bytes() for name in ("one", "other"))
    assert one == other
    report = json.loads(one)
    assert list(report["protocols"]["digits101"]["methods"]) == ["latent-bo", "evolution", "tpe"]
    assert report["ranks"]["blocks"] == 2
    for name in ("digits101.svg", "ranks.svg", "checklist.md", "timings.json", "runs.jsonl"):
        assert (tmp_path / "one" / name).stat().st_size > 0
    # A third method is all that is searched with when it is added.
    more = run(
        "bench", "digits101", "--methods", "random,tpe", "--seeds", 2, "--queries", 14, "--out", tmp_path / "one"
    )
    assert more.exit_code == 0, more.stderr
    assert "random  seed 0" in more.stderr
    assert "tpe" not in more.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("p9",), "Expected a protocol out of p101-full"),
        (("p201", "--methods", "nosuchmethod"), "Expected a sampler out of latent-bo"),
        (("p201", "--methods", ","), "expected names out of latent-bo"),
        (("p201", "--encoder", "mine"), "expected SPACE=ENCODER"),
        (("p201", "--encoder", "nasbench2o1=mine"), "expected a space of nasbench201"),
        (("p201", "--methods", "latent-joint"), "latent-joint searches hyperparameters"),
    ],
)
def test_wrong_usage_is_refused(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = run("bench", *arguments, "--out", tmp_path / "none")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
