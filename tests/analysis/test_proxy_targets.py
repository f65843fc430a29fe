from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from graphnas.analysis import proxy_targets
from graphnas.spaces import Space

SPACE = Space.load("nasbench201")
CELLS = SPACE.topology.canonical(SPACE.to_arrays(SPACE.sample(120, np.random.default_rng(0))))


def test_scores_of_all_are_known_from_some() -> None:
    targets = proxy_targets(SPACE, CELLS, ["parameters", "macs"], scored=60)
    assert targets.shape == (120, 2)
    assert np.isfinite(targets).all()
    assert np.array_equal(targets, proxy_targets(SPACE, CELLS, ["parameters", "macs"], scored=60))
    whole = proxy_targets(SPACE, CELLS, ["parameters", "macs"])
    guessed = ~np.isin(np.arange(120), np.random.default_rng(0).permutation(120)[:60])
    assert spearmanr(targets[guessed, 0], whole[guessed, 0]).statistic > 0.7


def test_where_all_are_scored_nothing_is_predicted() -> None:
    few = CELLS.take(np.arange(25))
    targets = proxy_targets(SPACE, few, ["parameters"], scored=1_000)
    assert abs(targets.mean()) < 0.2
    assert targets.std() == pytest.approx(0.95, abs=0.15)


def test_cells_of_one_architecture_share_its_score() -> None:
    darts = Space.load("darts")
    cells = darts.topology.canonical(darts.to_arrays(darts.sample(22, np.random.default_rng(0))))
    targets = proxy_targets(darts, cells, ["parameters"])
    assert targets.shape == (44, 1)
    assert (targets[::2] == targets[1::2]).all()


def test_too_few_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected 20 or more architectures that parameters scores, but got 12"):
        proxy_targets(SPACE, CELLS.take(np.arange(12)), ["parameters"])
    with pytest.raises(ValueError, match="Expected proxies out of"):
        proxy_targets(SPACE, CELLS, ["luck"])
