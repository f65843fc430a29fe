import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from graphnas.cell import Architecture, Cell
from graphnas.evaluate import EvaluationFailed, NASBench101Table, TableEvaluator
from graphnas.formats.nasbench101 import OPERATIONS, module_hash
from graphnas.spaces import Space

TABLE = Path(os.environ.get("GRAPHNAS_DATA", "/work/shared/data")) / "nasbench101.npz"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason="nasbench101.npz is missing in GRAPHNAS_DATA")


def architecture(op: str) -> Architecture:
    return Architecture("nasbench101", (Cell(("input", op, "output"), frozenset({(0, 1), (1, 2)})),))


@pytest.fixture
def table(tmp_path: Path) -> NASBench101Table:
    """Three cells in the published layout: input -> operation -> output."""
    hashes = {module_hash(architecture(op).cells[0]): number for number, op in enumerate(OPERATIONS)}
    numbers = [hashes[key] for key in sorted(hashes)]
    np.savez_compressed(
        tmp_path / "nasbench101.npz",
        hash=np.array([list(bytes.fromhex(key)) for key in sorted(hashes)], dtype=np.uint8),
        n_vertices=np.full(3, 3, dtype=np.uint8),
        adj_bits=np.full(3, 0b101, dtype=np.uint32),
        ops=np.array([[number, 255, 255, 255, 255] for number in numbers], dtype=np.uint8),
        params=np.array([100 + number for number in numbers], dtype=np.int32),
        macs=np.array([1000 + number for number in numbers], dtype=np.int64),
        test_acc_run0=np.array([0.5 + number / 10 for number in numbers], dtype=np.float32),
        val_acc_1run_e12=np.array([0.25 if number == 0 else np.nan for number in numbers], dtype=np.float32),
        train_time_s=np.array([540.0 if number == 0 else np.nan for number in numbers], dtype=np.float32),
    )
    return NASBench101Table.open(tmp_path)


def test_rows_are_found_by_hash(table: NASBench101Table) -> None:
    for number, op in enumerate(OPERATIONS):
        row = table.row(architecture(op))
        assert row is not None
        assert table.column("params")[row] == 100 + number
    assert table.row(architecture("conv7x7")) is None
    assert len(table) == 3


def test_dead_vertices_do_not_matter(table: NASBench101Table) -> None:
    cell = Cell(("input", "conv1x1", "conv3x3", "output"), frozenset({(0, 1), (1, 3), (1, 2)}))
    assert table.row(Architecture("nasbench101", (cell,))) == table.row(architecture("conv1x1"))


def test_cells_as_arrays(table: NASBench101Table) -> None:
    arrays = table.cells()
    row = table.row(architecture("maxpool3x3"))
    assert arrays.ops[row].tolist() == [0, 4, 1, -1, -1, -1, -1]
    assert np.argwhere(arrays.adjacency[row]).tolist() == [[0, 1], [1, 2]]
    assert arrays.size.tolist() == [3, 3, 3]


def test_values_costs_and_budgets(table: NASBench101Table) -> None:
    evaluator = pickle.loads(pickle.dumps(TableEvaluator(table)))
    steps: list[int] = []
    result = evaluator.evaluate(architecture("conv3x3"), seed=4, report=lambda epoch, metrics: steps.append(epoch))
    assert result.value == 0.5
    assert result.metrics == {"test_acc_run0": 0.5, "params": 100.0, "macs": 1000.0}
    assert (result.cost, result.budget, result.seed, steps) == (540.0, 108, 4, [108])
    early = evaluator.evaluate(architecture("conv3x3"), budget=12)
    assert (early.value, early.cost) == (0.25, 60.0)
    assert evaluator.evaluate(architecture("conv1x1")).cost is None


def test_what_the_table_does_not_hold_fails(table: NASBench101Table) -> None:
    evaluator = TableEvaluator(table)
    absent = Architecture("nasbench101", (Cell(("input", "output"), frozenset({(0, 1)})),))
    with pytest.raises(EvaluationFailed, match="does not hold this cell"):
        evaluator.evaluate(absent)
    with pytest.raises(EvaluationFailed, match="has no val_acc_1run_e12"):
        evaluator.evaluate(architecture("conv1x1"), budget=12)
    with pytest.raises(ValueError, match="but got 50"):
        evaluator.evaluate(architecture("conv1x1"), budget=50)
    with pytest.raises(ValueError, match="no hyperparameters"):
        evaluator.evaluate(architecture("conv1x1"), hyperparameters={"learning_rate": 1})
    with pytest.raises(ValueError, match="'accuracy'"):
        TableEvaluator(table, "accuracy")
    with pytest.raises(KeyError, match="accuracy"):
        table.column("accuracy")


def test_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNAS_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"nasbench101\.npz is missing: set GRAPHNAS_DATA"):
        NASBench101Table.open()


@needs_table
def test_published_values() -> None:
    table = NASBench101Table.open(TABLE)
    space = Space.load("nasbench101")
    evaluator = TableEvaluator(table)
    # 00005c14...: the test accuracy of a run shown in NNI's documentation, 92.1174 %.
    first = space.from_arrays(table.cells().take([0]))[0]
    assert evaluator.evaluate(first).value == pytest.approx(0.9211738705635071)
    assert float(table.column("test_acc_run0").max()) == pytest.approx(0.9466145634651184)
    rows = np.random.default_rng(0).choice(len(table), 200, replace=False)
    assert [table.row(each) for each in space.from_arrays(table.cells().take(rows))] == rows.tolist()
