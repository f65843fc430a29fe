import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphnas.cell import Architecture
from graphnas.evaluate import EvaluationFailed, NASBench201Table, TableEvaluator, data_folder
from graphnas.formats.nasbench201 import OPERATIONS, from_index, from_string, to_index, to_string

TABLE = data_folder() / NASBench201Table.file
TIMES = data_folder() / "nasbench201_runs1000.parquet"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason="nasbench201.parquet is missing in GRAPHNAS_DATA")
needs_times = pytest.mark.skipif(not TIMES.is_file(), reason="nasbench201_runs1000.parquet is missing in GRAPHNAS_DATA")

# One topology, skip_connect taken as identity, but different parameters.
CONV = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
LATE = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"


def architecture(text: str) -> Architecture:
    return Architecture("nasbench201", (from_string(text),))


@pytest.fixture
def table(tmp_path: Path) -> NASBench201Table:
    cells = [from_string(text) for text in (CONV, LATE)]
    columns = {
        "index": pa.array([to_index(cell) for cell in cells], pa.int32()),
        "arch_str": [CONV, LATE],
        "ops": pa.array([[OPERATIONS.index(op) for op in cell.ops[1:-1]] for cell in cells], pa.list_(pa.int8())),
        "c10_val_200": pa.array([80.0, 85.0], pa.float32()),
        "c10_test_200": pa.array([81.0, 86.0], pa.float32()),
        "c10_val_12": pa.array([50.0, None], pa.float32()),
        "params_m_c100": pa.array([0.25, 0.5], pa.float32()),
        "lat_ms_fpga": pa.array([2.0, 3.0], pa.float32()),
    }
    pq.write_table(pa.table(columns), tmp_path / "nasbench201.parquet")
    return NASBench201Table.open(tmp_path)


def test_raw_cells_are_looked_up_and_percent_become_fractions(table: NASBench201Table) -> None:
    evaluator = pickle.loads(pickle.dumps(TableEvaluator(table)))
    result = evaluator.evaluate(architecture(CONV))
    assert (result.value, result.budget, result.cost) == (pytest.approx(0.80), 200, None)
    assert result.metrics == {"c10_test_200": pytest.approx(0.81), "params_m_c100": 0.25, "c10_val_200": 0.8}
    assert evaluator.evaluate(architecture(LATE)).value == pytest.approx(0.85)
    assert evaluator.evaluate(architecture(CONV), budget=12).value == pytest.approx(0.5)
    with pytest.raises(EvaluationFailed, match="no c10_val_12"):
        evaluator.evaluate(architecture(LATE), budget=12)
    with pytest.raises(EvaluationFailed, match="does not hold"):
        evaluator.evaluate(architecture(CONV.replace("nor_conv_3x3", "nor_conv_1x1")))


def test_latencies_are_negated(table: NASBench201Table) -> None:
    result = TableEvaluator(table, "lat_ms_fpga", report=["c10_val_200"]).evaluate(architecture(LATE))
    assert result.value == -3.0
    assert result.metrics == {"c10_val_200": pytest.approx(0.85), "lat_ms_fpga": 3.0}


def test_budgets_stay_with_their_images(table: NASBench201Table) -> None:
    assert table.metrics == ("c10_val_200", "c10_test_200", "c10_val_12", "params_m_c100", "lat_ms_fpga")
    assert table.budgets("c10_val_200") == {12: "c10_val_12", 200: "c10_val_200"}
    assert table.budgets("c10_test_200") == {200: "c10_test_200"}
    assert table.budgets("c10_val_12") == {12: "c10_val_12"}
    assert table.budgets("lat_ms_fpga") == {}


def test_other_cells_are_not_in_the_table(table: NASBench201Table) -> None:
    cell = from_string("|nor_conv_3x3~0|+|none~0|skip_connect~1|")
    assert table.row(Architecture("nasbench201", (cell,))) is None
    assert table.row(Architecture("nasbench201", architecture(CONV).cells * 2)) is None


def test_costs_come_from_the_file_beside_the_table(table: NASBench201Table, tmp_path: Path) -> None:
    index = to_index(from_string(CONV))
    times = {
        "index": [index, index, index],
        "dataset": ["cifar10", "cifar10", "cifar100"],
        "epochs": [12, 200, 200],
        "train_time_s": [60.5, 1000.0, 7.0],
    }
    pq.write_table(pa.table(times), tmp_path / "nasbench201_runs1000.parquet")
    evaluator = TableEvaluator(table)
    assert evaluator.evaluate(architecture(CONV)).cost == 1000.0
    assert evaluator.evaluate(architecture(CONV), budget=12).cost == 60.5
    assert evaluator.evaluate(architecture(LATE)).cost is None


@needs_table
def test_published_values() -> None:
    table = NASBench201Table.open(TABLE)
    assert len(table) == 15_625
    # Dong & Yang 2020: the best mean test accuracy on CIFAR-10 is 94.37 %.
    best = Architecture("nasbench201", (from_index(6111),))
    assert TableEvaluator(table, "c10_test_200").evaluate(best).value == pytest.approx(0.9437, abs=5e-5)
    assert float(table.column("c10_test_200").max()) == TableEvaluator(table, "c10_test_200").evaluate(best).value
    rows = np.random.default_rng(0).choice(len(table), 200, replace=False).tolist()
    assert [table.row(Architecture("nasbench201", (from_index(row),))) for row in rows] == rows
    assert len([name for name in table.metrics if name.startswith("lat_ms_")]) == 27
    # One topology class, two values.
    first, second = (table.column("c10_val_200")[table.row(architecture(text))] for text in (CONV, LATE))
    assert first != second
    assert to_string(from_index(0)) == table.column("arch_str")[0]


@needs_table
@needs_times
def test_costs_are_known_for_a_thousand_cells() -> None:
    table = NASBench201Table.open(TABLE)
    known = [row for row in range(len(table)) if table.cost(row, 200) is not None]
    assert len(known) == 1000
    assert table.cost(297, 12) == pytest.approx(179.39017009735107)
    assert table.cost(297, 200) == pytest.approx(2989.8361682891846)


Damage = Callable[[pa.Table], pa.Table]


@needs_table
def test_the_whole_table_is_verified(tmp_path: Path) -> None:
    assert NASBench201Table.open(TABLE).verify() == "15,625 cells, 35 metrics"
    whole = pq.read_table(TABLE, columns=["index", "arch_str", "ops", "iso_str", "c10_val_200", "c10_test_200"])

    def change(name: str, row: int, value: object) -> Damage:
        def changed(table: pa.Table) -> pa.Table:
            place = table.column_names.index(name)
            values = table.column(name).to_pylist()
            values[row] = value
            return table.set_column(place, name, pa.array(values, table.schema.field(name).type))

        return changed

    damages: list[tuple[Damage, str]] = [
        (lambda table: table.slice(0, 15_000), "expected 15,625 different cells, but got 15,000 rows with 15,000"),
        (change("arch_str", 7, whole["arch_str"][8].as_py()), "15,625 rows with 15,624"),
        (change("index", 7, 8), "rows in the order of the index"),
        (change("ops", 7, [0, 0, 0, 0, 0, 0]), "in row 7"),
        (change("iso_str", 6111, whole["iso_str"][0].as_py()), "expected 6,466 topologies, but got 6,465"),
        (change("c10_val_200", 7, None), "a figure of every cell in c10_val_200"),
        (change("c10_val_200", 7, 0.9), "c10_val_200 to be an accuracy above 9 %"),
        (change("c10_test_200", 7, 95.0), "cell 6111 to have the best test accuracy"),
    ]
    for damage, reason in damages:
        pq.write_table(damage(whole), tmp_path / "damaged.parquet")
        with pytest.raises(ValueError, match=reason):
            NASBench201Table(tmp_path / "damaged.parquet").verify()
