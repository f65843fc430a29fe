from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from graphnas.analysis import labelled_cells, training_split
from graphnas.evaluate import TABLES, NASBench101Table, Table
from graphnas.spaces import Space


def table_of(space: str) -> Table:
    folder, kind = Path(os.environ.get("GRAPHNAS_DATA", "")), TABLES[space]
    if not (folder / kind.file).is_file():
        pytest.skip(f"{kind.file} is missing in GRAPHNAS_DATA")
    return kind.open(folder)


def test_held_out_cells_have_the_labels_of_the_table(small_space: Space, small_table: NASBench101Table) -> None:
    held_out = small_space.sample_arrays(300, np.random.default_rng(0))
    known = labelled_cells(small_space, held_out, small_table)
    edges = held_out.adjacency.sum((1, 2))
    expected = np.maximum(0.8, 0.7 + edges / 40 + (held_out.ops == 2).sum(1) / 50)
    np.testing.assert_allclose(known.labels, expected)
    assert known.rows.tolist() == list(range(200))
    assert known.test is not None
    assert known.test.tolist() == list(range(200, 300))
    assert known.most == 200


def test_cells_that_the_table_does_not_hold_are_left_out(small_space: Space, small_table: NASBench101Table) -> None:
    whole = Space.load("nasbench101")
    small = small_space.sample_arrays(120, np.random.default_rng(0)).padded(7)
    large = whole.sample_arrays(60, np.random.default_rng(1))
    assert (large.size > 5).sum() > 30
    known = labelled_cells(whole, type(small)(*map(np.concatenate, zip(large, small, strict=True))), small_table)
    assert known.cells.n == 120 + (large.size <= 5).sum()
    with pytest.raises(ValueError, match=r"nasbench101\.npz has test_acc_run0 of \d+ of 60 held-out cells only"):
        labelled_cells(whole, large, small_table)


def test_a_space_without_a_ranking_is_refused() -> None:
    space = Space.load("darts")
    with pytest.raises(ValueError, match="no ranking is defined for darts, only for nasbench101, nasbench201, enas"):
        labelled_cells(space, space.sample_arrays(2, np.random.default_rng(0)))


def test_a_missing_table_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNAS_DATA", str(tmp_path))
    space = Space.load("enas")
    with pytest.raises(FileNotFoundError, match=r"enas6_weightsharing\.parquet is missing: set GRAPHNAS_DATA"):
        labelled_cells(space, space.sample_arrays(2, np.random.default_rng(0)))


def test_enas_has_the_architectures_after_the_burn_in() -> None:
    table, space = table_of("enas"), Space.load("enas")
    known = labelled_cells(space, space.sample_arrays(2, np.random.default_rng(0)), table)
    assert known.cells.n == len(known.labels) == 17_118
    assert known.test is None
    assert known.most == known.counts[-1] == 17_118 - 1_711
    for row in (0, 17_117):
        (architecture,) = space.from_arrays(known.cells.take(slice(row, row + 1)))
        place = table.row(architecture)
        assert place is not None
        assert known.labels[row] == table.column("acc")[place]


@pytest.mark.parametrize(("name", "column"), [("nasbench201", "c10_val_200"), ("nasbench101", "test_acc_run0")])
def test_published_tables_label_held_out_cells(name: str, column: str) -> None:
    table, space = table_of(name), Space.load(name)
    if name == "nasbench201":
        held_out = training_split(space, seed=0).held_out
    else:
        held_out = space.sample_arrays(600, np.random.default_rng(0))
    known = labelled_cells(space, held_out, table)
    assert known.cells.n == held_out.n
    assert known.most == held_out.n - held_out.n // 3
    assert known.test is not None
    if name == "nasbench201":
        # Isomorphic cells have the labels of one class, which differ by noise alone.
        classes = space.hashes(known.cells.take(known.test))
        assert len(set(classes)) == len(classes) > 100
        assert not set(classes) & set(space.hashes(known.cells.take(known.rows)))
    values = table.column(column)
    for row, architecture in enumerate(space.from_arrays(known.cells.take(slice(5)))):
        place = table.row(architecture)
        assert place is not None
        assert known.labels[row] == pytest.approx(max(float(values[place]), 0.8 if name == "nasbench101" else 0))
