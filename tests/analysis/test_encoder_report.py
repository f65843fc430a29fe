from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphnas.analysis import TrainingSplit, encoder_report, hand_made_encodings
from graphnas.encoders import CellAutoencoder, quality
from graphnas.evaluate import NASBench101Table
from graphnas.spaces import Space


@pytest.fixture(scope="module")
def split(small_space: Space) -> TrainingSplit:
    cells = small_space.enumerate_arrays()
    order = np.random.default_rng(0).permutation(cells.n)
    return TrainingSplit(cells.take(order[:300]), cells.take(order[300:]))


@pytest.fixture(scope="module")
def model(small_space: Space) -> CellAutoencoder:
    return CellAutoencoder.for_space(small_space, latent_dim=8, seed=0)


def test_a_report_holds_every_measure_and_is_json(
    model: CellAutoencoder, split: TrainingSplit, small_table: NASBench101Table
) -> None:
    told: list[str] = []
    report: dict[str, Any] = encoder_report(
        model,
        split,
        seeds=2,
        labels=[50, 5_000],
        table=small_table,
        pairs=100,
        samples=200,
        progress=lambda text, done, total: told.append(text),
    )
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    expected = quality(model, split.held_out, train=split.train, seed=1, prior_samples=200)
    assert {name: one["by_seed"][1] for name, one in report["quality"].items()} == expected
    encodings = ["latent mean", "one-hot", "paths", "one-hot + statistics + paths", "label-free targets"]
    assert list(report["smoothness"]["encodings"]) == encodings
    assert len(report["smoothness"]["encodings"]["paths"]["walks"]["by_seed"]) == 2
    ranking = report["ranking"]
    assert (ranking["labels"], ranking["labelled"], ranking["tested"]) == ("test_acc_run0 clipped at 0.8", 200, 100)
    assert ranking["too_many"] == [5_000]
    assert [(row["labels"], row["encoding"], row["draws"]) for row in ranking["table"]] == [
        (50, name, 2) for name in encodings
    ]
    # The labels are made of edges and operations, which the structure tells and an untrained latent tells less.
    assert ranking["table"][3]["spearman"]["mean"] > 0.8
    assert report["architectures_per_second"]["encode"] > 0
    assert {"quality", "smoothness", "labels", "speed", "ranking: one-hot, 50 labels"} <= set(told)


def test_what_is_missing_is_said_and_the_rest_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNAS_DATA", str(tmp_path))
    large = Space.load("nasbench101", max_vertices=8, max_edges=9)
    cells = large.sample_arrays(40, np.random.default_rng(0))
    report = encoder_report(
        CellAutoencoder.for_space(large, latent_dim=4, seed=0), TrainingSplit(cells, cells), seeds=1, samples=50
    )
    assert report["smoothness"] == {"missing": "cells of nasbench101 are too large for an exact edit distance"}
    assert "nasbench101.npz is missing: set GRAPHNAS_DATA" in report["ranking"]["missing"]
    assert report["quality"]["validity"] == {"mean": 1.0, "sd": None, "by_seed": [1.0]}


def test_features_of_several_cells_stand_beside_one_another() -> None:
    space = Space.load("darts")
    cells = space.topology.canonical(space.sample_arrays(30, np.random.default_rng(0)))
    points = hand_made_encodings(space)["one-hot"](cells)
    assert points.shape[0] == 30
    # An architecture with its two cells exchanged has its two halves exchanged.
    exchanged = hand_made_encodings(space)["one-hot"](cells.take(np.arange(60).reshape(30, 2)[:, ::-1].reshape(-1)))
    half = points.shape[1] // 2
    np.testing.assert_array_equal(exchanged, np.roll(points, half, axis=1))


def test_senseless_numbers_are_refused(model: CellAutoencoder, split: TrainingSplit) -> None:
    with pytest.raises(ValueError, match="at least one seed, but got 0"):
        encoder_report(model, split, seeds=0)
    with pytest.raises(ValueError, match=r"two or more labels, but got \[1\]"):
        encoder_report(model, split, labels=[1])
