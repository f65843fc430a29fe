"""The recipes that train given cells for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphnas.evaluate import data_folder
from graphnas.spaces import Space
from tests.recipes import recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (data_folder() / "nasbench101.npz").is_file(), reason="nasbench101.npz"),
]


@pytest.fixture
def figures() -> Any:
    """The recipe of NAS-Bench-101's cells on images, for a moment each."""
    return recipe("nasbench101_cifar10")


def results(path: Path) -> dict[str, Any]:
    """Means of the measures of each row."""
    rows = json.loads(path.read_text())["rows"]
    return {name: {column: found["mean"] for column, found in row["results"].items()} for name, row in rows.items()}


def test_cells_are_trained_beside_the_table(figures: Any, tmp_path: Path) -> None:
    scale = figures.Scale("digits#200", 1, 4, 64)
    figures.train_cells(Space.load("nasbench101"), scale, 1, "cpu", tmp_path / "found.json")
    found = results(tmp_path / "found.json")
    assert list(found) == ["best", "median", "ResNet"]
    assert all(0 <= row["test"] <= 1 and row["images"] > 0 for row in found.values())
    assert found["best"]["table"] > found["ResNet"]["table"] > found["median"]["table"] > 0.8


def test_the_trainer_is_compared_with_a_plain_loop(
    figures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "ROUNDS", 1)
    figures.speed(Space.load("nasbench101"), figures.Scale("digits#200", 1, 4, 64), "cpu", tmp_path / "found.json")
    assert all(row["ratio"] > 0 for row in results(tmp_path / "found.json").values())


def test_cells_of_eight_vertices_are_trained_beside_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "found.json"
    command = ["x", "--cells", "1", "--seeds", "1", "--task", "digits#200", "--epochs", "1", "--out", str(out)]
    monkeypatch.setattr("sys.argv", command)
    recipe("eight_vertices_trained").main()
    assert len(results(out)) == 5
