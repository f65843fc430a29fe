"""What all benchmark tables have in common, and how a file's table is found."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphnas.cell import Architecture, Cell, CellArrays
from graphnas.evaluate import (
    TABLES,
    DARTSTable,
    Digits101Table,
    EvaluationFailed,
    NASBench101Table,
    NASBench201Table,
    Table,
    TableEvaluator,
    open_table,
)
from graphnas.evaluate.npz import read_npz
from graphnas.formats.darts import from_genotype
from graphnas.formats.enas import from_lists
from graphnas.formats.nasbench201 import from_string
from graphnas.spaces import Space


def some_architectures(table: Table, rows: list[int]) -> list[Architecture]:
    """The architectures of some rows, by the notation of the table's own file."""
    if isinstance(table, Digits101Table):
        arrays = (read_npz(table.path, name)[rows] for name in ("ops", "adjacency", "size"))
        return Space.load("digits101").from_arrays(CellArrays(*arrays))
    if isinstance(table, NASBench101Table):
        return Space.load("nasbench101").from_arrays(table.cells().take(rows))
    if isinstance(table, DARTSTable):
        return [from_genotype(text) for text in table.column("architecture")[rows]]
    if isinstance(table, NASBench201Table):
        return [Architecture(table.space, (from_string(text),)) for text in table.column("arch_str")[rows]]
    both = zip(table.column("ops")[rows].tolist(), table.column("skips")[rows].tolist(), strict=True)
    starts = [0, 0, 1, 3, 6, 10, 15]
    lists = [[[op, *bits[starts[i] : starts[i + 1]]] for i, op in enumerate(ops)] for ops, bits in both]
    return [Architecture(table.space, (from_lists(one),)) for one in lists]


@pytest.fixture(params=sorted(TABLES))
def table(request: pytest.FixtureRequest) -> Table:
    kind = TABLES[request.param]
    if not (kind.folder() / kind.file).is_file():
        pytest.skip(f"{kind.file} is missing in GRAPHNAS_DATA")
    return open_table(request.param)


def test_rows_are_found_again_and_results_follow_from_columns(table: Table) -> None:
    rows = np.random.default_rng(0).choice(len(table), 30, replace=False).tolist()
    evaluator = pickle.loads(pickle.dumps(TableEvaluator(table)))
    for architecture, row in zip(some_architectures(table, rows), rows, strict=True):
        # Some DARTS rows have the operation that published searches leave out at the end.
        if not any("none" in cell.ops for cell in architecture.cells) or table.space != "darts":
            Space.load(table.space).validate(architecture)
        place = table.row(architecture)
        # Of isomorphic rows the first one is meant.
        assert place is not None
        assert place == row or (place < row and table.space in ("darts", "enas"))
        result = evaluator.evaluate(architecture)
        assert result.value == table.column(table.query)[place]
        assert 0 <= result.value <= 1
        assert set(result.metrics) == {*table.report, table.query}
        assert result.cost is None or result.cost > 0.1


def test_every_metric_can_be_queried_with_all_its_budgets(table: Table) -> None:
    (architecture,) = some_architectures(table, [0])
    row = table.row(architecture)
    for name in table.metrics:
        evaluator = TableEvaluator(table, name)
        for budget in (None, *evaluator.budgets):
            try:
                result = evaluator.evaluate(architecture, budget=budget)
            except EvaluationFailed:
                continue
            column = table.column(name if budget is None else evaluator.budgets[budget])
            assert result.value == (-1 if table.is_minimized(name) else 1) * column[row]
            assert result.budget == (evaluator.epochs if budget is None else budget)
        assert (evaluator.epochs is None) == (not evaluator.budgets)
        assert not evaluator.budgets or evaluator.budgets[evaluator.epochs] == name
        if "acc" in name or name.startswith("c10_"):
            known = table.column(name)[~np.isnan(table.column(name))]
            assert ((known >= 0) & (known <= 1)).all(), name


def test_foreign_cells_are_in_no_table(table: Table) -> None:
    cell = Cell(("input", "conv9x9", "output"), frozenset({(0, 1), (1, 2)}))
    assert table.row(Architecture(table.space, (cell,))) is None
    assert table.row(Architecture(table.space, (cell, cell, cell))) is None


def test_a_file_must_be_the_table_of_the_space(table: Table) -> None:
    assert type(open_table(table.space, table.path)) is type(table)
    assert type(open_table("a space of one's own", table.path)) is type(table)
    assert open_table(table.space, table.path.parent).path == table.path
    other = "nasbench201" if table.space != "nasbench201" else "darts"
    with pytest.raises(ValueError, match=f"expected a table of {other}, but this is one of {table.space}"):
        open_table(other, table.path)


def test_the_table_of_a_space_answers_for_a_part_of_it() -> None:
    small = Space.load("digits101")
    try:
        table = open_table("digits101", NASBench101Table.open().path)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert isinstance(table, NASBench101Table)
    assert all(table.row(cell) is not None for cell in small.sample(20, np.random.default_rng(0)))


def test_files_of_no_known_table_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNAS_DATA", str(tmp_path))
    path = tmp_path / "other.parquet"
    with pytest.raises(FileNotFoundError, match=r"other\.parquet is missing"):
        open_table("nasbench201", path)
    pq.write_table(pa.table({"x": [1.0]}), path)
    with pytest.raises(ValueError, match=r"other\.parquet: expected a benchmark table"):
        open_table("nasbench201", path)
    with pytest.raises(ValueError, match=r"other\.parquet: expected the columns index, .* but index is missing"):
        NASBench201Table(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"other\.parquet: expected a Parquet file"):
        open_table("nasbench201", path)
    with pytest.raises(ValueError, match="No benchmark table of mine is known"):
        open_table("mine")
    for space, kind in TABLES.items():
        if not kind.shipped:
            with pytest.raises(FileNotFoundError, match=f"{kind.file} is missing: set GRAPHNAS_DATA .* data import"):
                open_table(space)


def test_columns_of_other_types_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    for space, changed, reason in (
        ("darts", {"architecture": [1]}, r"expected texts in architecture, but got \[1\]"),
        ("nasbench201", {"arch_str": [[1]]}, "expected texts in arch_str, but got "),
        ("enas", {"ops": ["a"]}, r"expected lists of whole numbers in ops, but got \['a'\]"),
        ("enas", {"skips": [[0.5]]}, "expected lists of whole numbers in skips, but got "),
    ):
        columns = {"architecture": ["a"], "valid_acc50": [1.0]} if space == "darts" else {
            "index": [0], "arch_str": ["a"], "ops": [[0]], "skips": [[0]], "c10_val_200": [1.0], "acc": [1.0]
        }  # fmt: skip
        kind = TABLES[space]
        pq.write_table(pa.table({name: (columns | changed)[name] for name in kind.needs}), path)
        (architecture,) = Space.load(space).sample(1, np.random.default_rng(0))
        with pytest.raises(ValueError, match=rf"other\.parquet: {reason}"):
            open_table(space, path).row(architecture)


def test_lists_of_unequal_length_and_gaps_are_refused(tmp_path: Path) -> None:
    codes = pa.list_(pa.int8())
    for name, ops, index, reason in (
        ("unequal", [[1], [1, 2]], [0, 1], "lists of equally many numbers in ops"),
        ("texts", [[1], [2]], [0, None], "expected no gaps in index, but got 1"),
    ):
        columns = {"index": index, "arch_str": ["a", "b"], "ops": pa.array(ops, codes), "c10_val_200": [1.0, None]}
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
        table = NASBench201Table(tmp_path / f"{name}.parquet")
        with pytest.raises(ValueError, match=rf"{name}\.parquet: .*{reason}"):
            table.column("ops" if name == "unequal" else "index")
        assert np.isnan(table.column("c10_val_200")).tolist() == [False, True]


@pytest.mark.parametrize("name", list(TABLES))
def test_the_architecture_of_a_row_is_found_in_that_row(name: str) -> None:
    try:
        table = TABLES[name].open()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    rows = np.linspace(0, len(table) - 1, 20).astype(int).tolist()
    architectures = table.architectures(rows)
    assert architectures == some_architectures(table, rows)
    values = table.column(table.query)
    found = [table.row(architecture) for architecture in architectures]
    # A row that equals an earlier one is found there, with the same value.
    assert [values[row] for row in found] == [values[row] for row in rows]
    assert sum(row == wanted for row, wanted in zip(found, rows, strict=True)) >= 18
