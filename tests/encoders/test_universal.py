from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graphnas.encoders import CellAutoencoder, fit
from graphnas.encoders.fitting import reconstruction
from graphnas.encoders.objective import Recipe
from graphnas.encoders.prior import CollapseError
from graphnas.encoders.universal_fitting import Part, fit_universal
from graphnas.spaces import Space
from graphnas.spaces.universal import UNIVERSAL, any_space, random_graphs

SMALL = {
    "encoder": {"width": 32, "readout": 64, "places": 64, "graph": 64},
    "decoder": {"width": 32, "pair": 16},
}
ANY = any_space(8)


def small_model(space: Space = ANY) -> CellAutoencoder:
    return CellAutoencoder.for_space(space, kind="universal", latent_dim=16, **SMALL)


def parts(cells: int = 30) -> list[Part]:
    rng, found = np.random.default_rng(0), []
    for name in ("nasbench101", "nasbench201", "darts"):
        space = Space.load(name)
        arrays = space.topology.canonical(space.sample_arrays(cells, rng))
        found.append(Part(space, arrays, cells, validation=arrays))
    return [*found, Part(ANY, random_graphs(ANY, cells, rng), cells)]


@torch.no_grad()
def nats(model: CellAutoencoder, part: Part) -> float:
    """Mean negative log-likelihood of a part's cells at their latent means."""
    bound = model.bound_to(part.space)
    cells = bound.training_cells(part.arrays)
    mu, _ = bound.encoder(cells.read_ops.long(), cells.read_adjacency.float())
    return float(bound.decoder.loss(mu, cells, part.space.topology))


@pytest.mark.slow
def test_cells_of_all_spaces_are_learnt_by_heart_with_the_same_weights() -> None:
    model, rows = small_model(), []
    given = parts()
    history = fit_universal(model, given, steps=500, progress=lambda row: rows.append(dict(row)))
    assert rows == history
    assert [row["step"] for row in rows] == [100, 200, 300, 400, 500]
    assert history[-1]["reconstruction_nats"] < 0.5 * history[0]["reconstruction_nats"]
    # Both cells of an architecture of DARTS would take a larger model; it has learnt what they are like.
    assert nats(model, given[2]) < 0.5 * nats(small_model(), given[2])
    for part in given[:2]:
        assert reconstruction(model.bound_to(part.space), part.arrays) > 0.9, part.space.name
    latents = torch.cat([model.bound_to(part.space).encode(part.arrays)[0].reshape(-1, 16) for part in given])
    assert latents.mean(0).abs().max() < 0.5
    assert latents.std() == pytest.approx(1.0, abs=0.3)


@pytest.mark.slow
def test_a_fit_that_was_killed_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(row: Mapping[str, float]) -> None:
        if row["step"] == 220:
            raise Killed

    whole, resumed = small_model(), small_model()
    fit_universal(whole, parts(), steps=230, report_every=20)
    with pytest.raises(Killed):
        fit_universal(resumed, parts(), steps=230, report_every=20, checkpoint=tmp_path, progress=kill)
    fit_universal(small := small_model(), parts(), steps=230, report_every=20, checkpoint=tmp_path)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, small.state_dict()[name]), name
    with pytest.raises(ValueError, match="belongs to another fit: seed was 0 and is 1"):
        fit_universal(small_model(), parts(), steps=230, seed=1, checkpoint=tmp_path)


def test_one_file_serves_every_space_and_centres_its_latents_there(tmp_path: Path) -> None:
    model = small_model()
    model.save_pretrained(tmp_path)
    again = CellAutoencoder.from_pretrained(tmp_path)
    assert again.kind == "universal"
    assert again.vocabulary == UNIVERSAL
    assert again.space.topology.settings == ANY.topology.settings
    assert not (tmp_path / "space.toml").exists()
    space = Space.load("nasbench201")
    bound = CellAutoencoder.from_pretrained(tmp_path, space=space)
    z = bound.encode(space.sample_arrays(2_000, np.random.default_rng(0)))[0]
    assert z.mean(0).abs().max() < 1e-4
    # What binds it without a file keeps the coordinates that all spaces share.
    cells = space.sample(3, np.random.default_rng(1))
    shared = again.bound_to(space).encode(cells)[0]
    assert torch.allclose(bound.encode(cells)[0] * bound.scale + bound.shift, shared, atol=1e-5)


def test_fine_tuned_in_one_space_it_is_saved_with_that_space(tmp_path: Path) -> None:
    space = Space.load("nasbench101")
    cells = space.sample(40, np.random.default_rng(0))
    model = small_model().bound_to(space)
    fit(model, cells, labels=np.linspace(0, 1, 40), steps=30, recipe=Recipe(batch_size=20, edits=0.0))
    model.save_pretrained(tmp_path)
    again = CellAutoencoder.from_pretrained(tmp_path)
    assert again.space.name == "nasbench101"
    z = model.encode(cells)[0]
    assert torch.equal(again.encode(cells)[0], z)
    assert torch.equal(again.predict(z)[0], model.predict(z)[0])
    assert again.decode(z) == model.decode(z)


@pytest.mark.parametrize("name", ["nasbench101", "darts", "enas"])
def test_cells_are_derived_in_the_order_in_which_they_are_read(name: str) -> None:
    space = Space.load(name)
    model = small_model().bound_to(space)
    arrays = model.arrays(space.sample_arrays(100, np.random.default_rng(0)))
    read = model.read(arrays).ops
    assert model.codes is not None
    # A second input that feeds nothing is not derived.
    read = np.delete(read, 1, axis=1) if len(space.topology.inputs) == 1 else read
    np.testing.assert_array_equal(read, np.append(model.codes, -1)[arrays.ops])
    assert space.hashes(arrays) == space.hashes(space.topology.canonical(arrays))


def test_decoding_into_another_space() -> None:
    model, darts = small_model(), Space.load("darts")
    z = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    for name in ("nasbench101", "nasbench201", "enas"):
        space = Space.load(name)
        for one in model.decode(z, space=space):
            space.validate(one)
    with pytest.raises(ValueError, match="space of 1 cells"):
        model.decode(z, space=darts)


def test_only_a_universal_model_can_be_bound() -> None:
    with pytest.raises(ValueError, match="knows nasbench101 alone"):
        CellAutoencoder.for_space(Space.load("nasbench101"), **SMALL).bound_to(ANY)


def test_a_part_needs_as_many_cells_as_its_batch() -> None:
    with pytest.raises(ValueError, match="as many cells as a batch"):
        fit_universal(small_model(), [Part(ANY, random_graphs(ANY, 3, np.random.default_rng(0)), 4)])
    with pytest.raises(ValueError, match=r"Expected weights above 0, but got \[0.0\]"):
        fit_universal(small_model(), [Part(ANY, random_graphs(ANY, 5, np.random.default_rng(0)), 4, weight=0.0)])


@pytest.mark.slow
def test_what_weighs_more_is_learnt_first() -> None:
    left = []
    for weights in ((1.0, 0.01), (0.01, 1.0)):
        model = small_model()
        given = [replace(part, weight=weight) for part, weight in zip(parts()[1:3], weights, strict=True)]
        # So short a fit does not use its latent space yet.
        with contextlib.suppress(CollapseError):
            fit_universal(model, given, steps=60)
        left.append([nats(model, part) for part in given])
    assert left[0][0] < left[1][0]
    assert left[0][1] > left[1][1]
