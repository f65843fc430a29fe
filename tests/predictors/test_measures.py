from __future__ import annotations

import math

import numpy as np
import pytest

from graphnas.predictors import MEASURES, prediction_measures

TRUE = np.linspace(0.5, 0.9, 40)


def test_a_perfect_prediction() -> None:
    found = prediction_measures(TRUE, TRUE)
    assert tuple(found) == MEASURES
    expected = dict.fromkeys(MEASURES, 1.0) | {"rmse": 0.0, "missing": 0.0}
    assert found == pytest.approx(expected)


def test_an_inverted_prediction_keeps_its_sign() -> None:
    found = prediction_measures(-TRUE, TRUE)
    assert [found[name] for name in ("pearson", "spearman", "kendall", "precision_10")] == pytest.approx(
        [-1, -1, -1, 0]
    )


def test_sparse_kendall_takes_no_notice_of_small_differences() -> None:
    # Predictions that all round to the same number correlate with nothing, though their order is right.
    close = 0.7 + 1e-6 * np.arange(40)
    found = prediction_measures(close, TRUE)
    assert found["kendall"] == pytest.approx(1)
    assert found["sparse_kendall"] == 0


def test_missing_predictions_rank_last_and_are_counted() -> None:
    guess = TRUE.copy()
    guess[-1] = math.nan
    found = prediction_measures(guess, TRUE)
    assert found["missing"] == pytest.approx(1 / 40)
    assert found["rmse"] == 0
    assert found["precision_10"] == pytest.approx(0.9)
    assert found["spearman"] < 1
    nothing = prediction_measures(np.full(40, math.nan), TRUE)
    assert (nothing["missing"], nothing["spearman"], nothing["pearson"]) == (1, 0, 0)
    assert math.isnan(nothing["rmse"])


def test_few_architectures_have_no_precision() -> None:
    found = prediction_measures(TRUE[:12], TRUE[:12])
    assert found["precision_10"] == 1
    assert math.isnan(found["precision_20"])
    with pytest.raises(ValueError, match=r"three or more predictions .* shapes \(2,\), \(2,\)"):
        prediction_measures([1, 2], [1, 2])
