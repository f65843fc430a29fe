"""What an autoencoder must do in every space that comes with the library."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import OWN_ENCODER, relabelled

from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder, quality
from graphnas.encoders.decoder import ScoredDecisions, TrainingCells, decision_loss, decision_masks
from graphnas.spaces import Space

MODELS = {name: CellAutoencoder.for_space(Space.load(name), seed=3) for name in OWN_ENCODER}
LIGHT: dict[str, dict[str, Any]] = {
    "universal": {"encoder": {"width": 32, "places": 64}, "decoder": {"width": 32}},
    "svge": {"encoder": {"hidden": 24}, "decoder": {"hidden": 24}},
    "dvae": {"encoder": {"hidden": 48}},
}
OTHERS = {
    f"{name}-{kind}": CellAutoencoder.for_space(Space.load(name), kind=kind, seed=3, **settings)
    for kind, settings in LIGHT.items()
    for name in OWN_ENCODER
    if kind != "svge" or name != "darts"  # SVGe knows one input
}
ALL = {**MODELS, **OTHERS}
TINY = {"dag": {"max_vertices": 4}, "chain": {"layers": 2}, "complete": {"nodes": 3}, "in_degree": {"nodes": 1}}
every_kind = pytest.mark.parametrize("model", ALL.values(), ids=ALL)
MASKED = {name: model for name, model in ALL.items() if model.kind != "svge"}
every_masked = pytest.mark.parametrize("model", MASKED.values(), ids=MASKED)
every_name = pytest.mark.parametrize("name", MODELS)


@every_kind
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=5)
def test_relabelling_vertices_does_not_move_the_latent(model: CellAutoencoder, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = model.space.sample(4, rng)
    moved = [Architecture(one.space, tuple(relabelled(cell, rng) for cell in one.cells)) for one in drawn]
    mu, logvar = model.encode(drawn)
    assert mu.shape == logvar.shape == (4, model.cell_dim * len(model.space.cell_names))
    # Canonical cells are equal bit by bit.
    assert torch.equal(model.encode(moved)[0], mu)
    assert torch.equal(model.encode(moved)[1], logvar)


@every_masked
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 30.0), st.booleans())
@settings(max_examples=5)
def test_every_decoding_is_legal(model: CellAutoencoder, seed: int, scale: float, sample: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = scale * torch.randn(8, model.latent_dim, generator=generator)
    decoded = model.decode(z, sample=sample, generator=generator)
    assert len(decoded) == 8
    for one in decoded:
        model.space.validate(one)


@every_name
def test_the_probabilities_of_all_derivations_sum_to_one_and_are_those_of_sampling(name: str) -> None:
    space = Space.load(name, **TINY[MODELS[name].space.topology.kind])
    topology, decoder = space.topology, MODELS[name].decoder
    scored = ScoredDecisions.of(topology, torch.device("cpu"))
    arrays = topology.all_derivations()
    graphs = torch.from_numpy(arrays.ops), torch.from_numpy(arrays.adjacency)
    cells = TrainingCells(*graphs, *graphs, *decision_masks(topology, arrays))
    point = 2 * torch.randn(1, MODELS[name].cell_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        op_logits, pair_logits = decoder(point.expand(arrays.n, -1), cells.ops.long(), cells.adjacency.float(), scored)
        rows = [torch.tensor([row]) for row in range(arrays.n)]
        nats = torch.stack([decision_loss(op_logits[r], pair_logits[r], cells.take(r), scored) for r in rows])
        drawn = decoder.derive(
            point.expand(8000, -1), topology, sample=True, generator=torch.Generator().manual_seed(2)
        )
    probability = (-nats.double()).exp().numpy()
    assert probability.sum() == pytest.approx(1.0, abs=1e-4)
    number = {(ops.tobytes(), edges.tobytes()): row for row, (ops, edges) in enumerate(zip(*arrays[:2], strict=True))}
    found = [number[ops.tobytes(), edges.tobytes()] for ops, edges in zip(*drawn[:2], strict=True)]
    frequency = np.bincount(found, minlength=arrays.n) / len(found)
    assert np.abs(frequency - probability).max() < 5 * np.sqrt(0.25 / len(found))


@every_kind
def test_an_encoder_is_saved_with_the_limits_of_its_space(model: CellAutoencoder, tmp_path: Path) -> None:
    space = Space.load(model.space.name, **TINY[model.space.topology.kind])
    tiny = CellAutoencoder.for_space(space, kind=model.kind, latent_dim=6, **LIGHT.get(model.kind, {}))
    tiny.save_pretrained(tmp_path)
    loaded = CellAutoencoder.from_pretrained(tmp_path)
    assert loaded.kind == model.kind
    assert loaded.space.topology.settings == space.topology.settings
    drawn = space.sample_arrays(3, np.random.default_rng(0))
    z = tiny.encode(drawn)[0]
    assert torch.equal(loaded.encode(drawn)[0], z)
    for one, other in zip(loaded.decode_arrays(z), tiny.decode_arrays(z), strict=True):
        assert np.array_equal(one, other)


@every_kind
def test_one_step_of_training_has_finite_gradients_everywhere(model: CellAutoencoder) -> None:
    fresh = copy.deepcopy(model)
    cells = fresh.training_cells(fresh.space.sample_arrays(6, np.random.default_rng(0)))
    mu, logvar = fresh.encoder(cells.ops.long(), cells.adjacency.float())
    loss = fresh.decoder.loss(mu, cells, fresh.space.topology) + logvar.mean()
    loss.backward()
    assert loss.item() > 0
    for name, parameter in fresh.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
    assert sum(parameter.grad is not None for parameter in fresh.parameters()) > 10


@every_kind
def test_measures_of_an_untrained_model_are_shares(model: CellAutoencoder) -> None:
    drawn = model.space.sample_arrays(6, np.random.default_rng(0))
    measured = quality(model, drawn, train=drawn, prior_samples=20)
    assert all(0 <= measured[name] <= 1 for name in measured if name not in ("active_units", "kl"))
    if model.kind != "svge":
        assert measured["validity"] == 1.0


class TestShippedEncoders:
    @every_name
    def test_they_return_architectures_from_their_latent_means(self, name: str) -> None:
        model = CellAutoencoder.from_pretrained(name)
        space = Space.load(name)
        drawn = space.sample(500, np.random.default_rng(11))
        decoded = model.decode(model.encode(drawn)[0], space=space)
        for one in decoded[:50]:
            space.validate(one)
        same = [a == b for a, b in zip(space.hashes(drawn), space.hashes(decoded), strict=True)]
        assert np.mean(same) >= 0.95

    @every_name
    def test_they_are_small(self, name: str) -> None:
        folder = Space.load(name).path.parents[1] / "encoders" / name
        assert (folder / "model.safetensors").stat().st_size <= 4 * 2**20
        assert (folder / "README.md").is_file()
        assert (folder / "metrics.json").is_file()
