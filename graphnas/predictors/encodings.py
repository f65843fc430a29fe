"""Architectures as rows of numbers, each row a function of its architecture alone."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch

from graphnas.cell import CellArrays
from graphnas.encoders.features import one_hot, path_counts, wl_counts
from graphnas.encoders.protocol import Encoder
from graphnas.encoders.statistics import graph_statistics, path_sketch, principal_axes
from graphnas.predictors.flow import flow_paths, flow_statistics
from graphnas.predictors.metric import MetricEncoder
from graphnas.predictors.protocol import Architectures, FloatArray
from graphnas.spaces import Space

Encoding = Callable[[Architectures], FloatArray]
"""From `n` architectures to `n x f` features."""

ENCODINGS = ("adjacency", "paths", "truncated-paths", "wl", "statistics", "structure", "all", "flow")
"""Names of hand-made encodings.

One-hot labels and edges, counts of label sequences along paths (of all, and of those through few vertices), Weisfeiler-
Leman counts, graph statistics; 32 principal components of paths, counts and statistics; all but these side by side; and
what a cell computes along its paths (`flow`)."""

_COMPONENTS = 32
_BASIS_OF = 2_000  # random architectures to which units and principal components are fitted
_TRUNCATED = 40  # label sequences that the truncated encoding counts, the shortest ones
_CHUNK = 8_192  # architectures encoded at once
_BLOCKS = {
    "adjacency": ("adjacency",),
    "paths": ("paths",),
    "truncated-paths": ("truncated-paths",),
    "wl": ("wl",),
    "statistics": ("statistics",),
    "structure": ("statistics", "paths", "wl"),
    "all": ("adjacency", "statistics", "paths", "wl"),
    "flow": ("flow-statistics", "flow-paths"),
}
_OWN_UNITS = ("statistics", "flow-statistics")  # blocks whose columns have units of their own


def cells_of(space: Space, architectures: Architectures) -> CellArrays:
    """The cells of architectures, those of one architecture in consecutive rows."""
    return architectures if isinstance(architectures, CellArrays) else space.to_arrays(architectures)


def count(space: Space, architectures: Architectures) -> int:
    """How many architectures these are."""
    return architectures.n // len(space.cell_names) if isinstance(architectures, CellArrays) else len(architectures)


def latent_encoding(space: Space, encoder: Encoder, *, metric: bool = True) -> Encoding:
    """The latent means of an encoder.

    Args:
        space: Space of the architectures.
        encoder: A fitted autoencoder.
        metric: Whether they are given in the coordinates of `MetricEncoder`, in which distances mean more.
    """
    placed = MetricEncoder(space, encoder) if metric else encoder

    def encode(architectures: Architectures) -> FloatArray:
        cells, parts = cells_of(space, architectures), len(space.cell_names)
        with torch.no_grad():
            points = [
                placed.encode(cells.take(slice(start, start + _CHUNK * parts)))[0].double().cpu().numpy()
                for start in range(0, cells.n, _CHUNK * parts)
            ]
        return np.concatenate(points) if points else np.zeros((0, placed.latent_dim))

    return encode


def remembered(encode: Encoding) -> Encoding:
    """An encoding that, asked about the same architectures again, returns the rows that it has."""
    last: tuple[tuple[bytes, ...], FloatArray] | None = None

    def encoded(architectures: Architectures) -> FloatArray:
        nonlocal last
        if not isinstance(architectures, CellArrays):
            return encode(architectures)
        asked = tuple(array.tobytes() for array in architectures)
        if last is None or last[0] != asked:
            last = asked, encode(architectures)
        return last[1]

    return encoded


@functools.lru_cache(maxsize=16)
def encoding(space: Space, name: str) -> Encoding:
    """One of `ENCODINGS`.

    Columns are centred and in common units such that the variance of all is that of as many standard normal ones, over
    random architectures of the space.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in ENCODINGS:
        raise ValueError(f"Expected an encoding out of {', '.join(ENCODINGS)}, but got {name!r}")
    parts, blocks = len(space.cell_names), [_MAKERS[block] for block in _BLOCKS[name]]
    basis = space.sample_arrays(_BASIS_OF, np.random.default_rng(0))

    def raw(cells: CellArrays) -> list[FloatArray]:
        cells = space.topology.canonical(cells).padded(space.topology.max_vertices)
        found = [block(space, cells) for block in blocks]
        return [block.reshape(cells.n // parts, -1) for block in found]

    fitted = raw(basis)
    means = [block.mean(0) for block in fitted]
    units = [np.ones(block.shape[1]) for block in fitted]
    for place, part in enumerate(_BLOCKS[name]):
        # The blocks get equal total variance.
        if part in _OWN_UNITS:
            units[place] = np.where(fitted[place].std(0) > 1e-9, fitted[place].std(0), 1.0)
    for block, mean, unit in zip(fitted, means, units, strict=True):
        unit *= float(np.sqrt((((block - mean) / unit) ** 2).sum(1).mean())) or 1.0

    def joined(cells: CellArrays) -> FloatArray:
        blocks = raw(cells)
        for block, mean, unit in zip(blocks, means, units, strict=True):
            block -= mean
            block /= unit
        return np.concatenate(blocks, axis=1)

    points = joined(basis)
    axes = principal_axes(points)[1][:_COMPONENTS].T if name == "structure" else None
    points = points @ axes if axes is not None else points
    scale = np.sqrt(points.shape[1] / float(points.var(0).sum()))
    if axes is None:
        return lambda architectures: joined(cells_of(space, architectures)) * scale
    return lambda architectures: joined(cells_of(space, architectures)) @ (axes * scale)


def _paths(space: Space, cells: CellArrays) -> FloatArray:
    """Path counts in columns that are the same for all cells of the space, or their sketch if these are too many."""
    try:
        return path_counts(cells, space.vocabulary)
    except ValueError:
        return path_sketch(cells, space.vocabulary)


def _truncated_paths(space: Space, cells: CellArrays) -> FloatArray:
    """The first columns of path counts, which are those of the fewest vertices."""
    return _paths(space, cells)[:, :_TRUNCATED]


_MAKERS: dict[str, Callable[[Space, CellArrays], FloatArray]] = {
    "adjacency": lambda space, cells: one_hot(cells, space.vocabulary),
    "paths": _paths,
    "truncated-paths": _truncated_paths,
    "wl": lambda space, cells: wl_counts(cells, space.vocabulary),
    "statistics": lambda space, cells: graph_statistics(cells, space.vocabulary),
    "flow-paths": flow_paths,
    "flow-statistics": flow_statistics,
}
