from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphnas.spaces import HyperparameterSpace, Space
from graphnas.spaces.hyperparameters import HYPERPARAMETERS_KEY
from graphnas.studies import to_toml
from graphnas.training import TrainingConfig

OPTIMIZERS: dict[str, Any] = {
    "title": "Two optimizers",
    "hyperparameters": {
        "optimizer": {"choices": ["sgd", "adamw"]},
        "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
        "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "sgd"}},
        "batch_size": {"low": 8, "high": 128, "log": True},
        "cutout": {"low": 0, "high": 4},
        "nesterov": {"choices": [False, True], "when": {"optimizer": ["sgd"]}},
    },
}


@pytest.fixture(scope="module")
def optimizers() -> HyperparameterSpace:
    return HyperparameterSpace.of(OPTIMIZERS)


@pytest.mark.parametrize("name", HyperparameterSpace.names())
def test_spaces_that_come_with_the_library_are_of_trainings(name: str) -> None:
    space = HyperparameterSpace.load(name)
    assert set(space.columns) == {
        "learning_rate", "weight_decay", "momentum", "batch_size", "cutout", "label_smoothing",
    }  # fmt: skip
    for settings in space.sample(50, np.random.default_rng(0)):
        space.validate(settings)
        TrainingConfig(**settings)


def test_coordinates_of_a_number_its_logarithm_and_a_choice(optimizers: HyperparameterSpace) -> None:
    settings = {"optimizer": "adamw", "learning_rate": 1e-2, "batch_size": 32, "cutout": 1}
    (point,) = optimizers.to_unit([settings])
    half = 0.5**0.5
    # Those without a value: momentum lies in the middle, nesterov is neither false nor true.
    np.testing.assert_allclose(point, [0, half, 0.5, 0.5, 0.5, 0.25, 0, 0])
    assert optimizers.from_unit(point[None]) == [pytest.approx(settings)]
    # Any two choices are one apart.
    other = optimizers.to_unit([{**settings, "optimizer": "sgd", "momentum": 0.745, "nesterov": True}])[0]
    assert np.linalg.norm((other - point)[optimizers.columns["optimizer"]]) == pytest.approx(1.0)


@given(st.integers(0, 2**32 - 1))
def test_points_are_brought_to_settings_and_back(seed: int) -> None:
    space, rng = HyperparameterSpace.of(OPTIMIZERS), np.random.default_rng(seed)
    points = rng.normal(0.5, 0.5, (8, space.width))
    settings = space.from_unit(points)
    for one in settings:
        space.validate(one)
    np.testing.assert_allclose(space.snap(points), space.to_unit(settings), atol=1e-12)
    assert space.from_unit(space.snap(points)) == [pytest.approx(one) for one in settings]


def test_random_settings_cover_their_ranges(optimizers: HyperparameterSpace) -> None:
    drawn = optimizers.sample(4000, np.random.default_rng(0))
    rates = np.log10([one["learning_rate"] for one in drawn])
    assert np.histogram(rates, bins=4, range=(-4, 0))[0] == pytest.approx(1000, rel=0.12)
    sgd = [one for one in drawn if one["optimizer"] == "sgd"]
    assert len(sgd) == pytest.approx(2000, rel=0.1)
    assert all(("momentum" in one) == (one["optimizer"] == "sgd") for one in drawn)
    assert {one["cutout"] for one in drawn} == {0, 1, 2, 3, 4}


def test_values_keep_their_kinds() -> None:
    odd = HyperparameterSpace.of(
        {"hyperparameters": {"flag": {"choices": [1, True]}, "rate": {"low": 0.5, "high": 10, "log": True}}}
    )
    for flag in (1, True):
        (found,) = odd.from_unit(odd.to_unit([{"flag": flag, "rate": 10.0}]))
        assert type(found["flag"]) is type(flag)
        assert type(found["rate"]) is float


def test_a_trial_chooses_what_has_a_meaning(optimizers: HyperparameterSpace) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    chosen = set()
    for _ in range(12):
        trial = study.ask()
        settings = optimizers.suggest(trial)
        optimizers.validate(settings)
        assert settings == trial.params == trial.user_attrs[HYPERPARAMETERS_KEY]
        chosen.add(settings["optimizer"])
    assert chosen == {"sgd", "adamw"}
    assert optimizers.distributions().keys() == optimizers.columns.keys()


def test_a_space_is_written_and_read_again(optimizers: HyperparameterSpace, tmp_path: Path) -> None:
    text = to_toml(optimizers.table())
    again = HyperparameterSpace.of(tomllib.loads(text))
    assert again.parameters == optimizers.parameters
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert HyperparameterSpace.load(path).parameters == optimizers.parameters


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x = 3", "hyperparameters.x: expected low and high, or choices"),
        ("x = { low = 1 }", "hyperparameters.x: expected low and high, and log"),
        ("x = { low = 1, high = 2, choices = [1, 2] }", "hyperparameters.x: expected low and high, or choices"),
        ("x = { low = 2, high = 1 }", "hyperparameters.x: expected numbers low < high, but got 2 and 1"),
        ("x = { low = 0, high = 1, log = true }", "hyperparameters.x: expected low above 0 where log is true"),
        ("x = { low = nan, high = 1 }", "hyperparameters.x: expected numbers low < high"),
        ("x = { low = 0, high = 1, step = 2 }", "hyperparameters.x: expected low and high, or choices"),
        ("x = { choices = [] }", "hyperparameters.x: expected two or more different choices"),
        ("x = { choices = [1, 1] }", "hyperparameters.x: expected two or more different choices"),
        ("x = { choices = [[1], [2]] }", "hyperparameters.x: choices: expected a list of texts, numbers"),
        ("x = { low = 0, high = 1, when = { y = 1 } }", "hyperparameters.x: when.y: expected values of an earlier"),
        (
            "y = { low = 0.0, high = 1.0 }\nx = { low = 0, high = 1, when = { y = 0.5 } }",
            "hyperparameters.x: when.y: expected one of choices or whole numbers, which y is not",
        ),
        ("'a.b' = { low = 0, high = 1 }", "hyperparameters.a.b: expected a name of letters, digits"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(f"[hyperparameters]\n{row}\n")
    with pytest.raises(ValueError, match=r"wrong\.toml: ") as error:
        HyperparameterSpace.load(path)
    assert message in str(error.value)


def test_other_errors_name_what_came(optimizers: HyperparameterSpace, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sdg: no such hyperparameters; known: sgd, sgd-small, or a"):
        HyperparameterSpace.load("sdg")
    with pytest.raises(ValueError, match=r"none\.toml: No such file"):
        HyperparameterSpace.load(tmp_path / "none.toml")
    with pytest.raises(ValueError, match="hyperparameters: expected a table of one or more"):
        HyperparameterSpace.of({"title": "Nothing"})
    with pytest.raises(ValueError, match="title: expected text, but got 5"):
        HyperparameterSpace.of({**optimizers.table(), "title": 5})
    right = {"optimizer": "adamw", "learning_rate": 1e-2, "batch_size": 32, "cutout": 1}
    for wrong, message in (
        ({**right, "momentum": 0.9}, "Expected no momentum unless"),
        ({**right, "cutout": 1.0}, "Expected cutout of 0 to 4, but got 1.0"),
        ({**right, "learning_rate": 2.0}, "Expected learning_rate of 0.0001 to 1.0, but got 2.0"),
        ({**right, "optimizer": "lion"}, "Expected optimizer of ['sgd', 'adamw'], but got None"),
        ({**right, "width": 3}, "but got width"),
    ):
        with pytest.raises(ValueError, match="Expected") as error:
            optimizers.validate(wrong)
        assert message.replace("None", "'lion'") in str(error.value)


@pytest.mark.parametrize("name", Space.names())
def test_decisions_of_any_kind_become_legal_and_legal_ones_stay(name: str) -> None:
    space, rng = Space.load(name), np.random.default_rng(0)
    known = space.sample(20, rng)
    decisions = np.stack([space.decisions(one) for one in known])
    assert space.from_arrays(space.nearest(decisions)) == [space.build(row) for row in decisions]
    choices = np.array([len(one.choices) for one in space.topology.decisions] * len(space.cell_names))
    wild = rng.integers(0, choices, size=(50, len(choices)))
    for architecture in space.from_arrays(space.nearest(wild)):
        space.validate(architecture)
