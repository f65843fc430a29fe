"""The space against the published table, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from graphnas.evaluate import NASBench101Table
from graphnas.spaces import Space


@pytest.mark.slow
def test_every_row_of_the_table_is_a_class_of_its_own_and_all_are_enumerated() -> None:
    try:
        table = NASBench101Table.open()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    space = Space.load("nasbench101")
    rows = space.hashes(table.cells())
    assert len(rows) == len(set(rows)) == 423_624
    assert set(rows) == set(space.hashes(space.enumerate_arrays()))


@pytest.mark.slow
def test_a_row_of_the_table_keeps_its_hash_under_every_format() -> None:
    try:
        table = NASBench101Table.open()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    space = Space.load("nasbench101")
    rows = np.random.default_rng(0).choice(len(table), 500, replace=False)
    architectures = space.from_arrays(table.cells().take(rows))
    assert [table.row(one) for one in architectures] == rows.tolist()
