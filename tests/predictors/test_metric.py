from __future__ import annotations

import numpy as np
import pytest
import torch

from graphnas.encoders import CellAutoencoder
from graphnas.encoders.statistics import structure_targets
from graphnas.networks import log_costs
from graphnas.predictors import encoding
from graphnas.predictors.metric import MetricEncoder
from graphnas.spaces import Space


@pytest.mark.parametrize("name", ["nasbench101", "enas", "nasbench201", "darts"])
def test_coordinates_are_a_map_of_the_latents_with_an_inverse(name: str) -> None:
    space, encoder = Space.load(name), CellAutoencoder.from_pretrained(name)
    encoded = MetricEncoder(space, encoder)
    cells = space.sample_arrays(500, np.random.default_rng(5))
    with torch.no_grad():
        u, log_variance = encoded.encode(cells)
        mu, _ = encoder.encode(cells)
    assert u.shape == log_variance.shape == (500, encoder.latent_dim)
    assert u.dtype == torch.float64
    # In all about as much variance as a standard normal distribution has.
    assert abs(float(u.var(0).sum()) / encoder.latent_dim - 1) < 0.15
    torch.testing.assert_close((u + encoded.centre) @ torch.linalg.inv(encoded.axes), mu.double(), atol=1e-4, rtol=1e-4)
    decoded = encoded.decode_arrays(u[:50])
    assert space.hashes(decoded) == space.hashes(encoder.decode_arrays(mu[:50]))


def test_distances_are_nearer_to_those_of_the_structure() -> None:
    space, encoder = Space.load("nasbench101"), CellAutoencoder.from_pretrained("nasbench101")
    encoded = MetricEncoder(space, encoder)
    cells = space.topology.canonical(space.sample_arrays(600, np.random.default_rng(6)))
    structure = torch.pdist(torch.from_numpy(structure_targets(cells, space.vocabulary, log_costs(space, cells))))
    with torch.no_grad():
        agreement = [
            float(torch.corrcoef(torch.stack([torch.pdist(one.encode(cells)[0].double()), structure]))[0, 1])
            for one in (encoded, encoder)
        ]
    assert agreement[0] > agreement[1] + 0.05


def test_the_metric_is_the_same_each_time() -> None:
    space, encoder = Space.load("nasbench201"), CellAutoencoder.from_pretrained("nasbench201")
    torch.testing.assert_close(MetricEncoder(space, encoder).axes, MetricEncoder(space, encoder).axes, rtol=0, atol=0)


def test_flow_counts_where_the_space_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    space, encoder = Space.load("nasbench201"), CellAutoencoder.from_pretrained("nasbench201")
    cells = space.topology.canonical(space.sample_arrays(600, np.random.default_rng(6)))
    flow = torch.pdist(torch.from_numpy(encoding(space, "flow")(cells)))

    def agreement() -> float:
        with torch.no_grad():
            distances = torch.pdist(MetricEncoder(space, encoder).encode(cells)[0])
        return float(torch.corrcoef(torch.stack([distances, flow]))[0, 1])

    heeded = agreement()
    monkeypatch.setitem(space.encoder, "flow", 0.0)
    assert heeded > agreement() + 0.02
