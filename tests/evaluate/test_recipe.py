from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from graphnas.evaluate import TrainingEvaluator, TrainingRecipe, read_recipe
from graphnas.spaces import Space
from graphnas.training import TrainingConfig

PUBLISHED = Path(__file__).parents[2] / "runs" / "recipes"


@pytest.mark.parametrize(
    ("name", "epochs", "rate"), [("nasbench101", 108, 0.2), ("nasbench201", 200, 0.1), ("darts", 600, 0.025)]
)
def test_the_published_recipes_train_networks_of_the_published_sizes(name: str, epochs: int, rate: float) -> None:
    space, recipe = Space.load(name), TrainingRecipe.load(PUBLISHED / f"{name}.toml")
    evaluator = TrainingEvaluator(space, "digits", **recipe.arguments())
    assert (evaluator.epochs, evaluator.config.rate(0, 1000)) == (epochs, rate)
    published = {key: value for key, value in space.network.items() if key not in ("skeleton", "proxy")}
    assert evaluator.sizes == published


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"epoch": 3}, "Expected the keys title, paper, epochs, network, training, but got epoch"),
        ({"epochs": 0}, "Expected epochs to be a positive integer, but got 0"),
        ({"epochs": True}, "Expected epochs to be a positive integer, but got True"),
        ({"network": 3}, "Expected network to be a table, but got 3"),
        ({"training": {"lr": 0.1}}, "but got lr"),
        ({"training": {"momentum": 1.5}}, "momentum is out of range"),
    ],
)
def test_wrong_content_is_refused_by_name(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TrainingRecipe.of(table)


def test_wrong_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    with pytest.raises(ValueError, match=re.escape(f"{path}: No such file")):
        read_recipe(path)
    path.write_text("epochs = ")
    with pytest.raises(ValueError, match=re.escape(f"{path}: Invalid value")):
        read_recipe(path)
    path.write_text("epochs = -1")
    with pytest.raises(ValueError, match=re.escape(f"{path}: Expected epochs")):
        read_recipe(path)


def test_what_a_recipe_leaves_out_is_the_evaluators(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("[training]\noptimizer = 'adamw'\n")
    evaluator = TrainingEvaluator(Space.load("nasbench101"), **TrainingRecipe.load(path).arguments())
    plain = TrainingEvaluator(Space.load("nasbench101"))
    assert (evaluator.epochs, evaluator.sizes) == (plain.epochs, plain.sizes)
    assert evaluator.config == TrainingConfig(optimizer="adamw")
