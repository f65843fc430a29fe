from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphnas.evaluate import Digits101Table, TableEvaluator
from graphnas.spaces import Space
from graphnas.studies import Fidelity


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.load("digits101")


@pytest.fixture(scope="module")
def table(space: Space, tmp_path_factory: pytest.TempPathFactory) -> Digits101Table:
    """Five cells, nine epochs; a curve says cell, training and epoch."""
    path = tmp_path_factory.mktemp("digits101") / "digits101.npz"
    cells = sorted(space.sample(5, np.random.default_rng(0)), key=space.hash)
    arrays = space.to_arrays(cells)
    hashes = np.frombuffer(bytes.fromhex("".join(space.hashes(cells))), dtype=np.uint8).reshape(-1, 16)
    curve = np.add.outer(np.add.outer(np.arange(5) / 10, np.arange(3) / 100), np.arange(9) / 1000).astype(np.float32)
    curves = {f"{split}_{kind}": curve for split in ("validation", "train") for kind in ("loss", "accuracy")}
    final = dict.fromkeys(("test_loss", "test_accuracy"), curve[:, :, 0])
    costs = {"parameters": np.arange(5), "macs": np.arange(5) * 10, "cpu_seconds": np.full((5, 3), 1.8)}
    np.savez(
        path, hash=hashes, ops=arrays.ops, adjacency=arrays.adjacency, size=arrays.size, epochs=9,
        **curves, **final, **costs,
    )  # fmt: skip
    return Digits101Table(path)


def test_metrics_are_means_of_three_trainings_or_one_of_them(table: Digits101Table) -> None:
    assert (len(table), table.epochs) == (5, 9)
    assert table.column("validation_accuracy")[2] == pytest.approx(0.2 + 0.01 + 0.008)
    assert table.column("validation_accuracy_run2")[2] == pytest.approx(0.2 + 0.02 + 0.008)
    assert table.column("validation_loss_e3")[2] == pytest.approx(0.2 + 0.01 + 0.002)
    assert table.column("test_accuracy")[4] == pytest.approx(0.4 + 0.01)
    assert table.column("test_accuracy_run0")[4] == pytest.approx(0.4)
    assert table.column("cpu_seconds")[0] == pytest.approx(1.8)
    assert table.column("train_loss_curves").shape == (5, 3, 9)
    assert table.is_minimized("validation_loss_e3")
    assert not table.is_minimized("validation_accuracy_run1")


def test_cells_are_found_by_class(table: Digits101Table, space: Space) -> None:
    for row, cell in enumerate(table.architectures(range(5))):
        space.validate(cell)
        assert table.row(cell) == row
    others = [cell for cell in space.sample(50, np.random.default_rng(1)) if table.row(cell) is None]
    assert others
    assert table.row(Space.load("nasbench201").sample(1, np.random.default_rng(0))[0]) is None


def test_results_have_the_curve_of_their_metric(table: Digits101Table) -> None:
    (cell,) = table.architectures([2])
    found = TableEvaluator(table).evaluate(cell)
    assert found.value_curve == pytest.approx([0.21 + epoch / 1000 for epoch in range(9)])
    assert found.value_curve[-1] == found.value
    assert TableEvaluator(table).evaluate(cell, until=3).value_curve == found.value_curve[:3]
    loss = TableEvaluator(table, "validation_loss_run2").evaluate(cell)
    assert loss.value_curve == pytest.approx([-0.22 - epoch / 1000 for epoch in range(9)])
    assert TableEvaluator(table, "parameters").evaluate(cell).curve == {}


def test_budgets_are_epochs_of_one_training(table: Digits101Table) -> None:
    evaluator = TableEvaluator(table)
    assert table.budgets("validation_accuracy") == {
        1: "validation_accuracy_e1",
        3: "validation_accuracy_e3",
        9: "validation_accuracy",
    }
    assert table.budgets("test_accuracy") == {}
    fidelity = Fidelity.of("hyperband", evaluator)
    assert (fidelity.budgets, fidelity.restarted) == ((1, 3, 9), False)
    (cell,) = table.architectures([3])
    found = evaluator.evaluate(cell, budget=9, until=3)
    assert found.value == pytest.approx(0.3 + 0.01 + 0.002)
    assert (found.budget, found.cost) == (3, pytest.approx(0.6))
    loss = TableEvaluator(table, "validation_loss").evaluate(cell)
    assert loss.value == pytest.approx(-(0.3 + 0.01 + 0.008))
    with pytest.raises(ValueError, match="Expected a budget of"):
        evaluator.evaluate(cell, until=2)
    with pytest.raises(ValueError, match="Expected until to be None where trainings do not go on"):
        evaluator.evaluate(cell, budget=3, until=1)


def test_a_file_of_another_kind_is_refused(tmp_path: Path, table: Digits101Table) -> None:
    path = tmp_path / "part.npz"
    np.savez(path, hash=np.zeros((1, 16), dtype=np.uint8), epochs=9)
    with pytest.raises(ValueError, match="expected a table of digits101, but ops is missing"):
        Digits101Table(path)
    with pytest.raises(ValueError, match="expected 2,532 classes, but got 5"):
        table.verify()
