"""The recipes of the search in runs/, and the page's part on what `graphnas bench` wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from graphnas.bench import PROTOCOLS, Run
from graphnas.bench.compare import report
from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.search import LatentBOSampler
from graphnas.spaces import Space
from graphnas.surrogates import Archive
from tests.recipes import recipe as load_recipe


def a_run(method: str, seed: int, best: float, architecture: str = "{}") -> Run:
    values = np.linspace(0.9, best, 150).tolist()
    further = {"test accuracy of the best": values}
    return Run("p201", method, seed, values, [method] * 150, [None] * 150, further, [(1, architecture)], 0, 12.0)


def test_the_page_shows_what_bench_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = load_recipe("results_table")
    runs = [a_run(method, seed, best) for seed in (0, 1) for method, best in (("latent-bo", 0.9157), ("random", 0.91))]
    found = report(runs, [PROTOCOLS["p201"]], {"p201": 0.9157})
    timings = {
        "command": "graphnas bench p201",
        "environment": {"versions": {"torch": "2"}},
        "cpu_seconds": {"p201": {"latent-bo": [10.0, 14.0], "random": [1.0, 1.0]}},
    }
    (tmp_path / "bench.json").write_text(json.dumps(found))
    (tmp_path / "bench.timings.json").write_text(json.dumps(timings))
    out = tmp_path / "RESULTS.md"
    monkeypatch.setattr("sys.argv", ["results_table.py", "--results", str(tmp_path), "--out", str(out)])
    page.main()
    lines = out.read_text().split("\n")
    assert sum(line.startswith("## ") for line in lines) == 1
    (ours,) = [line for line in lines if line.startswith("| latent-bo |")]
    assert ours.endswith("| 91.570 ± 0.000 | 0.00 / 0.00 / 0.00 / 1.00 | 12.0 |")
    (gap,) = [line for line in lines if line.startswith("| latent-bo above random | 2 |")]
    assert gap.endswith("| 0.570 ± 0.000 | | |")
    assert any(line.startswith("| p201, latent-bo, 100 queries | 91.55 | target: prototype |") for line in lines)


def test_known_figures_of_searches_belong_to_protocols() -> None:
    for measure in load_recipe("known_figures").FIGURES["bench"]:
        name, method, queries = measure.split(", ")[:3]
        assert int(queries.split()[0]) in PROTOCOLS[name].places
        assert method


def test_rows_of_the_search_ablations_are_searches() -> None:
    recipe, space = load_recipe("ablations_search"), Space.load("nasbench101", max_vertices=4)
    assert set(recipe.SETTINGS) < set(recipe.ROWS)
    for row in recipe.ROWS:
        if row == "svge":
            continue
        encoder = recipe.make_encoder(row, space, 0, None, lambda: CellAutoencoder.for_space(space))
        LatentBOSampler(space, encoder, seed=0, **recipe.SETTINGS.get(row, {}))


@pytest.mark.parametrize("name", ["adjacency", "statistics", "structure"])
def test_features_stand_in_for_a_latent(name: str) -> None:
    recipe, space = load_recipe("ablations_search"), Space.load("nasbench101", max_vertices=5)
    features = recipe.Features(space, name)
    points, log_variance = features.encode(space.sample(30, np.random.default_rng(0)))
    assert points.shape == (30, features.latent_dim)
    assert torch.isfinite(points).all()
    assert (log_variance.exp() == 0).all()


def test_a_hidden_architecture_is_the_only_optimum_of_its_kind() -> None:
    space = Space.load("darts")
    hidden = load_recipe("hidden_darts").HiddenArchitecture(space, 3)
    assert hidden.evaluate(hidden.hidden).value == pytest.approx(1)
    others = space.sample(200, np.random.default_rng(0))
    values = [hidden.evaluate(other).value for other in others]
    assert 0 < min(values) < max(values) < 0.95
    near = [hidden.evaluate(one).value for one in space.neighbours(hidden.hidden)]
    assert np.mean(near) > max(values)


def test_a_search_is_measured_by_the_hours_of_its_trainings() -> None:
    recipe, space = load_recipe("surrogate_searches"), Space.load("nasbench201")
    cells = [one.to_json() for one in space.sample(2, np.random.default_rng(0))]
    run = Run("p", "m", 0, [0.5, 0.5, 0.7], ["random"] * 3, [7200.0, 3600.0, 3600.0], {},
              [(1, cells[0]), (3, cells[1])], 0, 1.0)  # fmt: skip
    # The first training is waited for, however long it takes.
    assert [recipe.after(run, hours) for hours in (1, 3, 3.9, 4, 9)] == [0.5, 0.5, 0.5, 0.7, 0.7]
    assert [recipe.incumbent(run, queries).to_json() for queries in (1, 2, 3)] == [cells[0], cells[0], cells[1]]


@pytest.mark.slow
def test_what_is_unseen_is_predicted_by_a_fit_to_the_others() -> None:
    recipe, space = load_recipe("surrogates"), Space.load("nasbench201")
    cells = space.sample(60, np.random.default_rng(0))
    noise = np.random.default_rng(1).standard_normal(60)
    archive = Archive.of(space, cells, noise)
    kind = {"kind": "xgb", "seed": 0}
    seen, unseen = (recipe.fitted_values(archive, **kind, unseen=unseen) for unseen in (False, True))
    assert np.corrcoef(seen, noise)[0, 1] > 0.8
    assert abs(np.corrcoef(unseen, noise)[0, 1]) < 0.4


def test_features_of_the_denoised_accuracy_have_columns_of_their_own() -> None:
    recipe, space = load_recipe("denoised_nasbench101"), Space.load("nasbench101")
    cells = space.sample_arrays(50, np.random.default_rng(0))
    whole = recipe.features(space, cells)
    assert np.array_equal(whole[:20], recipe.features(space, cells.take(slice(20))))
    assert len(np.unique(whole, axis=0)) > 45


def test_proposed_cells_have_eight_vertices_and_are_ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, space = load_recipe("eight_vertices"), Space.load("nasbench101", max_vertices=8)

    class MadeUp:
        def __init__(self) -> None:
            self.cells = Space.load("nasbench101").sample(200, np.random.default_rng(0))

        def __len__(self) -> int:
            return len(self.cells)

        def architectures(self, rows: list[int]) -> list[Architecture]:
            return [self.cells[row] for row in rows]

        def column(self, name: str) -> np.ndarray:
            del name
            return np.array([0.8 + cell.cells[0].ops.count("conv3x3") / 50 for cell in self.cells])

    monkeypatch.setattr(recipe, "open_table", lambda space: MadeUp())
    monkeypatch.setattr(recipe, "RANDOM", 300)
    monkeypatch.setattr(recipe, "KEPT", 4)
    out = tmp_path / "eight.json"
    monkeypatch.setattr("sys.argv", ["x", "--labels", "60", "--cells", "8", "--rounds", "1", "--out", str(out)])
    recipe.main()
    found = json.loads(out.read_text())
    assert [one["rank"] for one in found] == list(range(1, 9))
    scores = [one["predicted_score"] for one in found]
    assert scores == sorted(scores, reverse=True)
    for one in found:
        architecture = Architecture.from_dict(one["architecture"])
        space.validate(architecture)
        assert architecture.cells[0].size == 8
