from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphnas.encoders import CellAutoencoder, fit, quality
from graphnas.encoders.fitting import CollapseError, reconstruction
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
CELLS = SPACE.sample(40, np.random.default_rng(0))
SMALL = {"encoder": {"width": 32, "readout": 64}, "decoder": {"width": 32, "pair": 16}}


def small_model(seed: int = 0) -> CellAutoencoder:
    return CellAutoencoder.for_space(SPACE, latent_dim=8, seed=seed, **SMALL)


def test_a_handful_of_cells_is_learnt_by_heart() -> None:
    model = small_model()
    history = fit(model, CELLS, steps=350, batch_size=40, beta=0.01)
    assert reconstruction(model, CELLS) >= 0.95
    assert history[-1]["reconstruction_nats"] < history[0]["reconstruction_nats"] / 3
    measured = quality(model, CELLS, train=CELLS, prior_samples=200)
    assert measured["validity"] == 1.0
    assert measured["reconstruction"] >= 0.95
    assert measured["active_units"] >= 2


def test_equal_seeds_give_equal_weights() -> None:
    models = [small_model() for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        fit(model, CELLS, steps=20, batch_size=16, seed=seed)
    first, again, other = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_killed_fit_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(row: object) -> None:
        if row["step"] == 300:  # type: ignore[index]
            raise Killed

    straight, resumed = small_model(), small_model()
    expected = fit(straight, CELLS, steps=350, batch_size=8)
    with pytest.raises(Killed):
        fit(resumed, CELLS, steps=350, batch_size=8, checkpoint=tmp_path, progress=kill)
    resumed = small_model(seed=9)
    history = fit(resumed, CELLS, steps=350, batch_size=8, checkpoint=tmp_path)
    assert [row["loss"] for row in history] == [row["loss"] for row in expected]
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name])
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_fit_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(row: object) -> None:
        if row["step"] == 300:  # type: ignore[index]
            raise Killed

    with pytest.raises(Killed):
        fit(small_model(), CELLS, steps=350, batch_size=8, checkpoint=tmp_path, progress=kill)
    with pytest.raises(ValueError, match=r"fit\.safetensors: .* another fit: seed was 0 and is 7"):
        fit(small_model(), CELLS, steps=350, batch_size=8, checkpoint=tmp_path, seed=7)
    with pytest.raises(ValueError, match="another fit: cells was"):
        fit(small_model(), CELLS[1:], steps=350, batch_size=8, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="another fit: encoder was"):
        fit(CellAutoencoder.for_space(SPACE, latent_dim=4), CELLS, steps=350, batch_size=8, checkpoint=tmp_path)
    path = tmp_path / "fit.safetensors"
    for damaged in (path.read_bytes()[:5000], b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"fit\.safetensors: the checkpoint is damaged"):
            fit(small_model(), CELLS, steps=350, batch_size=8, checkpoint=tmp_path)


def test_fitting_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(small_model(), CELLS, steps=3)
    assert torch.equal(torch.rand(3), expected)


def test_a_latent_space_without_information_is_an_error() -> None:
    with pytest.raises(CollapseError, match="of 8 units are active"):
        fit(small_model(), CELLS, steps=300, beta=50.0, auxiliary_weight=0.0)


def test_wrong_targets_and_no_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="targets to be 40 x t"):
        fit(small_model(), CELLS, targets=np.zeros((3, 1)))
    with pytest.raises(ValueError, match="at least one cell"):
        fit(small_model(), [])
    with pytest.raises(ValueError, match="seed to be from 0 to 2147483647, but got -1"):
        fit(small_model(), CELLS, seed=-1)


def test_a_budget_of_minutes_ends_the_fit() -> None:
    history: list[dict[str, float]] = []
    fit(small_model(), CELLS, minutes=0.02, steps=10**6, progress=lambda row: history.append(dict(row)))
    assert history[-1]["step"] < 10**5
