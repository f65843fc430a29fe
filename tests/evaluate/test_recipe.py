from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
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
    # Of 32 pixels, as the images that they are made for.
    evaluator = TrainingEvaluator(space, "digits@32", **recipe.arguments())
    assert (evaluator.epochs, evaluator.config.rate(0, 1000)) == (epochs, rate)
    published = {key: value for key, value in space.network.items() if key not in ("skeleton", "proxy")}
    assert evaluator.sizes == published


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"epoch": 3}, "Expected the keys title, paper, epochs, max_seconds, network, training, but got epoch"),
        ({"epochs": 0}, "Expected epochs to be a positive integer, but got 0"),
        ({"epochs": True}, "Expected epochs to be a positive integer, but got True"),
        ({"network": 3}, "Expected network to be a table, but got 3"),
        ({"training": {"lr": 0.1}}, "but got lr"),
        ({"training": {"momentum": 1.5}}, "momentum is out of range"),
        ({"training": {"batch_size": True}}, "batch_size is out of range"),
        ({"max_seconds": 0}, "max_seconds to be a finite number above 0, but got 0"),
        ({"max_seconds": 3, "epochs": 3}, "either epochs or max_seconds, but got 3 and 3"),
        ({"title": 3}, "title to be text, but got 3"),
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


def test_published_recipes_go_by_name_and_found_settings_by_their_file(tmp_path: Path) -> None:
    assert read_recipe("nasbench201") == read_recipe(PUBLISHED / "nasbench201.toml")
    best = tmp_path / "best.json"
    best.write_text(json.dumps({"architecture": {}, "hyperparameters": {"learning_rate": 0.3, "optimizer": "adamw"}}))
    recipe = TrainingRecipe.load(best)
    assert (recipe.epochs, recipe.config) == (None, TrainingConfig(learning_rate=0.3, optimizer="adamw"))
    # The search itself may have had a recipe.
    (tmp_path / "config.toml").write_text("[evaluator]\nrecipe = { training = { ema = 0.9, learning_rate = 0.1 } }\n")
    assert TrainingRecipe.load(best).config == TrainingConfig(learning_rate=0.3, optimizer="adamw", ema=0.9)
    for text, message in (
        ("{}", "expected the hyperparameters of a joint search, but it has none"),
        ('{"hyperparameters": {"lr": 1}}', "Expected the settings"),
        ("[", "Expecting value"),
    ):
        best.write_text(text)
        with pytest.raises(ValueError, match=re.escape(f"{best}: ") + f".*{message}"):
            read_recipe(best)


def test_a_recipe_may_end_by_the_clock() -> None:
    recipe = TrainingRecipe.of({"max_seconds": 0.2, "network": {"channels": 4, "stacks": 1}})
    evaluator = TrainingEvaluator(Space.load("nasbench101"), "digits#200", **recipe.arguments())
    assert evaluator.epochs is None
    (cell,) = evaluator.space.sample(1, np.random.default_rng(0))
    result = evaluator.evaluate(cell)
    assert result.budget == len(result.curve["train_loss"]) >= 1
    assert evaluator.evaluate(cell, budget=2).budget == 2


def test_what_a_recipe_leaves_out_is_the_evaluators(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("[training]\noptimizer = 'adamw'\n")
    evaluator = TrainingEvaluator(Space.load("nasbench101"), **TrainingRecipe.load(path).arguments())
    plain = TrainingEvaluator(Space.load("nasbench101"))
    assert (evaluator.epochs, evaluator.sizes) == (plain.epochs, plain.sizes)
    assert evaluator.config == TrainingConfig(optimizer="adamw")
