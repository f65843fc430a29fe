from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphnas.bench import prediction
from graphnas.bench.prediction import Grid, Trial, best_by_budget, read_trials, run_grid, summarise
from graphnas.bench.prediction_data import PredictionData, prediction_data
from graphnas.bench.prediction_rows import mutated_rows
from graphnas.predictors import MEASURES, ModelFittingError, Needs, ProcessPredictor

GRID = Grid(("random-forest", "macs", "bayesian-linear"), (10, 40), (1,), (0, 1), 30)


@pytest.fixture(scope="module")
def data() -> PredictionData:
    try:
        return prediction_data("nasbench201")
    except FileNotFoundError as error:
        pytest.skip(str(error))


def trial(predictor: str, initialisation: float, query: float, kendall: float, seed: int = 0) -> Trial:
    measures = dict.fromkeys(MEASURES, 0.0) | {"kendall": kendall}
    return Trial("digits101", predictor, 10, 0, seed, 30, "random", None, "", measures, initialisation, query)


@pytest.mark.slow
def test_every_setting_that_makes_a_difference_is_tried_once(data: PredictionData, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    path = tmp_path / "trials.jsonl"
    trials = run_grid(data, GRID, path, progress=lambda one, done, total: told.append((one.predictor, done, total)))
    settings = [(one.predictor, one.train_size, one.epochs, one.seed) for one in trials]
    forest = [("random-forest", size, 0, seed) for size in (10, 40) for seed in (0, 1)]
    assert settings == [
        *forest,
        ("macs", 0, 0, 0),
        ("macs", 0, 0, 1),
        *(("bayesian-linear", *one[1:]) for one in forest),
    ]
    assert [done for _, done, _ in told] == list(range(1, 11))
    by = {(one.predictor, one.train_size, one.seed): one for one in trials}
    # Forty trainings of about an hour; what is scored takes the time of building a network.
    assert data.seconds is not None
    assert 40 * data.seconds.min() < by["random-forest", 40, 0].initialisation < 40 * data.seconds.max() + 5
    assert by["macs", 0, 0].initialisation == 0
    assert by["macs", 0, 0].query > 1e-4
    assert by["random-forest", 40, 0].measures["kendall"] > 0.2
    assert by["macs", 0, 0].measures != by["macs", 0, 1].measures
    # A second run does what is missing alone: here the trial whose line is torn.
    path.write_text(path.read_text()[:-20])
    again = run_grid(data, GRID, path, progress=lambda *one: told.append(("again", 0, 0)))
    # As text, since what is not defined equals nothing.
    assert [str(one.measures) for one in again] == [str(one.measures) for one in trials]
    assert told[10:] == [("again", 0, 0)]
    assert len(read_trials(path)) == 10
    # Those of another grid come after its own, unless they were asked about others.
    fewer = replace(GRID, predictors=("macs",), seeds=(1,))
    assert {one.key for one in run_grid(data, fewer, path)} == {one.key for one in trials}
    assert run_grid(data, fewer, path)[0].key == again[5].key
    (other,) = run_grid(data, replace(fewer, test=20), path)
    assert other.test_size == 20


class CostlyScores:
    """Scores of two seconds each."""

    def of(self, names: Sequence[str], rows: np.ndarray) -> dict[str, np.ndarray]:
        return {name: np.zeros(len(rows)) for name in names}

    def query(self, names: Sequence[str]) -> float:
        return 2.0 * len(names)

    def initialisation(self, names: Sequence[str]) -> float:
        return 30.0 * ("rsws" in names)


def test_all_that_a_prediction_needs_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    data = prediction_data("digits101")
    assert data.seconds is not None
    monkeypatch.setattr(prediction, "_scores", lambda name, seed: CostlyScores())
    asked, digests = ("random", None), (None, "")
    learned, _ = prediction.SETTINGS["random"]("digits101", 6, 10, 0)
    omni = prediction._run("digits101", "omni-ngboost", 6, 3, 0, 10, *asked, digests)
    # Six trainings and as many scores; then a quarter of a training and a score for each.
    known = float(data.cost(learned).sum()) + 6 * 2
    assert known < omni.initialisation < known + 60
    assert 2 + data.seconds.mean() / 8 < omni.query < 2 + data.seconds.mean() / 2
    supernet = prediction._run("digits101", "rsws", 0, 0, 0, 10, *asked, digests)
    assert (supernet.initialisation, supernet.query) == (30.0, pytest.approx(2.0, abs=0.1))
    curve = prediction._run("digits101", "sotl-e", 0, 3, 0, 10, *asked, digests)
    assert curve.initialisation == 0
    assert np.isnan(curve.measures["rmse"])


def test_the_best_of_fewer_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "FEWER", {"early-accuracy": 30})
    asked = (0, 6, 0, 50, "random", None, (None, ""))
    fewer, all_of_them = (prediction._run("digits101", name, *asked) for name in ("early-accuracy", "sotl-e"))
    assert np.isnan([fewer.measures["precision_10"], fewer.measures["precision_20"]]).all()
    assert fewer.measures["kendall"] > 0
    assert all_of_them.measures["precision_20"] > 0


def test_a_fit_that_fails_predicts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise ModelFittingError("no")

    monkeypatch.setattr(ProcessPredictor, "fit", fail)
    failed = prediction._run("digits101", "gp", 10, 0, 0, 20, "random", None, (None, ""))
    assert failed.measures["missing"] == 1
    assert failed.measures["kendall"] == 0
    assert failed.initialisation > 0
    (row,) = summarise([failed])
    assert row["measures"]["rmse"] == {"mean": None, "standard_error": None}


def test_trainings_count_in_seconds(data: PredictionData) -> None:
    assert data.seconds is not None
    # 200 epochs of CIFAR-10 take about an hour; those that are not known count as usual ones.
    assert 1_000 < np.median(data.seconds) < 10_000
    assert (data.seconds == np.median(data.seconds)).mean() > 0.5


def test_noise_that_curves_and_their_ends_share_is_of_no_use() -> None:
    digits = prediction_data("digits101")
    assert digits.truth is not None
    assert (digits.targets == digits.curves["validation_accuracy"][:, -1]).all()
    assert (digits.truth == digits.targets).mean() < 0.2


def test_the_same_architectures_are_asked_about(data: PredictionData) -> None:
    # The parameters of cells that no size of network changes.
    assert data.test is None
    assert len(data.targets) == len(set(data.space.hashes(data.cells))) == 6_466


def test_what_the_data_does_not_have_is_refused(data: PredictionData, tmp_path: Path) -> None:
    needs = {
        "sotl": Needs(targets=False, curves=("train_loss",), fewest_epochs=4),
        "x": Needs(targets=False, scores=("luck",)),
        "forest": Needs(),
    }
    with pytest.raises(ValueError, match="sotl needs the curve train_loss, which nasbench201 does not have"):
        replace(GRID, predictors=("sotl",)).settings(data, needs)
    with pytest.raises(ValueError, match="x: the networks of nasbench201 have no score luck"):
        replace(GRID, predictors=("x",)).settings(data, needs)
    wide = replace(GRID, predictors=("forest",), train_sizes=(10_000,))
    with pytest.raises(ValueError, match="Expected train sizes of at most 6,436, but got 10,000"):
        wide.settings(data, needs)
    with pytest.raises(ValueError, match="Expected at most 6,466 architectures to ask about, but got 7,000"):
        replace(wide, test=7_000).settings(data, needs)
    curves = prediction_data("digits101")
    with pytest.raises(ValueError, match="sotl needs curves of 4 epochs or more, but got 3 at most"):
        replace(GRID, predictors=("sotl",), epochs=(1, 2, 3)).settings(curves, needs)
    # What learns from no trainings has no train sizes to be too large.
    assert replace(wide, predictors=("sotl",), epochs=(4,)).settings(curves, needs) == [
        ("sotl", 0, 4, 0),
        ("sotl", 0, 4, 1),
    ]
    (tmp_path / "trials.jsonl").write_text('{"data": 1}\n')
    with pytest.raises(ValueError, match="line 1: expected a trial of a predictor of this version"):
        run_grid(data, GRID, tmp_path / "trials.jsonl")
    with pytest.raises(ValueError, match=r"Expected data of digits101, .*, but got 'imagenet'"):
        prediction_data("imagenet")


def test_means_and_errors_over_seeds() -> None:
    rows = summarise([trial("a", 4, 1, 0.5), trial("a", 6, 3, 0.7, seed=1), trial("b", 1, 1, 0.2)])
    assert [(row["predictor"], row["seeds"], row["initialisation"], row["query"]) for row in rows] == [
        ("a", 2, 5, 2),
        ("b", 1, 1, 1),
    ]
    assert rows[0]["measures"]["kendall"] == pytest.approx({"mean": 0.6, "standard_error": 0.1})
    assert rows[1]["measures"]["kendall"] == {"mean": 0.2, "standard_error": None}


def test_the_best_that_two_budgets_allow() -> None:
    rows = summarise([trial("cheap", 0, 1, 0.2), trial("trained", 10, 0.1, 0.5), trial("dear", 10, 5, 0.8)])
    table = best_by_budget(rows, np.array([1.0, 20.0]), np.array([0.5, 2.0, 9.0]))
    assert table == [
        [None, ("trained", 0.5)],
        [("cheap", 0.2), ("trained", 0.5)],
        [("cheap", 0.2), ("dear", 0.8)],
    ]


def test_children_of_good_architectures_are_asked_about(data: PredictionData) -> None:
    learned, asked = mutated_rows("nasbench201", 300, 60, 3)
    fewer, same = mutated_rows("nasbench201", 40, 60, 3)
    assert (asked == same).all()
    assert (learned[:40] == fewer).all()
    assert len(set(learned.tolist()) | set(asked.tolist())) == 360
    assert data.targets[asked].mean() > data.targets.mean()
    near = {key for child in data.space.from_arrays(data.architectures(asked)) for key in
            data.space.hashes(data.space.neighbours(child))}  # fmt: skip
    assert near >= set(data.space.hashes(data.architectures(learned)))
    with pytest.raises(ValueError, match=r"Expected at most \d+ neighbours of nasbench201 to learn from, but got 6000"):
        mutated_rows("nasbench201", 6000, 10, 3)


def test_the_mutation_setting_is_a_trial_of_its_own(data: PredictionData, tmp_path: Path) -> None:
    grid = replace(GRID, predictors=("random-forest",), train_sizes=(40,), seeds=(0,))
    path = tmp_path / "trials.jsonl"
    (one,) = run_grid(data, grid, path)
    (other,) = run_grid(data, replace(grid, setting="mutation"), path)
    assert (one.setting, other.setting) == ("random", "mutation")
    assert one.measures != other.measures
    assert len(read_trials(path)) == 2


@pytest.mark.slow
def test_curves_of_spiking_networks() -> None:
    try:
        data = prediction_data("spikenas")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert len(data.targets) == len(set(data.space.hashes(data.cells))) == 6_130
    assert data.epochs == 100
    info = data.info(np.array([5, 9]), 7, {})
    assert info.curve("validation_accuracy").shape == (2, 7)
    assert ((info.curve("validation_accuracy") > 0) & (info.curve("validation_accuracy") < 1)).all()
    (cell,) = data.space.from_arrays(data.architectures(np.array([0])))
    data.space.validate(cell)
    assert json.loads(cell.to_json())["space"] == "nasbench201"
