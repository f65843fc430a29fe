from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from graphnas.analysis import training_split
from graphnas.cli.main import app
from graphnas.encoders import CellAutoencoder, quality
from graphnas.spaces import Space


@pytest.mark.parametrize("name", ["nasbench201", "enas", "darts"])
def test_both_sides_are_different_architectures(name: str) -> None:
    space = Space.load(name)
    split = training_split(space, held_out=200, seed=3, cells=3_000)
    hashes = space.hashes(split.held_out), space.hashes(split.train)
    assert len(set(hashes[0])) == 200
    assert not set(hashes[0]) & set(hashes[1])
    if name == "nasbench201":
        # All labelled cells, of which several may share a class.
        both = np.concatenate([split.held_out.ops, split.train.ops])
        assert len(np.unique(both, axis=0)) == 15_625
        assert len(hashes[0]) > 200
    else:
        assert len(set(hashes[0]) | set(hashes[1])) == len(hashes[0]) + len(hashes[1])
        assert 2_900 < len(hashes[0]) + len(hashes[1]) <= 3_000


def test_a_tenth_at_most_is_held_out_and_the_seed_decides_which() -> None:
    space = Space.load("nasbench201")
    one, same, other = (training_split(space, held_out=10_000, seed=seed) for seed in (0, 0, 1))
    assert len(set(space.hashes(one.held_out))) == 646  # of 6,466 classes
    assert one.train.n == 15_625 - one.held_out.n
    assert np.array_equal(one.held_out.ops, same.held_out.ops)
    assert not np.array_equal(one.held_out.ops, other.held_out.ops)


def test_a_share_of_the_training_side_leaves_the_other_side_alone() -> None:
    space = Space.load("nasbench201")
    whole, part = (training_split(space, held_out=500, share=share) for share in (1.0, 0.1))
    assert np.array_equal(whole.held_out.ops, part.held_out.ops)
    assert len(set(space.hashes(part.train))) == 597  # a tenth of 6,466 - 500 classes, rounded
    assert np.array_equal(whole.train.ops[: part.train.n], part.train.ops)
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="share to be above 0 and at most 1"):
            training_split(space, share=share)


@pytest.mark.slow
def test_the_split_is_that_of_the_command_train(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    arguments = ["train", "enas", "--minutes", "0.05", "--cells", "2000", "--held-out", "150", "--seed", "4", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(folder)])
    assert result.exit_code == 0, result.stderr
    recorded = json.loads((folder / "metrics.json").read_text())
    split = training_split(Space.load("enas"), held_out=150, seed=4, cells=2_000)
    assert (recorded["held_out"], recorded["cells"]) == (split.held_out.n, split.train.n)
    measured = quality(CellAutoencoder.from_pretrained(folder), split.held_out, train=split.train, seed=4)
    # Another held-out architecture would move the mean divergence.
    assert measured["kl"] == pytest.approx(recorded["quality"]["kl"], rel=1e-6)


@pytest.mark.slow
def test_nasbench101_is_listed() -> None:
    split = training_split(Space.load("nasbench101"), held_out=42_000)
    assert (split.held_out.n, split.train.n) == (42_000, 381_624)
