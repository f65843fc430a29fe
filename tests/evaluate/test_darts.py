import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from strategies import relabelled

from graphnas.cell import Architecture
from graphnas.evaluate import DARTSTable, EvaluationFailed, TableEvaluator, data_folder
from graphnas.formats.darts import from_genotype

TABLE = data_folder() / DARTSTable.file
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason="darts_bench545.parquet is missing in GRAPHNAS_DATA")

CELL = "[('sep_conv_3x3', 0), ('skip_connect', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 1), {}]"
TAIL = "('dil_conv_3x3', 2), ('skip_connect', 0), ('skip_connect', 0), ('sep_conv_3x3', 1)"
# The same cell with its first two nodes exchanged, and the operations of the last one.
MOVED = (
    "[('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('skip_connect', 1), "
    "('dil_conv_3x3', 3), ('skip_connect', 0), ('sep_conv_3x3', 1), ('skip_connect', 0)]"
)


def genotype(normal: str, reduce: str) -> str:
    return f"Genotype(normal={normal}, normal_concat=range(2, 6), reduce={reduce}, reduce_concat=range(2, 6))"


FIRST = genotype(CELL.format(TAIL), CELL.format(TAIL))
SAME = genotype(MOVED, CELL.format(TAIL))
OTHER = genotype(CELL.format(TAIL.replace("dil_conv_3x3", "none")), CELL.format(TAIL))


@pytest.fixture
def table(tmp_path: Path) -> DARTSTable:
    columns = {
        "architecture": [FIRST, OTHER, SAME],
        "valid_acc10": pa.array([50.0, 60.0, 1.0], pa.float32()),
        "valid_acc50": pa.array([75.0, 80.0, 1.0], pa.float32()),
        "params": pa.array([3.262942, 1.5, 1.0], pa.float32()),
        "train_time10_s": pa.array([100.0, 110.0, 1.0], pa.float32()),
        "train_time50_s": pa.array([500.0, 560.0, 1.0], pa.float32()),
    }
    pq.write_table(pa.table(columns), tmp_path / "darts_bench545.parquet")
    return DARTSTable.open(tmp_path)


def test_genotypes_have_their_own_row_and_others_that_of_their_class(table: DARTSTable) -> None:
    evaluator = pickle.loads(pickle.dumps(TableEvaluator(table)))
    assert evaluator.evaluate(from_genotype(SAME)).value == pytest.approx(0.01)
    rng = np.random.default_rng(0)
    moved = [relabelled(cell, rng) for cell in from_genotype(SAME).cells]
    for one in (from_genotype(FIRST), Architecture("darts", tuple(moved))):
        result = evaluator.evaluate(one)
        assert (result.value, result.budget, result.cost) == (0.75, 50, 500.0)
        assert result.metrics == {"valid_acc50": 0.75, "params": 3_262_942.0}
    early = evaluator.evaluate(from_genotype(OTHER), budget=10)
    assert (early.value, early.cost) == (pytest.approx(0.6), 110.0)


def test_others_fail_with_a_reason(table: DARTSTable) -> None:
    evaluator = TableEvaluator(table)
    turned = Architecture("darts", from_genotype(OTHER).cells[::-1])
    for other in (turned, Architecture("darts", turned.cells[:1])):
        with pytest.raises(EvaluationFailed, match=r"darts_bench545\.parquet does not hold this architecture"):
            evaluator.evaluate(other)


def test_costs_are_minimised(table: DARTSTable) -> None:
    assert TableEvaluator(table, "params").evaluate(from_genotype(FIRST)).value == -3_262_942
    assert table.budgets("params") == {}
    assert table.budgets("valid_acc10") == {10: "valid_acc10"}


def test_a_wrong_genotype_is_named(tmp_path: Path) -> None:
    columns = {"architecture": [FIRST, "Genotype()"], "valid_acc50": pa.array([75.0, 80.0])}
    pq.write_table(pa.table(columns), tmp_path / "wrong.parquet")
    with pytest.raises(ValueError, match=r"wrong\.parquet: row 1: "):
        DARTSTable(tmp_path / "wrong.parquet").row(from_genotype(FIRST))


@needs_table
def test_the_published_table(tmp_path: Path) -> None:
    table = DARTSTable.open(TABLE)
    assert table.verify() == "545 rows, 526 different architectures, 9 metrics"
    texts = table.column("architecture").tolist()
    assert [table.row(from_genotype(text)) for text in texts] == list(range(545))
    # Isomorphic architectures, trained twice: the same network, another accuracy.
    hashes = [tuple(cell.hash for cell in from_genotype(texts[row]).cells) for row in (106, 108)]
    assert hashes[0] == hashes[1]
    assert table.column("params")[106] == table.column("params")[108]
    assert table.column("flop")[106] == table.column("flop")[108]
    assert table.column("valid_acc50")[106] != table.column("valid_acc50")[108]
    pq.write_table(pq.read_table(TABLE).slice(0, 544), tmp_path / "damaged.parquet")
    with pytest.raises(ValueError, match="expected 545 different genotypes, but got 544"):
        DARTSTable(tmp_path / "damaged.parquet").verify()
