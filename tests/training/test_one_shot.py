from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from graphnas.networks import SharedWeights
from graphnas.spaces import Space
from graphnas.tasks import load_task
from graphnas.training import PathDistribution, path_accuracy, train_shared_weights

TASK = load_task("digits")
SPACE = Space.load("nasbench101", max_vertices=3)


def shared(seed: int = 0) -> SharedWeights:
    sizes = {"stacks": 2, "cells_per_stack": 1, "channels": 16}
    return SharedWeights(SPACE, sizes=sizes, in_channels=1, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["nasbench101", "nasbench201", "darts", "enas"])
def test_paths_are_legal_and_as_likely_as_they_say(name: str) -> None:
    space = Space.load(name)
    distribution, generator = PathDistribution(space), torch.Generator().manual_seed(0)
    for _ in range(3):
        architecture, likely, entropy = distribution.draw(generator)
        space.validate(architecture)
        # Every legal choice is as likely as the others, so that decisions of k choices have log k of surprise each.
        assert -likely.item() == pytest.approx(entropy.item(), rel=1e-4)
        choices = np.array([len(one) for one in (decision.choices for decision in space.topology.decisions)])
        assert 0 < entropy.item() <= np.log(choices).sum() * len(space.cell_names) + 1e-3


def test_likely_decisions_are_drawn() -> None:
    space, generator = Space.load("nasbench201"), torch.Generator().manual_seed(0)
    distribution = PathDistribution(space)
    with torch.no_grad():
        distribution.logits[0, 0, 3] = 2.0
    drawn = Counter(space.decisions(distribution.draw(generator)[0])[0] for _ in range(200))
    assert drawn[3] / 200 == pytest.approx(np.exp(2) / (np.exp(2) + 4), abs=0.1)


@pytest.mark.parametrize("learned", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_shared_weights_learn_and_equal_seeds_give_equal_weights(learned: bool) -> None:
    weights, again = shared(), shared()
    distribution = train_shared_weights(weights, SPACE, TASK, steps=150, learned=learned, seed=1)
    train_shared_weights(again, SPACE, TASK, steps=150, learned=learned, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(weights.parameters, again.parameters, strict=True))
    assert bool(distribution.logits.abs().max() > 0) == learned
    cells = list(SPACE.enumerate())
    reached = [path_accuracy(weights, cell, TASK, TASK.validation) for cell in cells]
    fresh = shared()
    assert np.mean(reached) > 2 * np.mean([path_accuracy(fresh, cell, TASK, TASK.validation) for cell in cells])


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ValueError, match="steps and batch_size to be at least 1, but got 0 and 64"):
        train_shared_weights(shared(), SPACE, TASK, steps=0)
    with pytest.raises(ValueError, match="seed to be a whole number"):
        train_shared_weights(shared(), SPACE, TASK, steps=1, seed=-1)
