"""Every predictor keeps the contract."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from graphnas.encoders import CellAutoencoder
from graphnas.predictors import PREDICTORS, Info, encoding, make_predictor
from graphnas.spaces import Space

SPACE = Space.load("nasbench201")
ENCODER = CellAutoencoder.from_pretrained("nasbench201")
ARCHITECTURES = SPACE.sample(60, np.random.default_rng(0))
CELLS = SPACE.to_arrays(ARCHITECTURES)
# A smooth function of what a cell computes, in the units of an accuracy.
_FLOW = encoding(SPACE, "flow")(CELLS)
TARGETS = 0.7 + 0.05 * np.tanh(_FLOW[:, :27] @ np.random.default_rng(1).standard_normal(27) / 4)
TRAIN, TEST = np.arange(40), np.arange(40, 60)
EPOCHS = 8


def _info() -> Info:
    rng, epoch = np.random.default_rng(2), np.arange(1, EPOCHS + 1)
    rise = 1 - 0.5 * epoch**-0.8
    accuracy = TARGETS[:, None] * rise + rng.normal(0, 0.002, (60, EPOCHS))
    scores = {name: 10 * TARGETS + rng.normal(0, 0.2, 60) for name in ("jacov", "one-shot", "rsws")}
    scores |= {name: 100 * TARGETS + rng.normal(0, 2, 60) for name in PREDICTORS if name not in scores}
    scores["jacov"][3] = math.nan
    losses = {"train_loss": 1.2 - accuracy, "validation_loss": 1.3 - accuracy}
    return Info({"validation_accuracy": accuracy, "train_accuracy": accuracy, **losses}, scores, 20)


INFO = _info()
SLOW = {
    "bananas",
    "mlp",
    "omni-ngboost",
    "omni-no-curve",
    "omni-no-score",
    "omni-no-encoding",
    "gcn",
    "lce-m",
    "latent-mlp",
    "bohamiann",
    "omni-seminas",
    "seminas",
    "sparse-gp",
}
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in PREDICTORS]


@pytest.mark.parametrize("name", NAMES)
def test_a_predictor_learns_and_answers_the_same_each_time(name: str) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    answers = []
    for given in (SPACE.take(CELLS, TRAIN), [ARCHITECTURES[row] for row in TRAIN]):
        predictor = make_predictor(name, SPACE, encoder=ENCODER, seed=3)
        assert predictor.needs.fewest_epochs <= EPOCHS
        assert predictor.fit(given, TARGETS[TRAIN], INFO.take(TRAIN)) is predictor
        answers.append(predictor.predict([ARCHITECTURES[row] for row in TEST], INFO.take(TEST)))
    mean, std = answers[0]
    assert mean.shape == std.shape == (20,)
    assert mean.dtype == std.dtype == np.float64
    assert np.isfinite(mean).all()
    assert np.isnan(std).all() or (std >= 0).all()
    np.testing.assert_array_equal(mean, answers[1].mean)
    if predictor.needs.targets:
        # In the units of the targets.
        assert np.abs(mean - 0.7).max() < 0.4
    assert spearmanr(mean, TARGETS[TEST]).statistic > 0.1
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["random-forest", "latent-gp", "bonas", "lcsvr", "nao", "latent-trees"])
def test_wrong_use_is_refused(name: str) -> None:
    predictor = make_predictor(name, SPACE, encoder=ENCODER)
    with pytest.raises(ValueError, match="Expected a fitted predictor, but fit was not called"):
        predictor.predict(ARCHITECTURES[:3], INFO.take(TEST[:3]))
    with pytest.raises(ValueError, match=r"two or more|2 or more"):
        predictor.fit(ARCHITECTURES[:1], TARGETS[:1], INFO.take(TRAIN[:1]))


@pytest.mark.parametrize("name", ["random-forest", "latent-gp", "mlp", "bayesian-linear"])
def test_nothing_cannot_be_predicted(name: str) -> None:
    predictor = make_predictor(name, SPACE, encoder=ENCODER).fit(ARCHITECTURES[:10], TARGETS[:10])
    with pytest.raises(ValueError, match="Expected one architecture or more, but got none"):
        predictor.predict([])


def test_targets_must_be_numbers_one_for_each_architecture() -> None:
    predictor = make_predictor("random-forest", SPACE)
    with pytest.raises(ValueError, match=r"Expected 3 targets, one for each architecture, but got shape \(2,\)"):
        predictor.fit(ARCHITECTURES[:3], TARGETS[:2])
    with pytest.raises(ValueError, match="Expected finite targets, but 1 of 3 are not"):
        predictor.fit(ARCHITECTURES[:3], np.array([0.1, math.nan, 0.2]))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"Expected a predictor out of fisher, .*, but got 'oracle'"):
        make_predictor("oracle", SPACE)
    with pytest.raises(ValueError, match="The predictor 'latent-gp' needs a fitted encoder"):
        make_predictor("latent-gp", SPACE)
    with pytest.raises(ValueError, match="Expected info with the curve 'train_loss', but got no curves"):
        make_predictor("sotl", SPACE).predict(ARCHITECTURES)
    with pytest.raises(ValueError, match="Expected info with the score 'snip', but got no scores"):
        make_predictor("snip", SPACE).predict(ARCHITECTURES)


def test_the_31_of_the_paper_are_there() -> None:
    sizes = {"zero-cost": 6, "learning curve": 6, "hybrid": 1, "weight sharing": 2, "neural": 6, "trees": 4}
    sizes |= {"bayesian": 3, "gaussian process": 3}
    families: dict[str, int] = {}
    for kind in PREDICTORS.values():
        families[kind.family] = families.get(kind.family, 0) + 1
    # Beside theirs: nwot, zico, parameters and multiply-adds, and the Weisfeiler-Leman kernel.
    assert families == sizes | {"zero-cost": 10, "gaussian process": 4, "combined": 5, "latent": 3}
    assert sum(sizes.values()) == 31
