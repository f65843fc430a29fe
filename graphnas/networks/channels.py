"""How many channels each vertex of a cell computes, for many cells at once."""

from __future__ import annotations

import numpy as np

from graphnas.cell import CellArrays, IntArray


def vertex_channels(arrays: CellArrays, in_channels: int, out_channels: int) -> IntArray:
    """Channels of every vertex of pruned cells (Ying et al. 2019, Sec. 2.4, and their published code).

    The inner vertices that feed the output share `out_channels` evenly, and the remainder goes, one each, to the
    first of them in vertex order. Any other inner vertex computes as many channels as the widest inner vertex that
    it feeds. Since the remainder goes by vertex order, isomorphic cells may have different channels.

    Args:
        arrays: `n` pruned cells of at most `v` vertices, one input each.
        in_channels: Channels of the tensor that enters the cell.
        out_channels: Channels of the tensor that leaves it.

    Returns:
        `n x v` channels, 0 for padding. A vertex of 0 channels means that more vertices feed the output than
        `out_channels` can serve.
    """
    n, v = arrays.ops.shape
    rows = np.arange(n)
    output = arrays.size.astype(np.int64) - 1
    vertex = np.arange(v)
    inner = (vertex > 0) & (vertex < output[:, None])
    feeds_output = arrays.adjacency[rows, :, output] & inner
    degree = np.maximum(feeds_output.sum(1), 1)
    quotient, remainder = out_channels // degree, out_channels % degree
    earlier: IntArray = np.cumsum(feeds_output, axis=1) - feeds_output
    shares = quotient[:, None] + (earlier < remainder[:, None])
    channels = np.where(feeds_output, shares, 0).astype(np.int64)
    for i in range(v - 2, 0, -1):
        widest = np.where(arrays.adjacency[:, i] & inner, channels, 0).max(1)
        channels[:, i] = np.where(inner[:, i] & ~feeds_output[:, i], widest, channels[:, i])
    channels[:, 0] = in_channels
    channels[rows, output] = out_channels
    return channels
