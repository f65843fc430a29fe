"""Which architectures predictors are fitted to, and which they are asked about."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from graphnas.bench.prediction_data import IntArray, prediction_data

_DRAWN, _PARENTS = 10, 5
_MUTATIONS = 3  # at most, from a parent to its child
_TRIES = 100  # mutations for each child wanted, since not all are among the architectures


def random_rows(name: str, size: int, test: int, seed: int) -> tuple[IntArray, IntArray]:
    """Rows to learn from and to ask about, drawn at random."""
    data = prediction_data(name)
    order = np.random.default_rng(seed).permutation(data.train)
    if data.test is None:
        return order[test : test + size], order[:test]
    return order[:size], np.random.default_rng((seed, 1)).permutation(data.test)[:test]


def mutated_rows(name: str, size: int, test: int, seed: int) -> tuple[IntArray, IntArray]:
    """Rows as a search would ask, about children of good architectures (White et al. 2021, Sec. 3.3).

    Of ten random architectures the best five are parents. Children by one to three mutations are asked about, and
    neighbours of these, one mutation away, are learned from; none of them is a child.

    Args:
        name: Of `PREDICTION_DATA`.
        size: Number of rows to learn from; those of a smaller number are the first of these.
        test: Number of rows to ask about.
        seed: Of all draws.

    Returns:
        `size` and `test` rows.

    Raises:
        ValueError: if so many children or neighbours are not among the architectures.
    """
    data, known = prediction_data(name), _rows_by_hash(name)
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(data.train)[:_DRAWN]
    best = drawn[np.argsort(-data.targets[drawn], kind="stable")[:_PARENTS]]
    parents = data.space.from_arrays(data.architectures(best))
    asked: dict[int, None] = {}
    for _ in range(_TRIES * test):
        if len(asked) == test:
            break
        child = parents[int(rng.integers(len(parents)))]
        for _ in range(int(rng.integers(1, _MUTATIONS + 1))):
            child = data.space.mutate(child, rng)
        row = known.get(data.space.hash(child))
        if row is not None and row not in best:
            asked.setdefault(row)
    if len(asked) < test:
        raise ValueError(f"Expected at most {len(asked)} children of {name} to ask about, but got {test}")
    children = np.array(list(asked), dtype=np.int64)
    learned: dict[int, None] = {}
    for child in data.space.from_arrays(data.architectures(rng.permutation(children))):
        near = (known.get(key) for key in data.space.hashes(data.space.neighbours(child)))
        learned.update(dict.fromkeys(row for row in near if row is not None and row not in asked))
    if len(learned) < size:
        raise ValueError(f"Expected at most {len(learned)} neighbours of {name} to learn from, but got {size}")
    return rng.permutation(np.array(list(learned), dtype=np.int64))[:size], children


@functools.cache
def _rows_by_hash(name: str) -> dict[str, int]:
    data = prediction_data(name)
    rows = np.arange(len(data.targets)) if data.test is None else data.train
    keys = data.space.hashes(data.architectures(rows))
    return dict(zip(keys, rows.tolist(), strict=True))


SETTINGS: dict[str, Callable[[str, int, int, int], tuple[IntArray, IntArray]]] = {
    "random": random_rows,
    "mutation": mutated_rows,
}
"""From data, numbers of rows to learn from and to ask about, and a seed to these rows."""
