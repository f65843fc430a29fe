"""`graphnas study`: analyses of finished searches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graphnas.cli.main import app

pytestmark = pytest.mark.slow  # three searches


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two random joint searches and one with budgets."""
    folder = tmp_path_factory.mktemp("searches")
    settings = ("--task", "digits", "--images", 100, "--workers", 0, "--device", "cpu", "--joint", "sgd-small")
    common = ("search", "nasbench101", *settings, "--sampler", "random", "--trials", 12)
    for name, options in (
        ("one", ("--epochs", 3)),
        ("two", ("--epochs", 3, "--seed", 1)),
        ("budgets", ("--epochs", 3, "--fidelity", "halving")),
    ):
        found = run(*common, *options, "--out", folder / name)
        assert found.exit_code == 0, found.stderr
    return folder


def test_budgets_are_correlated(searches: Path) -> None:
    found = run("study", "correlation", searches / "one")
    assert found.exit_code == 0, found.stderr
    assert "Rank correlation of budgets: one" in found.stdout
    (pair,) = json.loads(run("study", "correlation", searches / "one", "--budgets", "2,3", "--json").stdout)
    assert (pair["small"], pair["large"], pair["all"]["n"]) == (2, 3, 12)
    assert -1 <= pair["all"]["low"] <= pair["all"]["rho"] <= pair["all"]["high"] <= 1
    (pair,) = json.loads(run("study", "correlation", searches / "budgets", "--json").stdout)
    assert (pair["small"], pair["large"]) == (1, 3)
    assert 0 < pair["all"]["n"] < 12
    wrong = run("study", "correlation", searches / "one", "--budgets", "1,5")
    assert (wrong.exit_code, wrong.stdout) == (3, "")
    assert "Expected budgets out of [1, 2, 3], but got [5]" in wrong.stderr
    wrong = run("study", "correlation", searches / "one", "--budgets", "few")
    assert "expected whole numbers" in wrong.stderr


def test_importance_names_hyperparameters_and_warns_of_few_trials(searches: Path) -> None:
    found = run("study", "importance", searches / "one")
    assert found.exit_code == 0, found.stderr
    assert "12 trials are few" in found.stderr
    assert "learning_rate" in found.stdout
    record = json.loads(run("study", "importance", searches / "one", "--budget", 1, "--json").stdout)
    assert record["trials"] == 12
    names = {"architecture", "learning_rate", "weight_decay", "momentum", "batch_size", "cutout", "label_smoothing"}
    assert {effect["factors"][0] for effect in record["main"]} == names
    assert "conv3x3" in {effect["factors"][0] for effect in record["aspects"]}
    wrong = run("study", "importance", searches / "budgets")
    assert wrong.exit_code == 3
    assert "Expected ten or more different values" in wrong.stderr


def test_searches_that_differ_in_their_seeds_are_averaged(searches: Path, tmp_path: Path) -> None:
    figure = tmp_path / "curves.svg"
    found = run("study", "anytime", searches / "one", searches / "two", searches / "budgets", "--out", figure)
    assert found.exit_code == 0, found.stderr
    assert "epochs" in figure.read_text()
    folders = (searches / "one", searches / "two", searches / "budgets")
    record = json.loads(run("study", "anytime", *folders, "--json").stdout)
    assert set(record["best"]) == {
        "nasbench101, random, joint, 3 epochs",
        "nasbench101, random, joint, halving, 3 epochs",
    }
    # As far as the search has come that cost least: of twelve trainings some ended after one epoch.
    assert 12 <= record["cost"][-1] < 36
    both = record["best"]["nasbench101, random, joint, 3 epochs"][-1]
    assert both["standard_error"] is not None
    rates = tmp_path / "rates.toml"
    rates.write_text("[hyperparameters]\nlearning_rate = { low = 0.01, high = 0.1 }\n")
    among = run(
        "search", "nasbench101", "--task", "digits", "--images", 100, "--workers", 0, "--device", "cpu",
        "--joint", rates, "--sampler", "random", "--trials", 3, "--epochs", 3, "--out", tmp_path / "other",
    )  # fmt: skip
    assert among.exit_code == 0, among.stderr
    # Other hyperparameters are another search.
    record = json.loads(run("study", "anytime", searches / "one", tmp_path / "other", "--json").stdout)
    assert set(record["best"]) == {
        "nasbench101, random, joint, 3 epochs",
        "nasbench101, random, joint, 3 epochs (other)",
    }
    # One after the other is one search, which costs as much as both.
    pair = f"{searches / 'one'}+{searches / 'two'}"
    record = json.loads(run("study", "anytime", pair, "--json").stdout)
    assert list(record["best"]) == ["nasbench101, random, joint, 3 epochs, then nasbench101, random, joint, 3 epochs"]
    assert record["cost"][-1] == 72
    assert run("study", "anytime", searches / "one", "--unit", "hours").exit_code == 2
    assert run("study", "anytime", searches / "none").exit_code == 3
