"""The recipes of joint searches, of the benchmark on digits, and of the engines' figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from rich.console import Console

from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import Digits101Table, TrainingEvaluator
from graphnas.spaces import HyperparameterSpace, Space
from graphnas.studies import Fidelity
from tests.recipes import RUNS, recipe

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.load("nasbench101")


@pytest.fixture
def joint(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The joint study, a hundredth as long."""
    module = recipe("zela2018_joint_digits")
    for name, value in {
        "BUDGETS": (1, 2),
        "CANDIDATES": 12,
        "EPOCHS": 16,
        "PLACES": (8, 16),
        "JUDGED": range(100, 101),
        "FIDELITY": Fidelity("hyperband", (1, 2)),
        "PAIRS": ((1, 2),),
    }.items():
        monkeypatch.setattr(module, name, value)
    return module


@pytest.mark.slow
def test_budgets_of_random_candidates_are_compared(joint: Any, space: Space, tmp_path: Path) -> None:
    joint.budgets(space, HyperparameterSpace.load("sgd-small"), 1, tmp_path / "found.json")
    results = json.loads((tmp_path / "found.json").read_text())["rows"]["random"]["results"]
    assert -1 <= results["all_1_2"]["mean"] <= 1
    assert results["failed"]["mean"] == 0
    assert 0 <= results["learning_rate_2"]["mean"] <= 1.5


@pytest.mark.parametrize(
    "name",
    [
        "architecture first",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("settings first", "bohb", "random, 27 epochs")),
    ],
)
def test_strategies_spend_the_same_epochs_and_end_with_a_candidate(joint: Any, space: Space, name: str) -> None:
    sgd = HyperparameterSpace.load("sgd-small")
    strategy = joint.Strategy(space, sgd, CellAutoencoder.from_pretrained("nasbench101"), 0)
    cell, settings = joint.STRATEGIES[name][1](strategy)
    space.validate(cell)
    sgd.validate(settings)
    # One trial more than is needed at most, in each part.
    assert 16 <= strategy.spent[-1] <= 20
    assert strategy.spent == sorted(strategy.spent)
    assert 0 < strategy.at(16) <= 1


def test_shards_of_digits101_go_on_and_become_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = recipe("digits101")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "SHARDS", 2)
    monkeypatch.setattr(module, "SEEDS", (0, 1, 2))
    small = Space.load("digits101", max_vertices=3)
    cells, screen = module.cells_of(small), Console(quiet=True)
    evaluator = TrainingEvaluator(small, "digits#100", epochs=2, sizes={"channels": 4, "stacks": 1})
    assert len(cells) == 7
    assert small.hashes(cells) == sorted(small.hashes(cells))
    module.train_shard(evaluator, cells, 0, screen)
    # One that was interrupted after its second line.
    module.train_shard(evaluator, cells, 1, screen)
    shard = module.FOLDER / "shards" / "01.npz"
    whole, work = dict(np.load(shard)), module.UNFINISHED / "01.jsonl"
    shard.unlink()
    work.write_text("".join(f"{line}\n" for line in work.read_text().splitlines()[:2]))
    module.train_shard(evaluator, cells, 1, screen)
    again = dict(np.load(shard))
    for name in ("row", "validation_loss", "test_accuracy", "parameters"):
        np.testing.assert_array_equal(again[name], whole[name])
    said: list[str] = []
    monkeypatch.setattr(screen, "print", said.append)
    module.check(evaluator, cells, 1, screen)
    module.merge(small, cells, screen)
    module.check(evaluator, cells, 3, screen)
    for line, count in ((said[0], 2), (said[-1], 3)):
        assert line.startswith(f"{count} trainings again: validation losses are at most")
        assert float(line.split()[-2]) < 1e-5
    monkeypatch.setattr(evaluator, "epochs", 3)
    with pytest.raises(SystemExit, match="trainings of 2 epochs"):
        module.check(evaluator, cells, 1, screen)
    monkeypatch.setattr(evaluator, "epochs", 2)
    table = Digits101Table(module.FOLDER / "digits101.npz")
    assert (len(table), table.epochs) == (7, 2)
    assert [table.row(cell) for cell in cells] == list(range(7))
    assert not list((module.FOLDER / "shards").glob("*.npz"))
    (first,) = table.architectures([0])
    assert table.column("validation_loss_run1")[0] == pytest.approx(
        evaluator.evaluate(first, seed=1).metrics["validation_loss"], abs=1e-5
    )


@pytest.mark.slow
def test_what_a_search_survives_is_counted(space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = recipe("engine_figures")
    monkeypatch.syspath_prepend(RUNS)  # for the workers
    assert module.refused(space, tmp_path / "refused") == {"attempts": 10, "refused": 10, "trials": 10}
    found = module.lost(space, tmp_path)
    assert found == {"killed": 1, "retried": 1, "trials": 8, "same": 8}


def test_numbers_of_shards_are_read() -> None:
    assert recipe("digits101").numbers("0-2,7") == [0, 1, 2, 7]
