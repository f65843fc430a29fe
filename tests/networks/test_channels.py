import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graphnas.cell import Cell, to_arrays
from graphnas.networks import vertex_channels

VOCABULARY = ("input", "output", "conv3x3", "conv1x1", "maxpool3x3")


def channels(size: int, edges: set[tuple[int, int]], out: int, into: int = 128) -> list[int]:
    cell = Cell(("input", *["conv3x3"] * (size - 2), "output"), frozenset(edges))
    row: list[int] = vertex_channels(to_arrays([cell], VOCABULARY, width=7), into, out)[0].tolist()
    return row


def test_remainder_goes_to_the_first_vertices_that_feed_the_output() -> None:
    edges = {(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)}
    assert channels(5, edges, 128) == [128, 43, 43, 42, 128, 0, 0]


def test_other_vertices_take_the_widest_of_those_they_feed() -> None:
    # 1 feeds 2 (which has 5 channels) and 3 (which has 4), and not the output.
    edges = {(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)}
    assert channels(5, edges, 9) == [128, 5, 5, 4, 9, 0, 0]


def test_chain_and_bare_edge_keep_all_channels() -> None:
    assert channels(4, {(0, 1), (1, 2), (2, 3)}, 64) == [128, 64, 64, 64, 0, 0, 0]
    assert channels(2, {(0, 1)}, 64) == [128, 64, 0, 0, 0, 0, 0]


def test_input_to_output_edge_takes_no_share() -> None:
    assert channels(3, {(0, 1), (1, 2), (0, 2)}, 64) == [128, 64, 64, 0, 0, 0, 0]


@given(st.integers(2, 5), st.integers(5, 300))
def test_shares_sum_to_the_output(inner: int, out: int) -> None:
    edges = {(0, j) for j in range(1, inner + 1)} | {(j, inner + 1) for j in range(1, inner + 1)}
    shares = channels(inner + 2, edges, out)[1 : inner + 1]
    assert sum(shares) == out
    assert np.ptp(shares) <= 1
