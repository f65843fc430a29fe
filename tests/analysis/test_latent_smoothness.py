from __future__ import annotations

import numpy as np
import pytest

from graphnas.analysis import (
    EditPairs,
    draw_pairs,
    hand_made_encodings,
    latent_smoothness,
    smoothness,
)
from graphnas.cell import CellArrays
from graphnas.encoders import CellAutoencoder
from graphnas.encoders.features import one_hot
from graphnas.spaces import Space
from graphnas.spaces.edit_distance import cell_distance, edit_distance, has_cell_distance

SPACE = Space.load("nasbench101")
CELLS = SPACE.sample_arrays(300, np.random.default_rng(0))


def test_random_pairs_come_before_walks_with_their_exact_distances() -> None:
    pairs = draw_pairs(SPACE, CELLS, seed=3, pairs=200)
    assert pairs.walked.tolist() == [False] * 200 + [True] * 200
    np.testing.assert_array_equal(pairs.distance, edit_distance(pairs.first, pairs.second))
    known = set(SPACE.hashes(CELLS))
    assert set(SPACE.hashes(pairs.first)) <= known
    assert set(SPACE.hashes(pairs.second.take(slice(200)))) <= known
    assert (pairs.distance[:200] > 0).all()
    assert pairs.distance[:200].mean() > pairs.distance[200:].mean()
    # About a sixth of the walks have no step.
    assert 0.08 < (pairs.distance[200:] == 0).mean() < 0.3


def test_the_same_seed_draws_the_same_pairs() -> None:
    one, same, other = (draw_pairs(SPACE, CELLS, seed=seed, pairs=50) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.distance, same.distance)
    assert not np.array_equal(one.distance, other.distance)


def test_architectures_of_two_cells_are_paired_as_a_whole() -> None:
    space = Space.load("darts")
    pairs = draw_pairs(space, space.sample_arrays(40, np.random.default_rng(0)), seed=0, pairs=30)
    assert pairs.first.n == pairs.second.n == 120
    assert pairs.distance.shape == pairs.walked.shape == (60,)
    apart = cell_distance(space.topology, pairs.first, pairs.second).reshape(-1, 2).sum(1)
    np.testing.assert_array_equal(pairs.distance, apart)
    assert (pairs.distance[30:] <= 5).all()


def test_an_encoding_that_is_the_distance_is_perfectly_smooth() -> None:
    chain = Space.load("enas")
    pairs = draw_pairs(chain, chain.sample_arrays(100, np.random.default_rng(0)), seed=0, pairs=100)

    def decisions(cells: CellArrays) -> np.ndarray:
        codes = chain.topology.encode(cells)
        return np.concatenate([codes[:, [step]] == np.arange(6) for step in range(codes.shape[1])], axis=1)

    assert smoothness(decisions, pairs) == pytest.approx({"random_pairs": 1, "walks": 1, "pooled": 1})


def test_a_rank_correlation_worked_out_by_hand() -> None:
    first = SPACE.topology.canonical(CELLS.take(slice(4)))
    walked = np.array([False, False, True, True])
    pairs = EditPairs(first, first, np.array([1, 2, 3, 4]), walked)
    apart = np.array([2.0, 1.0, 3.0, 4.0])
    # Ranks 2 1 3 4 against 1 2 3 4: 1 - 6 * 2 / (4 * 15).
    points = np.concatenate([np.zeros(4), apart])[:, None]
    found = smoothness(lambda cells: points, pairs)
    assert found == pytest.approx({"random_pairs": -1, "walks": 1, "pooled": 0.8})


def test_models_and_encodings_are_measured_alike() -> None:
    model = CellAutoencoder.for_space(SPACE, seed=0)
    by_model = latent_smoothness(model, CELLS, seed=0, pairs=100)
    by_hand = latent_smoothness(
        lambda cells: model.encode(cells)[0].double().numpy(), CELLS, space=SPACE, seed=0, pairs=100
    )
    assert by_model == by_hand
    assert set(by_model) == {"random_pairs", "walks", "pooled"}
    hot = latent_smoothness(lambda cells: one_hot(cells, SPACE.vocabulary), CELLS, space=SPACE, seed=0, pairs=500)
    assert 0.3 < hot["random_pairs"] < hot["pooled"] < 1


@pytest.mark.parametrize("name", Space.names())
def test_every_space_has_hand_made_encodings_of_its_architectures(name: str) -> None:
    space = Space.load(name)
    cells = space.sample_arrays(60, np.random.default_rng(0))
    pairs = draw_pairs(space, cells, seed=0, pairs=60)
    for encoding in hand_made_encodings(space).values():
        points = encoding(space.topology.canonical(cells))
        assert points.shape[0] == 60
        assert np.isfinite(points).all()
        assert smoothness(encoding, pairs)["pooled"] > 0.2


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="two or more architectures, but got 1"):
        draw_pairs(SPACE, CELLS.take(slice(1)))
    with pytest.raises(ValueError, match="space of the cells beside an encoding"):
        latent_smoothness(lambda cells: cells.ops.astype(np.float64), CELLS, seed=0)
    with pytest.raises(ValueError, match=r"40 points, one row each, but got shape \(3, 1\)"):
        smoothness(lambda cells: np.zeros((3, 1)), draw_pairs(SPACE, CELLS, pairs=10))
    assert has_cell_distance(SPACE.topology)
    assert has_cell_distance(Space.load("darts").topology)
    assert not has_cell_distance(Space.load("nasbench101", max_vertices=8).topology)
