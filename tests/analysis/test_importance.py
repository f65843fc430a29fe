from __future__ import annotations

import numpy as np
import pytest

from graphnas.analysis.importance import ARCHITECTURE, importance
from graphnas.spaces import HyperparameterSpace, Space


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.load("nasbench101")


def test_effects_of_a_sum_are_the_variances_of_its_parts(space: Space) -> None:
    sgd, rng = HyperparameterSpace.load("sgd"), np.random.default_rng(0)
    cells, settings = space.sample(300, rng), sgd.sample(300, rng)
    units = sgd.to_unit(settings)
    rate, decay = (units[:, sgd.columns[name].start] for name in ("learning_rate", "weight_decay"))
    deep = np.array([len(cell.cells[0].ops) for cell in cells])
    # Variances 4/12, 1/12 and those of the number of vertices.
    values = 2 * rate + decay + 0.6 * (deep - deep.mean()) / deep.std() / np.sqrt(12)
    found = importance(space, cells, values.tolist(), hyperparameters=sgd, settings=settings)
    shares = {effect.factors[0]: effect.share for effect in found.main}
    assert found.explained > 0.9
    assert [effect.factors[0] for effect in found.main[:3]] == ["learning_rate", "weight_decay", ARCHITECTURE]
    assert shares["learning_rate"] == pytest.approx(4 / 5.36, abs=0.08)
    assert shares["weight_decay"] == pytest.approx(1 / 5.36, abs=0.06)
    assert max(shares["momentum"], shares["cutout"], shares["batch_size"]) < 0.01
    assert max(effect.share for effect in found.pairs) < 0.03
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.03)


def test_a_planted_interaction_comes_first_among_the_pairs(space: Space) -> None:
    sgd, rng = HyperparameterSpace.load("sgd"), np.random.default_rng(1)
    cells, settings = space.sample(300, rng), sgd.sample(300, rng)
    rate = sgd.to_unit(settings)[:, sgd.columns["learning_rate"].start]
    convolutions = np.array([cell.cells[0].ops.count("conv3x3") for cell in cells])
    values = np.where(convolutions >= 2, rate, 1 - rate) + 0.3 * rate
    found = importance(space, cells, values.tolist(), hyperparameters=sgd, settings=settings)
    assert found.pairs[0].factors == ("learning_rate", ARCHITECTURE)
    of_aspects = [effect.factors for effect in found.pairs if ARCHITECTURE not in effect.factors]
    assert of_aspects[0] == ("learning_rate", "conv3x3")


def test_choices_that_have_no_meaning_beside_others_are_factors_too(space: Space) -> None:
    both = HyperparameterSpace.of(
        {
            "hyperparameters": {
                "optimizer": {"choices": ["sgd", "adamw"]},
                "momentum": {"low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
            }
        }
    )
    rng = np.random.default_rng(2)
    cells, settings = space.sample(200, rng), both.sample(200, rng)
    values = [one.get("momentum", 0.0) + (one["optimizer"] == "adamw") for one in settings]
    found = importance(space, cells, values, hyperparameters=both, settings=settings)
    assert [effect.factors[0] for effect in found.main[:2]] == ["optimizer", "momentum"]
    assert found.pairs[0].factors == ("optimizer", "momentum")


def test_architectures_alone_have_aspects_of_every_cell() -> None:
    darts, rng = Space.load("darts"), np.random.default_rng(0)
    cells = darts.sample(120, rng)
    values = [cell.cells[1].ops.count("sep_conv_3x3") + rng.random() / 100 for cell in cells]
    found = importance(darts, cells, values)
    assert [effect.factors for effect in found.main] == [(ARCHITECTURE,)]
    assert found.main[0].share == pytest.approx(1.0)
    assert found.aspects[0].factors[0].startswith("reduce: sep_conv_3x3")
    assert found.pairs == ()


def test_failed_trials_count_as_the_worst_and_errors_say_what_came(space: Space) -> None:
    rng = np.random.default_rng(0)
    cells = space.sample(60, rng)
    values = [len(cell.cells[0].ops) + rng.normal() / 10 for cell in cells]
    lost = [min(values) if number < 5 else value for number, value in enumerate(values)]
    failed = [float("-inf") if number < 5 else value for number, value in enumerate(values)]
    lost[values.index(min(values))] = failed[values.index(min(values))] = min(values)
    assert importance(space, cells, failed) == importance(space, cells, lost)
    with pytest.raises(
        ValueError, match="Expected ten or more different values of trials that were not ended early, but got 1"
    ):
        importance(space, cells, [0.5] * 60)
    with pytest.raises(ValueError, match="Expected as many architectures and settings as values"):
        importance(space, cells[:3], values)
