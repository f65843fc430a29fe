from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from graphnas.cell import Architecture, Cell, CellArrays
from graphnas.encoders import CellAutoencoder
from graphnas.encoders.svge_decoder import SvgeDecoder
from graphnas.encoders.svge_encoder import SvgeEncoder
from graphnas.encoders.svge_protocol import great_circle, interpolate, svge_protocol
from graphnas.spaces import Space

ENAS = Space.load("enas", layers=2)
NB101 = Space.load("nasbench101")


class Lookup:
    """Encodes known cells at known points of the plane and decodes a point to the nearest of them."""

    latent_dim = 2

    def __init__(self, space: Space, known: CellArrays, places: Tensor, logvar: float = -20.0) -> None:
        self.space, self.known, self.places, self.logvar = space, known, places, logvar
        self.decoded: list[tuple[Tensor, bool]] = []

    def arrays(self, given: Any) -> CellArrays:
        arrays = given if isinstance(given, CellArrays) else self.space.to_arrays(given)
        return self.space.topology.canonical(arrays)

    def encode(self, given: Any) -> tuple[Tensor, Tensor]:
        arrays = self.arrays(given).padded(self.known.ops.shape[1])
        rows = [
            next(
                row
                for row in range(self.known.n)
                if (self.known.ops[row] == ops).all() and (self.known.adjacency[row] == adjacency).all()
            )
            for ops, adjacency in zip(arrays.ops, arrays.adjacency, strict=True)
        ]
        mu = self.places[rows]
        return mu, torch.full_like(mu, self.logvar)

    def decode_arrays(self, z: Tensor, *, sample: bool = False, generator: torch.Generator | None = None) -> CellArrays:
        del generator
        self.decoded.append((z, sample))
        return self.known.take(torch.cdist(z, self.places).argmin(1).numpy())

    @property
    def model(self) -> CellAutoencoder:
        return cast(CellAutoencoder, self)


def circle(n: int) -> Tensor:
    angle = torch.arange(n) * (2 * torch.pi / n)
    return 10 * torch.stack([angle.cos(), angle.sin()], dim=1)


def test_a_perfect_decoder_of_twelve_cells() -> None:
    known = ENAS.topology.all_derivations().take(slice(12))
    stub = Lookup(ENAS, known, circle(12))
    train, held_out = known.take(slice(8)), known.take(slice(8, 12))
    found = svge_protocol(stub.model, held_out, train=train, prior_points=100)
    assert found["reconstruction"] == found["reconstruction_up_to_hash"] == found["validity"] == 1.0
    assert found["invalid_decodings"] == 0
    # Ten decodings of a point are all the same here.
    assert 0 < found["uniqueness"] <= 12 / 1000
    assert found["greedy_uniqueness"] == pytest.approx(10 * found["uniqueness"])
    prior, greedy = stub.decoded[-2:]
    assert prior[0].shape == (1000, 2)
    assert prior[1]
    assert not greedy[1]
    nearest = torch.cdist(greedy[0], stub.places).argmin(1)
    assert found["novelty"] == pytest.approx((nearest >= 8).float().mean().item())
    # Prior points have the mean and the spread of the training latents.
    torch.testing.assert_close(greedy[0].mean(0), circle(12)[:8].mean(0), atol=3.0, rtol=0)
    torch.testing.assert_close(greedy[0].std(0), circle(12)[:8].std(0, unbiased=False), atol=1.5, rtol=0)


def test_every_encoding_is_a_draw_of_its_own() -> None:
    known = ENAS.topology.all_derivations().take(slice(12))
    for noise, expected in ((1.0, 0.5), (0.01, 0.005)):
        stub = Lookup(ENAS, known, circle(12), logvar=2 * np.log(0.5))
        svge_protocol(stub.model, known, train=known, encodings=40, decodings=2, prior_points=1, noise=noise)
        drawn = torch.stack([z for z, _ in stub.decoded[:80]])
        assert all(sample for _, sample in stub.decoded[:80])
        assert torch.equal(drawn[0], drawn[1])  # two decodings of one encoding
        assert len({z.numpy().tobytes() for z in drawn}) == 40
        assert (drawn - circle(12)).std().item() == pytest.approx(expected, rel=0.1)


def test_wrong_and_illegal_decodings_are_counted() -> None:
    known = ENAS.topology.all_derivations().take(slice(4))
    stub = Lookup(ENAS, known, circle(4))
    # All decodings of cell 0 are cell 2, and all of cell 1 are illegal.
    stub.known = known.take([2, 1, 2, 3])
    stub.known.adjacency[1, 0, 1] = False
    stub.encode = Lookup(ENAS, known, circle(4)).encode  # type: ignore[method-assign]
    found = svge_protocol(stub.model, known.take([0, 1, 2]), train=known.take([2]), prior_points=50)
    assert found["reconstruction"] == pytest.approx(1 / 3)
    found = svge_protocol(stub.model, known, train=known, prior_points=50)
    assert found["reconstruction"] == found["reconstruction_up_to_hash"] == 0.5
    drawn, greedy = (torch.cdist(z, stub.places).argmin(1) for z, _ in stub.decoded[-2:])
    illegal = int((drawn == 1).sum())
    assert found["invalid_decodings"] == illegal > 0
    assert found["validity"] == pytest.approx(1 - illegal / 500)
    assert found["uniqueness"] == pytest.approx(len(set(drawn.tolist()) & {2, 3}) / (500 - illegal))
    assert found["novelty"] == 0.0
    distinct = {2 if row == 0 else row for row in greedy.tolist()} - {1}
    assert found["greedy_uniqueness"] == pytest.approx(len(distinct) / 50)


def test_a_cell_in_another_order_is_reconstructed_up_to_hash_only() -> None:
    cell = Cell(("input", "conv1x1", "conv3x3", "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 3)}))
    other = Cell(("input", "conv3x3", "conv1x1", "output"), cell.edges)
    known = NB101.topology.canonical(NB101.to_arrays([Architecture("nasbench101", (cell,))])).padded(7)
    both = NB101.to_arrays([Architecture("nasbench101", (one,)) for one in (cell, other)]).padded(7)
    swapped = both.take([0 if (both.ops[1] == known.ops[0]).all() else 1])
    stub = Lookup(NB101, known, torch.ones(1, 2))
    stub.decode_arrays = lambda z, **options: swapped.take(np.zeros(len(z), dtype=int))  # type: ignore[method-assign]
    found = svge_protocol(stub.model, known, train=known, prior_points=3)
    assert found["reconstruction"] == 0.0
    assert found["reconstruction_up_to_hash"] == 1.0
    assert found["novelty"] == 1.0  # labelled, as papers have it


def test_a_second_input_is_illegal_and_dead_vertices_are_dropped() -> None:
    line = Cell(("input", "conv1x1", "conv1x1", "output"), frozenset({(0, 1), (1, 2), (2, 3)}))
    known = NB101.to_arrays([Architecture("nasbench101", (line,))]).padded(7)
    stub = Lookup(NB101, known, torch.ones(1, 2))
    inputs = known.take([0])
    inputs.ops[0, 2] = 0
    stub.decode_arrays = lambda z, **options: inputs.take(np.zeros(len(z), dtype=int))  # type: ignore[method-assign]
    assert svge_protocol(stub.model, known, train=known, prior_points=3)["invalid_decodings"] == 30
    dead = known.take([0])
    dead.adjacency[0, 1, 2], dead.adjacency[0, 1, 3] = False, True
    stub.decode_arrays = lambda z, **options: dead.take(np.zeros(len(z), dtype=int))  # type: ignore[method-assign]
    assert svge_protocol(stub.model, known, train=known, prior_points=3)["validity"] == 1.0


@pytest.mark.parametrize("name", ["nasbench101", "darts"])
def test_an_untrained_autoencoder_of_masks_is_always_valid(name: str) -> None:
    space = Space.load(name)
    model = CellAutoencoder.for_space(space, seed=0).eval()
    drawn = space.sample(30, np.random.default_rng(0))
    settings: dict[str, Any] = {"encodings": 2, "decodings": 3, "prior_points": 20}
    found = svge_protocol(model, drawn[:10], train=drawn[10:], **settings)
    assert found["validity"] == 1.0
    assert found["invalid_decodings"] == 0
    assert all(0 <= value <= 1 for value in found.values())
    assert found == svge_protocol(model, drawn[:10], train=drawn[10:], **settings)
    if name == "nasbench101":  # figures of the other are at their ends, whatever the seed
        assert found != svge_protocol(model, drawn[:10], train=drawn[10:], seed=1, **settings)


def test_an_untrained_svge_is_not() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts: Any = SvgeEncoder(5, latent_dim=6, hidden=20), SvgeDecoder(5, latent_dim=6, hidden=20)
    model = CellAutoencoder(*parts, NB101)
    drawn = NB101.sample(30, np.random.default_rng(0))
    found = svge_protocol(model, drawn[:10], train=drawn[10:], encodings=2, decodings=3, prior_points=50)
    assert 0 < found["validity"] < 1
    assert found["invalid_decodings"] == pytest.approx(150 * (1 - found["validity"]))
    for one in interpolate(model, drawn[0], drawn[1], decodings=10):
        NB101.validate(one)


def test_nothing_to_measure_is_refused() -> None:
    known = ENAS.topology.all_derivations().take(slice(4))
    stub = Lookup(ENAS, known, circle(4))
    with pytest.raises(ValueError, match="held_out to hold at least one"):
        svge_protocol(stub.model, [], train=known)
    with pytest.raises(ValueError, match="train to hold at least one"):
        svge_protocol(stub.model, known, train=[])


def test_interpolation_and_circle_visit_what_lies_between() -> None:
    known = ENAS.topology.all_derivations().take(slice(4))
    first, second, third, fourth = ENAS.from_arrays(known)
    stub = Lookup(ENAS, known, circle(4))  # east, north, west, south
    assert interpolate(stub.model, first, second, points=2, decodings=3) == [first, second]
    assert len(interpolate(stub.model, first, third, decodings=3)) == 11
    line = torch.unique_consecutive(stub.decoded[-1][0], dim=0)
    torch.testing.assert_close(
        line, torch.stack([torch.linspace(10, -10, 11), torch.zeros(11)], dim=1), atol=1e-5, rtol=0
    )
    assert great_circle(stub.model, first, second, points=4, decodings=3) == [first, second, third, fourth]
    assert great_circle(stub.model, second, first, points=4, decodings=3) == [second, first, fourth, third]
    assert len(great_circle(stub.model, first, second, decodings=3)) == 36
    torch.testing.assert_close(stub.decoded[-1][0].norm(dim=1), torch.full((108,), 10.0))
    with pytest.raises(ValueError, match="different directions"):
        great_circle(stub.model, first, third)


def test_the_most_frequent_legal_decoding_is_taken() -> None:
    known = ENAS.topology.all_derivations().take(slice(4))
    first, second, *_ = ENAS.from_arrays(known)
    stub = Lookup(ENAS, known, circle(4))
    numbers = np.array([3, 3, 3, 1, 0, 0, 1, 1, 2, 2] + [3] * 10)
    shown = known.take(numbers)
    shown.adjacency[numbers == 3, 0, 1] = False
    stub.decode_arrays = lambda z, **options: shown  # type: ignore[method-assign]
    # At the first point number 1 comes three times, the illegal one as often; the second point has illegal ones only.
    assert interpolate(stub.model, first, second, points=2, decodings=10) == [second]
