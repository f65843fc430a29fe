import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphnas.cell import Architecture
from graphnas.evaluate import ENASTable, EvaluationFailed, TableEvaluator, data_folder
from graphnas.formats.enas import from_lists

TABLE = data_folder() / ENASTable.file
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason="enas6_weightsharing.parquet is missing in GRAPHNAS_DATA")
FIRST = [[1], [4, 0], [5, 0, 0], [0, 1, 1, 1], [2, 1, 1, 1, 1], [3, 0, 0, 0, 0, 1]]
OTHER = [[1], [4, 1], [5, 0, 0], [0, 1, 1, 1], [2, 1, 1, 1, 1], [3, 0, 0, 0, 0, 1]]


def architecture(lists: list[list[int]]) -> Architecture:
    return Architecture("enas", (from_lists(lists),))


@pytest.fixture
def table(tmp_path: Path) -> ENASTable:
    """Three rows; the first and the last are the same architecture."""
    codes = pa.list_(pa.int8())
    ops = [[layer[0] for layer in lists] for lists in (FIRST, OTHER, FIRST)]
    skips = [[bit for layer in lists for bit in layer[1:]] for lists in (FIRST, OTHER, FIRST)]
    columns = {
        "row": pa.array([0, 1, 2], pa.int32()),
        "ops": pa.array(ops, codes),
        "skips": pa.array(skips, codes),
        "acc": pa.array([0.75, 0.5, 0.75], pa.float32()),
    }
    pq.write_table(pa.table(columns), tmp_path / "enas6_weightsharing.parquet")
    return ENASTable.open(tmp_path)


def test_architectures_are_found_by_operations_and_skips(table: ENASTable) -> None:
    evaluator = pickle.loads(pickle.dumps(TableEvaluator(table)))
    result = evaluator.evaluate(architecture(FIRST))
    assert (result.value, result.metrics, result.budget, result.cost) == (0.75, {"acc": 0.75}, None, None)
    assert evaluator.evaluate(architecture(OTHER)).value == 0.5
    assert table.row(architecture(FIRST)) == 0
    assert table.metrics == ("acc",)


def test_others_fail_with_a_reason(table: ENASTable) -> None:
    evaluator = TableEvaluator(table)
    absent = architecture([[0], *FIRST[1:]])
    with pytest.raises(EvaluationFailed, match=r"enas6_weightsharing\.parquet does not hold this architecture"):
        evaluator.evaluate(absent)
    assert table.row(architecture(FIRST[:3])) is None
    assert table.row(Architecture("enas", absent.cells * 2)) is None
    with pytest.raises(ValueError, match="acc has no budgets"):
        evaluator.evaluate(absent, budget=10)


@needs_table
def test_the_published_table(tmp_path: Path) -> None:
    table = ENASTable.open(TABLE)
    assert table.verify() == "18,118 rows, 18,115 different architectures"
    assert TableEvaluator(table).evaluate(architecture(FIRST)).value == pytest.approx(0.7302)
    assert float(table.column("acc").max()) == pytest.approx(0.7502)
    assert float(table.column("acc").mean()) == pytest.approx(0.7363, abs=1e-4)

    whole = pq.read_table(TABLE)
    for damaged, reason in (
        (whole.slice(0, 18_000), "expected 18,118 rows, but got 18,000"),
        (
            whole.set_column(4, "acc", pa.array(np.r_[0.76, whole["acc"].to_numpy()[1:]])),
            "accuracies from 0.7020 to 0.7502",
        ),
        (
            whole.set_column(1, "ops", pa.array([[0] * 6, *whole["ops"].to_pylist()[1:]], pa.list_(pa.int8()))),
            "arch to agree with ops and skips in row 0|18,115 different",
        ),
    ):
        pq.write_table(damaged, tmp_path / "damaged.parquet")
        with pytest.raises(ValueError, match=reason):
            ENASTable(tmp_path / "damaged.parquet").verify()
