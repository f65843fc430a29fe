"""The recipes in runs/: their variants of the model, their result files, and the page made of these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console

from graphnas.analysis import TrainingSplit, draw_pairs
from graphnas.cell import Architecture, Cell, to_arrays
from graphnas.encoders.decoder import decision_masks
from graphnas.evaluate import Result, data_folder
from graphnas.formats.nasbench201 import from_string
from graphnas.spaces import Space
from graphnas.studies import Fidelity
from tests.recipes import recipe as load_recipe


@pytest.fixture(scope="module")
def ablations() -> Any:
    return load_recipe("ablations_nasbench101")


@pytest.fixture(scope="module")
def records() -> Any:
    return load_recipe("records")


@pytest.fixture(scope="module")
def results_table() -> Any:
    return load_recipe("results_table")


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.load("nasbench101", max_vertices=5)


def test_random_orders_are_topological_and_differ(ablations: Any) -> None:
    space = Space.load("nasbench101")
    cells = space.sample_arrays(2_000, np.random.default_rng(0))
    first, second = (ablations.random_order(cells, np.random.default_rng(seed)) for seed in (0, 1))
    assert not first.adjacency[:, *np.tril_indices(7)].any()
    assert np.array_equal(first.size, cells.size)
    assert ((first.ops >= 0).sum(1) == first.size).all()
    assert (first.ops[:, 0] == 0).all()
    assert (first.ops[np.arange(2_000), first.size - 1] == 1).all()
    assert space.hashes(first) == space.hashes(cells)
    assert (first.adjacency != second.adjacency).any((1, 2)).mean() > 0.3


def test_a_chain_has_one_order_alone(ablations: Any) -> None:
    chain = to_arrays(
        [Cell(("input", "a", "b", "output"), frozenset({(0, 1), (1, 2), (2, 3)}))], ["input", "output", "a", "b"]
    )
    assert np.array_equal(ablations.random_order(chain, np.random.default_rng(0)).ops, chain.ops)


def test_without_masks_everything_is_allowed_until_the_output(ablations: Any) -> None:
    free = ablations.without_masks(Space.load("nasbench101", max_vertices=4))
    chain = to_arrays([Cell(("input", "conv3x3", "output"), frozenset({(0, 1), (1, 2)}))], free.vocabulary, width=4)
    labels, pairs = decision_masks(free.topology, chain)
    assert labels.tolist() == [[[True] * 4, [True] * 4, [True, False, False, False]]]
    # Edges 0-1; 0-2, 1-2; and those of the vertex behind the output.
    assert pairs.tolist() == [[True, True, True, False, False, False]]


def test_without_masks_some_derivations_are_illegal_but_all_end(ablations: Any, space: Space) -> None:
    free = ablations.without_masks(space)
    drawn = free.topology.sample_by_decision(2_000, np.random.default_rng(0))
    assert (drawn.ops[np.arange(2_000), drawn.size - 1] == 1).all()
    legal = free.topology.is_legal(free.topology.simplify(drawn)).mean()
    assert 0.1 < legal < 0.9
    assert space.topology.is_legal(space.topology.sample_by_decision(2_000, np.random.default_rng(0))).all()


ROWS = ["default", "not-canonical", "message-passing", "no-masks"]
SLOW = [
    "no-targets",
    "auxiliary-only",
    "metric-only",
    "no-edits",
    "little-noise",
    "little-noise-no-targets",
    "beta-0.005",
]
SLOW += ["beta-0.1", "latent-16", "latent-56", "places", "dvae"]


@pytest.mark.parametrize("name", ROWS + [pytest.param(name, marks=pytest.mark.slow) for name in SLOW])
def test_every_row_can_be_fitted_and_measured(ablations: Any, space: Space, name: str) -> None:
    assert sorted(ROWS + SLOW) == sorted(ablations.ROWS)
    torch.set_num_threads(1)
    cells = space.enumerate_arrays()
    order = np.random.default_rng(0).permutation(cells.n)
    split = TrainingSplit(cells.take(order[:200]), cells.take(order[200:]))
    yardstick = ablations.Yardstick(
        space=space,
        split=split,
        costs=np.ones((split.train.n, 2)) * np.arange(split.train.n)[:, None],
        known=_Unlabelled(split.held_out),
        draws={},
        pairs=draw_pairs(space, split.held_out, pairs=50),
        reconstructed=100,
        samples=100,
    )
    model, _ = ablations.fitted(ablations.ROWS[name], yardstick, 0, steps=15)
    measured = ablations.measured(model, yardstick, 0)
    expected = {key for key in ablations.COLUMNS if "spearman" not in key and "cpu_second" not in key}
    assert set(measured) - {"reconstruction_of_canonical"} == expected
    assert ("reconstruction_of_canonical" in measured) == (name == "not-canonical")
    assert measured["validity"] == 1 or name == "no-masks"


class _Unlabelled:
    def __init__(self, cells: Any) -> None:
        self.cells = cells


def _record(records: Any, path: Path, minutes: float = 3.0) -> Any:
    return records.Record(
        path,
        name="trial",
        figure="A trial",
        settings={"minutes": minutes},
        columns={"share": "share of all"},
        rows={"one": "the first", "other": "the second"},
    )


def test_a_result_file_goes_on_where_it_was(records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["runs/trial.py", "--rows", "one", "other", "--minutes", "3"])
    path = tmp_path / "results" / "trial.json"
    record = _record(records, path)
    record.add("other", {"share": 0.5}, 2.0)
    record.add("other", {"share": 0.75}, 3.0)
    record = _record(records, path)
    assert (record.seeds("one"), record.seeds("other")) == (0, 2)
    record.add("one", {}, 1.0, failed="seed 0: it did")
    found = json.loads(path.read_text())
    assert found["command"] == "python runs/trial.py --minutes 3"
    assert found["cpu_seconds"] == 6.0
    assert list(found["rows"]) == ["one", "other"]
    assert found["rows"]["one"] == {
        "about": "the first",
        "results": {},
        "cpu_seconds": [1.0],
        "failed": ["seed 0: it did"],
    }
    assert found["rows"]["other"]["results"]["share"] == {
        "mean": 0.625,
        "sd": pytest.approx(0.17678, abs=1e-5),
        "by_seed": [0.5, 0.75],
    }


def test_a_failed_fit_keeps_its_place_among_the_seeds(records: Any, tmp_path: Path) -> None:
    record = _record(records, tmp_path / "trial.json")
    record.add("one", {}, 1.0, failed="seed 0: it did")
    record.add("one", {"share": 0.25}, 1.0)
    record.add("one", {}, 1.0, failed="seed 2: it did")
    record.add("one", {"share": 0.75}, 1.0)
    row = json.loads((tmp_path / "trial.json").read_text())["rows"]["one"]
    assert row["results"]["share"]["by_seed"] == [None, 0.25, None, 0.75]
    assert row["results"]["share"]["mean"] == 0.5
    lines = records.table_lines({"one": row}, {"share": "share of all"})
    assert lines[1][:2] == ["one (2 of 4 fits)", "0.5000 ± 0.3536"]


def test_two_processes_may_write_different_rows(records: Any, tmp_path: Path) -> None:
    path = tmp_path / "trial.json"
    first, second = _record(records, path), _record(records, path)
    first.add("one", {"share": 0.25}, 1.0)
    second.add("other", {"share": 0.5}, 1.0)
    first.add("one", {"share": 0.75}, 1.0)
    rows = json.loads(path.read_text())["rows"]
    assert rows["one"]["results"]["share"]["by_seed"] == [0.25, 0.75]
    assert rows["other"]["results"]["share"]["by_seed"] == [0.5]
    # What one has measured before, the other goes on with.
    second.add("one", {"share": 0.5}, 1.0)
    first.add("other", {"share": 1.0}, 1.0)
    assert [first.seeds(name) for name in ("one", "other")] == [3, 2]
    rows = json.loads(path.read_text())["rows"]
    assert rows["one"]["results"]["share"]["by_seed"] == [0.25, 0.75, 0.5]


def test_other_settings_are_not_mixed_in(records: Any, tmp_path: Path) -> None:
    _record(records, tmp_path / "trial.json").add("one", {"share": 0.25}, 1.0)
    with pytest.raises(SystemExit, match=r"holds a run of other settings, \{'minutes': 3.0\}"):
        _record(records, tmp_path / "trial.json", minutes=4.0)


@pytest.mark.parametrize("name", ["ablations_nasbench101", "svge_enas"])
def test_known_figures_belong_to_measures_of_theload_recipe(name: str) -> None:
    recipe = load_recipe(name)
    measures = {f"{row}: {title}" for row in recipe.ROWS for title in recipe.COLUMNS.values()}
    assert set(load_recipe("known_figures").FIGURES[name]) <= measures


def test_the_page_has_a_section_for_every_file_and_known_figures_beside(
    records: Any, results_table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = _record(records, tmp_path / "trial.json")
    record.add("one", {"share": 0.5, "aside": 0.25}, 60.0)
    record.add("other", {"share": 1_500.0}, 60.0)
    figure = load_recipe("known_figures").Figure(0.75, "a paper")
    monkeypatch.setitem(results_table.FIGURES, "trial", {"one: share of all": [figure], "absent": [figure]})
    report = {
        "encoder": "mine",
        "split": {"held_out": 1_000},
        "quality": {"active_units": {"mean": 31.0, "sd": 0.0}},
        "smoothness": {"missing": "too large"},
        "ranking": {"table": [_ranked("latent mean", 0.9)]},
        "architectures_per_second": {"encode": 10, "decode": 20_000, "clock": "CPU", "threads": 1},
        "environment": {"command": ["graphnas", "encoders", "evaluate", "mine"], "versions": {"torch": "2"}},
    }
    (tmp_path / "encoder_nasbench101.json").write_text(json.dumps(report))
    page = tmp_path / "RESULTS.md"
    monkeypatch.setattr("sys.argv", ["results_table.py", "--results", str(tmp_path), "--out", str(page)])
    results_table.main()
    text = page.read_text()
    assert text.index("## encoder_nasbench101") < text.index("## trial")
    for line in (
        "`graphnas encoders evaluate mine`",
        "| GP Spearman, 1,000 labels: latent mean | 0.9000 ± 0.0100 |",
        "| GP Spearman, 1,000 labels: latent mean | 0.911 | target: prototype | 0.9000 ± 0.0100 | -0.0110 |",
        "| decode, architectures per CPU-s | 22,600 | target: prototype | 20,000 | -2,600 |",
        "No smoothness: too large.",
        "| one | 0.5000 | 60 |",
        "| other | 1,500 | 60 |",
        "- one, aside: 0.2500",
        "| one: share of all | 0.75 | a paper | 0.5000 | -0.2500 |",
        "Mean ± standard deviation; seeds a row: 1.",
    ):
        assert line in text.split("\n")


def test_the_page_shows_what_predict_bench_wrote(
    results_table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(name: str, size: int, epochs: int, seeds: int, kendall: float, error: float | None) -> dict[str, Any]:
        figure = {"mean": kendall, "standard_error": error}
        measures = dict.fromkeys(("kendall", *results_table.PREDICTED), figure)
        costs = {"initialisation": 1.5 * size, "query": 0.25}
        return {"predictor": name, "train_size": size, "epochs": epochs, "seeds": seeds, "measures": measures} | costs

    rows = [row("sotl-e", 0, 3, 10, 0.4, 0.01), row("gp", 10, 0, 10, 0.2, 0.02), row("gp", 1_000, 0, 1, 0.7, None)]
    report = {
        "data": "digits101",
        "title": "digits101",
        "test": 200,
        "setting": "mutation",
        "rows": rows,
        "environment": {"command": ["graphnas", "predict", "bench", "digits101"], "versions": {"torch": "2"}},
    }
    (tmp_path / "predict_digits101.json").write_text(json.dumps(report))
    page = tmp_path / "RESULTS.md"
    monkeypatch.setattr("sys.argv", ["results_table.py", "--results", str(tmp_path), "--out", str(page)])
    results_table.main()
    lines = page.read_text().split("\n")
    assert "digits101: 200 others predicted, setting mutation." in lines
    assert "| sotl-e | 3 | 10 | 0.400 ± 0.010 |  |  |" + " 0.400 ± 0.010 |" * 4 + " 0 | 0.25 |" in lines
    assert "| gp |  | 1-10 |  | 0.200 ± 0.020 | 0.700 |" + " 0.700 |" * 4 + " 1,500 | 0.25 |" in lines


def _ranked(encoding: str, mean: float) -> dict[str, Any]:
    score = {"mean": mean, "sd": 0.01}
    return {"labels": 1_000, "encoding": encoding, "draws": 2, "spearman": score, "pearson": score, "rmse": score}


class SmallTable:
    """Made-up accuracies and latencies of the classes of NAS-Bench-201."""

    def __init__(self, space: Space) -> None:
        self.rows = {key: row for row, key in enumerate(space.hashes(space.enumerate_arrays()))}
        self.space, self.rng = space, np.random.default_rng(0)

    def column(self, name: str) -> np.ndarray:
        del name
        return self.rng.random(len(self.rows))

    def row(self, architecture: Architecture) -> int:
        return self.rows[self.space.hash(architecture)]


@pytest.mark.parametrize("method", ["nsga2", "random"])
def test_the_recipe_of_the_pareto_set_counts_classes_and_their_hypervolume(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pareto = load_recipe("pareto_nasbench201")
    monkeypatch.setattr(pareto, "PLACES", (10, 30))
    space = Space.load("nasbench201")
    table: Any = SmallTable(space)
    objectives = pareto.Objectives(table, "device")
    sampler = pareto.make_sampler(method, space, None, objectives, 0)
    found = pareto.search(space, table, objectives, sampler, 0)
    assert len(found) == len(set(found)) == 30
    assert 0 < objectives.share(found[:10]) <= objectives.share(found) < 1
    assert objectives.share(list(range(len(table.rows)))) == pytest.approx(1)


@pytest.mark.skipif(not (data_folder() / "spikenas_cifar10.parquet").is_file(), reason="spikenas_cifar10.parquet")
def test_curves_are_found_by_the_operations_of_the_edges() -> None:
    recipe = load_recipe("hyperband_tables")
    space = Space.load("nasbench201")
    curves = recipe.Curves(space)
    edges = ["none", "nor_conv_1x1", "skip_connect", "avg_pool_3x3", "nor_conv_3x3", "none"]
    # (0,1), (0,2), (1,2), (0,3), (1,3), (2,3) in the string; the table has (0,3) before (1,2).
    cell = from_string("|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*edges))
    row = curves.row(Architecture("nasbench201", (cell,)))
    assert row == 0 + 2 * 5 + 4 * 25 + 1 * 125 + 3 * 625 + 0 * 3125
    table = pq.read_table(data_folder() / "spikenas_cifar10.parquet").sort_by("index")
    assert table["ops"][row].as_py() == [0, 2, 4, 1, 3, 0]
    part = curves.evaluate(Architecture("nasbench201", (cell,)), budget=100, until=33)
    assert part.value == pytest.approx(table["val_acc"][row].as_py()[32] / 100)
    assert (part.budget, part.cost) == (33, pytest.approx(curves.seconds[row] * 0.33))


class Threes:
    """Values cells by their 3 x 3 convolutions, as trained for 3 epochs or 9."""

    name = "threes"
    epochs = 9
    budgets = (3, 9)

    def evaluate(self, architecture: Architecture, *, budget: int | None = None, **settings: Any) -> Result:
        epochs = budget or self.epochs
        value = architecture.cells[0].ops.count("conv3x3") / 10 - 1 / epochs
        return Result(value, cost=3600.0 * epochs / 9, budget=epochs)


@pytest.mark.parametrize(("method", "trials"), [("random", 5), ("random + hyperband", 6)])
def test_the_time_of_a_search_is_that_of_its_trainings(space: Space, method: str, trials: int) -> None:
    recipe = load_recipe("hyperband_tables")
    evaluator = Threes()
    fidelity = Fidelity.of("hyperband", evaluator)
    benchmark = recipe.Benchmark(space, evaluator, None, fidelity, threshold=0.05, hours=1.0)
    found = recipe.search(benchmark, method, None, 0, trainings=5.0)
    assert found["trials"] >= trials
    assert found["hours_to_top"] == found["trainings_to_top"]
    assert found["best_10"] == found["best_30"] > 0


@pytest.mark.slow
def test_the_universal_encoder_is_fitted_measured_and_has_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe("universal_encoder")
    monkeypatch.chdir(tmp_path)  # checkpoints go to results/
    for name, value in {"BATCHES": {"nasbench201": 16}, "GRAPHS": 64, "GRAPH_BATCH": 16, "MEASURED": 20,
                        "RANKED": ()}.items():  # fmt: skip
        monkeypatch.setattr(recipe, name, value)
    folder = tmp_path / "encoders" / "universal"
    command = ["universal_encoder.py", "train", "--minutes", "0.15", "--encoder", str(folder)]
    monkeypatch.setattr("sys.argv", command)
    recipe.main()
    measured = tmp_path / "measured.json"
    recipe.measure(folder, 1, measured, Console(quiet=True))
    rows = json.loads(measured.read_text())["rows"]
    assert set(rows) == {"nasbench201, own", "nasbench201, universal", "universal, universal"}
    recipe.card(folder, measured)
    record, text = json.loads((folder / "metrics.json").read_text()), (folder / "README.md").read_text()
    share = rows["nasbench201, universal"]["results"]["reconstruction"]["mean"]
    assert record["quality"]["reconstruction"] == record["quality"]["reconstruction_nasbench201"] == share
    assert f"| nasbench201 | {share:.4f} | 1.0000 |" in text
    assert "python runs/universal_encoder.py train --minutes 0.15" in text
    assert "{" not in text.replace('{"', "")
