from __future__ import annotations

import pickle

import numpy as np
import pytest

from graphnas.cell import Architecture, Cell
from graphnas.evaluate import EvaluationFailed, ProxyEvaluator
from graphnas.spaces import Space


@pytest.mark.parametrize("name", ["nasbench101", "nasbench201", "darts", "enas"])
def test_networks_of_every_space_are_scored_the_same_each_time(name: str) -> None:
    space = Space.load(name)
    (architecture,) = space.sample(1, np.random.default_rng(0))
    evaluator = ProxyEvaluator(space, "synflow", further=("nwot", "snip"), batch_size=8)
    told: list[tuple[int, float]] = []
    result = evaluator.evaluate(
        architecture, seed=1, report=lambda step, metrics: told.append((step, metrics["value"]))
    )
    assert told == [(1, result.value)]
    assert result.evaluator == "proxy:synflow:digits"
    assert set(result.metrics) == {"synflow", "nwot", "snip", "parameters", "macs"}
    assert result.metrics["parameters"] > 100
    again = pickle.loads(pickle.dumps(evaluator)).evaluate(architecture, seed=1)
    assert again.metrics == result.metrics
    assert evaluator.evaluate(architecture, seed=2).value != result.value


def test_sizes_and_images_are_those_asked_for() -> None:
    space = Space.load("nasbench201")
    (architecture,) = space.sample(1, np.random.default_rng(0))
    few = ProxyEvaluator(space, "macs", "digits#100").evaluate(architecture)
    large = ProxyEvaluator(space, "macs", "digits@16", sizes={"cells_per_stage": 2}).evaluate(architecture)
    assert few.value == few.metrics["macs"]
    assert large.value > 4 * few.value


def test_a_network_without_a_score_has_failed() -> None:
    space = Space.load("nasbench201")
    dead = Architecture("nasbench201", (Cell(space.sample(1, np.random.default_rng(0))[0].cells[0].ops, frozenset()),))
    with pytest.raises(EvaluationFailed, match="the network cannot be scored: "):
        ProxyEvaluator(space).evaluate(dead)
    nothing = next(one for one in space.enumerate() if set(one.cells[0].ops[1:-1]) == {"none"})
    with pytest.raises(EvaluationFailed, match="jacov is not defined for this network: nan"):
        ProxyEvaluator(space, "jacov", batch_size=8).evaluate(nothing)


def test_wrong_arguments_are_refused() -> None:
    space = Space.load("nasbench201")
    with pytest.raises(ValueError, match=r"Expected proxies out of fisher, .*, but got 'flow'"):
        ProxyEvaluator(space, "flow")
    with pytest.raises(ValueError, match="Expected batch_size to be at least 2, but got 1"):
        ProxyEvaluator(space, batch_size=1)
    with pytest.raises(ValueError, match="Expected a task of digits"):
        ProxyEvaluator(space, task="letters")
    (architecture,) = space.sample(1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="expected no budget, no until and no hyperparameters"):
        ProxyEvaluator(space).evaluate(architecture, budget=3)
