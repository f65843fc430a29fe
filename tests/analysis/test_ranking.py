from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from graphnas.analysis import compare_encodings, gp_ranking, label_draws, ranking
from graphnas.analysis.ranking import fit_ranking_model
from graphnas.predictors.processes import kernel_weights, weighted_mean

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 3))
Y = np.sin(X[:, 0]) + 0.5 * X[:, 1]
NOISE = RNG.normal(size=(400, 3))
FEW, REST = np.arange(60), np.arange(100, 400)


def test_a_smooth_function_is_ranked_and_noise_is_not() -> None:
    found = gp_ranking(X, Y, FEW, REST)
    assert found["spearman"] > 0.98
    assert found["pearson"] > 0.98
    assert found["rmse"] < 0.2
    blind = gp_ranking(NOISE, Y, FEW, REST)
    assert abs(blind["spearman"]) < 0.4
    assert blind["rmse"] > 0.7


def test_errors_are_in_standard_deviations_of_the_labels_that_are_known() -> None:
    found, scaled = gp_ranking(X, Y, FEW, REST), gp_ranking(X, 1000 * Y - 7, FEW, REST)
    assert scaled == pytest.approx(found, rel=1e-3)


def test_the_scale_of_the_whole_encoding_does_not_matter_but_that_of_a_column_does() -> None:
    found = gp_ranking(X, Y, FEW, REST)
    assert gp_ranking(1e-3 * X, Y, FEW, REST) == pytest.approx(found, rel=1e-3)
    assert gp_ranking(X * [0.01, 0.01, 1], Y, FEW, REST)["spearman"] < found["spearman"]


def test_a_constant_encoding_ranks_nothing() -> None:
    assert gp_ranking(np.ones((400, 2)), Y, FEW, REST)["spearman"] == 0
    assert gp_ranking(X, np.ones(400), FEW, REST) == {"spearman": 0, "pearson": 0, "rmse": pytest.approx(0)}


def test_the_posterior_mean_is_that_of_botorch() -> None:
    inputs, labels = torch.from_numpy(X[FEW]), torch.from_numpy((Y[FEW] - Y[FEW].mean()) / Y[FEW].std())[:, None]
    model = fit_ranking_model(inputs, labels)
    others = torch.from_numpy(X[REST])
    expected = model.posterior(others).mean.squeeze(-1).detach()
    found = weighted_mean(model, inputs, kernel_weights(model, inputs, labels[:, 0]), others)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_many_labels_are_all_used_though_few_set_the_hyperparameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "_FEW", 20)
    monkeypatch.setattr(ranking, "MOST_FITTED", 40)
    many = np.arange(100)
    inputs, labels = torch.from_numpy(X[many]), torch.from_numpy((Y[many] - Y[many].mean()) / Y[many].std())[:, None]
    model = fit_ranking_model(inputs, labels, seed=1)
    assert model.train_targets.shape == (40,)
    own = model.train_inputs[0]
    with torch.no_grad():
        prior = model.covar_module(inputs).to_dense() + model.likelihood.noise * torch.eye(100)
        constant = model.mean_module(inputs[:1])
        weights = torch.linalg.solve(prior, labels - constant)
        expected = constant + model.covar_module(torch.from_numpy(X[REST]), inputs).to_dense() @ weights[:, 0]
    found = weighted_mean(model, inputs, kernel_weights(model, inputs, labels[:, 0]), torch.from_numpy(X[REST]))
    torch.testing.assert_close(found, expected)
    assert {tuple(row) for row in own.tolist()} < {tuple(row) for row in inputs.tolist()}
    assert not torch.equal(own, fit_ranking_model(inputs, labels, seed=2).train_inputs[0])


def test_unfit_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="as many labels as encodings, 400, but got 399"):
        gp_ranking(X, Y[1:], FEW, REST)
    with pytest.raises(ValueError, match="two or more rows to train on and to test on, but got 1 and 300"):
        gp_ranking(X, Y, FEW[:1], REST)


def test_draws_are_nested_repeatable_and_apart_from_the_test() -> None:
    rows, test = np.arange(50, 100), np.arange(50)
    draws = label_draws(rows, [5, 20], range(3), test=test)
    assert list(draws) == [5, 20]
    for few, many in zip(draws[5], draws[20], strict=True):
        assert few.seed == many.seed
        assert few.train.tolist() == many.train.tolist()[:5]
        assert set(many.train.tolist()) <= set(rows.tolist())
        assert len(set(many.train.tolist())) == 20
        assert many.test is test
    again = label_draws(rows, [20], [2], test=test)[20][0]
    assert again.train.tolist() == draws[20][2].train.tolist()
    assert draws[20][0].train.tolist() != draws[20][1].train.tolist()


def test_splits_predict_another_tenth_for_each_seed() -> None:
    draws = label_draws(np.arange(100), [90], range(5))[90]
    for draw in draws:
        assert sorted([*draw.train.tolist(), *draw.test.tolist()]) == list(range(100))
        assert len(draw.test) == 10
    assert len({tuple(draw.test.tolist()) for draw in draws}) == 5


def test_too_many_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 90 labels, but got 91"):
        label_draws(np.arange(100), [91], [0])
    with pytest.raises(ValueError, match="at most 100 labels, but got 101"):
        label_draws(np.arange(100), [101], [0], test=np.arange(100, 110))


def test_differences_are_paired_over_the_draws() -> None:
    draws = label_draws(np.arange(100), [10, 20], range(3), test=REST)
    told: list[tuple[str, int, int]] = []
    table = compare_encodings(
        {"other": NOISE, "good": X}, Y, draws, reference="good", progress=lambda *step: told.append(step)
    )
    assert [(row["labels"], row["encoding"], row["draws"]) for row in table] == [
        (10, "good", 3), (10, "other", 3), (20, "good", 3), (20, "other", 3),
    ]  # fmt: skip
    assert told[0] == ("good, 10 labels", 0, 12)
    assert [step[1] for step in told] == list(range(12))
    good, other = table[2]["spearman"], table[3]["spearman"]
    assert "difference" not in good
    differences = np.array(other["by_draw"]) - np.array(good["by_draw"])
    assert other["difference"] == pytest.approx(differences.mean())
    assert other["standard_error"] == pytest.approx(differences.std(ddof=1) / math.sqrt(3))
    assert good["mean"] == pytest.approx(np.mean(good["by_draw"]))
    assert good["sd"] == pytest.approx(np.std(good["by_draw"], ddof=1))
    assert good["by_draw"][1] == gp_ranking(X, Y, draws[20][1].train, REST, seed=1)["spearman"]


def test_one_draw_has_no_spread() -> None:
    table = compare_encodings({"a": X, "b": NOISE}, Y, label_draws(FEW, [20], [0], test=REST), reference="a")
    assert table[0]["rmse"]["sd"] is None
    assert table[1]["rmse"]["standard_error"] is None
    with pytest.raises(ValueError, match="a reference among a, but got 'latent'"):
        compare_encodings({"a": X}, Y, {}, reference="latent")
