"""The surrogates that come with the library."""

from __future__ import annotations

import numpy as np
import pytest

from graphnas.cell import Architecture, Cell
from graphnas.content import content_folder
from graphnas.evaluate import open_table
from graphnas.predictors import prediction_measures
from graphnas.spaces import Space
from graphnas.surrogates import Archive, Surrogate, SurrogateEvaluator

SHIPPED = {"surrogate-darts": "darts", "surrogate-nb101": "nasbench101"}


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_small_and_answers(name: str) -> None:
    surrogate = Surrogate.load(name)
    assert surrogate.space.name == SHIPPED[name]
    folder = content_folder("spaces") / "benchmarks" / name
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 4 * 2**20
    assert (folder / "README.md").is_file()
    cells = surrogate.space.sample(50, np.random.default_rng(0))
    predicted = surrogate.predict(cells)
    assert ((predicted.mean > 0.3) & (predicted.mean < 1)).all()
    assert surrogate.familiar(cells, predicted).mean() > 0.8
    result = SurrogateEvaluator(surrogate).evaluate(cells[0])
    assert result.value == pytest.approx(predicted.mean[0])
    assert result.cost is not None
    assert result.cost > 60


def test_it_ranks_what_it_has_not_seen() -> None:
    try:
        table = open_table("nasbench101")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    surrogate = Surrogate.load("surrogate-nb101")
    rows = np.random.default_rng(1).permutation(len(table))[:2_000]
    archive = Archive.of_table(surrogate.space, table, "test_acc_run0", rows=rows)
    assert prediction_measures(surrogate.predict(archive.cells).mean, archive.values)["spearman"] > 0.95


def test_cells_without_parameters_are_not_familiar() -> None:
    surrogate = Surrogate.load("surrogate-darts")
    skips = [
        Architecture(one.space, tuple(all_skips(cell, surrogate.space) for cell in one.cells))
        for one in surrogate.space.sample(20, np.random.default_rng(0))
    ]
    predicted = surrogate.predict(skips)
    # Its members agree on them, for what that is worth.
    assert (predicted.std <= surrogate.spread).mean() > 0.9
    assert not surrogate.familiar(skips, predicted).any()
    with pytest.warns(UserWarning, match="guesses"):
        SurrogateEvaluator(surrogate).evaluate(skips[0])


def all_skips(cell: Cell, space: Space) -> Cell:
    return Cell(tuple("skip_connect" if op in space.operations else op for op in cell.ops), cell.edges)
