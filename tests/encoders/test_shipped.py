"""The encoders that come with the library, on architectures drawn anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphnas.encoders import CellAutoencoder
from graphnas.encoders.fitting import reconstruction
from graphnas.encoders.legality import legal_hashes
from graphnas.spaces import Space


def test_every_class_of_nasbench201_comes_back() -> None:
    space = Space.load("nasbench201")
    classes = space.enumerate_arrays()
    assert classes.n == 6466
    assert reconstruction(CellAutoencoder.from_pretrained("nasbench201"), classes) == 1.0


@pytest.mark.parametrize(("name", "least"), [("nasbench101", 0.9998), ("enas", 0.999), ("darts", 0.99)])
def test_random_architectures_come_back(name: str, least: float) -> None:
    space, encoder = Space.load(name), CellAutoencoder.from_pretrained(name)
    assert reconstruction(encoder, space.sample_arrays(5000, np.random.default_rng(11))) >= least


@pytest.mark.parametrize(
    ("name", "least"),
    [("nasbench101", 0.999), ("nasbench201", 1.0), ("darts", 0.99), ("enas", 0.998), ("digits101", 1.0)],
)
def test_the_universal_encoder_gives_back_the_architectures_of_all_spaces(name: str, least: float) -> None:
    space = Space.load(name)
    encoder = CellAutoencoder.from_pretrained("universal", space=space)
    assert reconstruction(encoder, space.sample_arrays(2000, np.random.default_rng(11))) >= least


def test_points_of_the_universal_prior_are_legal_in_every_space() -> None:
    encoder = CellAutoencoder.from_pretrained("universal")
    for name in ("nasbench101", "nasbench201", "darts", "enas"):
        space = Space.load(name)
        cells = len(space.cell_names)
        z = torch.randn(200, cells * encoder.cell_dim, generator=torch.Generator().manual_seed(3))
        hashes = legal_hashes(space, encoder.bound_to(space).decode_arrays(z))
        assert (hashes != "").all()
        assert len(set(hashes.tolist())) > 100


@pytest.mark.parametrize(
    ("name", "least"), [("nasbench101", 0.98), ("nasbench201", 0.5), ("enas", 0.99), ("darts", 0.99)]
)
def test_points_of_the_prior_are_legal_and_differ(name: str, least: float) -> None:
    space, encoder = Space.load(name), CellAutoencoder.from_pretrained(name)
    z = torch.randn(2000, encoder.latent_dim, generator=torch.Generator().manual_seed(3))
    hashes = legal_hashes(space, encoder.decode_arrays(z))
    assert (hashes != "").all()
    assert len(set(hashes.tolist())) / 2000 >= least
