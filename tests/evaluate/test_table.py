import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from graphnas.cell import Architecture, Cell
from graphnas.evaluate import EvaluationFailed, Table, TableEvaluator

COLUMNS = {
    "name": ["a", "b", "c"],
    "accuracy": [0.5, 0.75, np.nan],
    "accuracy_e3": [0.25, 0.5, 0.375],
    "latency_ms": [2.0, 8.0, 4.0],
    "size": [10.0, np.nan, 30.0],
}


class Letters(Table):
    """Three architectures whose one operation is a letter."""

    space = "letters"
    file = "letters.txt"
    title = "Three letters"
    source = "write it yourself"
    columns = tuple(COLUMNS)
    metrics = tuple(COLUMNS)[1:]
    query = "accuracy"
    report = ("accuracy", "size")

    def __len__(self) -> int:
        return 3

    def architectures(self, rows: Sequence[int]) -> list[Architecture]:
        ops = [("input", "abc"[row], "output") for row in rows]
        return [Architecture("letters", (Cell(one, frozenset({(0, 1), (1, 2)})),)) for one in ops]

    def row(self, architecture: Architecture) -> int | None:
        place = "abc".find(architecture.cells[0].ops[1])
        return None if place < 0 else place

    def _read(self, name: str) -> NDArray[Any]:
        return np.array(COLUMNS[name][:2] if name == "size" and self.path.stem == "short" else COLUMNS[name])

    def is_minimized(self, name: str) -> bool:
        return name == "latency_ms"

    def budgets(self, query: str) -> Mapping[int, str]:
        return {3: "accuracy_e3", 9: "accuracy"} if query == "accuracy" else {}

    def cost(self, row: int, epochs: int) -> float | None:
        return 100.0 * epochs if row == 0 else None

    def verify(self) -> str:
        return "three letters"


def architecture(op: str) -> Architecture:
    return Architecture("letters", (Cell(("input", op, "output"), frozenset({(0, 1), (1, 2)})),))


TABLE = Letters("letters.txt")


def test_values_metrics_costs_and_budgets() -> None:
    evaluator = pickle.loads(pickle.dumps(TableEvaluator(TABLE)))
    reported: list[tuple[int, Mapping[str, float]]] = []
    result = evaluator.evaluate(architecture("a"), seed=4, report=lambda *step: reported.append(step))
    assert (result.value, result.cost, result.budget, result.seed) == (0.5, 900.0, 9, 4)
    assert result.metrics == {"accuracy": 0.5, "size": 10.0}
    assert result.evaluator == "table:letters:accuracy"
    assert reported == [(9, {"value": 0.5})]
    early = evaluator.evaluate(architecture("a"), budget=3)
    assert (early.value, early.cost, early.budget) == (0.25, 300.0, 3)
    assert early.metrics == {"accuracy": 0.5, "size": 10.0, "accuracy_e3": 0.25}
    other = evaluator.evaluate(architecture("b"))
    assert (other.value, other.cost, other.metrics) == (0.75, None, {"accuracy": 0.75})


def test_a_smaller_latency_is_a_larger_value() -> None:
    evaluator = TableEvaluator(TABLE, "latency_ms", report=())
    values = {letter: evaluator.evaluate(architecture(letter)).value for letter in "abc"}
    assert values == {"a": -2.0, "b": -8.0, "c": -4.0}
    steps: list[int] = []
    result = evaluator.evaluate(architecture("b"), report=lambda step, metrics: steps.append(step))
    assert (result.metrics, result.budget, result.cost, steps) == ({"latency_ms": 8.0}, None, None, [1])
    assert evaluator.label == "negated latency_ms"
    assert TableEvaluator(TABLE).label == "accuracy"


def test_what_the_table_does_not_hold_fails() -> None:
    evaluator = TableEvaluator(TABLE)
    with pytest.raises(EvaluationFailed, match=r"letters\.txt does not hold this architecture"):
        evaluator.evaluate(architecture("d"))
    with pytest.raises(EvaluationFailed, match=r"letters\.txt has no accuracy for this architecture"):
        evaluator.evaluate(architecture("c"))
    with pytest.raises(ValueError, match=r"budget of \[3, 9\] epochs, but got 5"):
        evaluator.evaluate(architecture("a"), budget=5)
    with pytest.raises(ValueError, match="latency_ms has no budgets, but got 3"):
        TableEvaluator(TABLE, "latency_ms").evaluate(architecture("a"), budget=3)
    with pytest.raises(ValueError, match="no hyperparameters"):
        evaluator.evaluate(architecture("a"), hyperparameters={"learning_rate": 1})


@pytest.mark.parametrize("name", ["speed", "name"])
def test_unknown_metrics_are_refused_with_those_that_there_are(name: str) -> None:
    known = "letters.txt; it has accuracy, accuracy_e3, latency_ms, size"
    with pytest.raises(ValueError, match=f"'{name}' is no metric of {known}"):
        TableEvaluator(TABLE, name)
    with pytest.raises(ValueError, match=known):
        TableEvaluator(TABLE, report=[name])


def test_columns_are_kept_and_cannot_be_changed() -> None:
    values = TABLE.column("latency_ms")
    assert values is TABLE.column("latency_ms")
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1
    with pytest.raises(KeyError, match="speed"):
        TABLE.column("speed")
    with pytest.raises(ValueError, match=r"short\.txt: expected 3 rows in size, but got 2"):
        Letters("short.txt").column("size")


def test_missing_files_are_named_with_a_way_to_obtain_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNAS_DATA", str(tmp_path))
    for place in (None, tmp_path, tmp_path / "letters.txt"):
        with pytest.raises(FileNotFoundError, match=r"letters\.txt is missing: set GRAPHNAS_DATA .* write it yourself"):
            Letters.open(place)
    (tmp_path / "letters.txt").touch()
    (tmp_path / "other.txt").touch()
    assert Letters.open().path == Letters.open(tmp_path).path == tmp_path / "letters.txt"
    assert Letters.open(tmp_path / "other.txt").path.name == "other.txt"
    assert pickle.loads(pickle.dumps(Letters.open())).path == tmp_path / "letters.txt"
