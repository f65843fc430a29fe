from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from graphnas.analysis.transfer import SourceModel, predict_transferred


def test_labels_of_another_space_help_and_few_of_its_own_correct_them() -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=12)
    source, target = rng.normal(size=(200, 12)), rng.normal(size=(300, 12)) + 0.3
    y_source = np.sin(source @ w / 4) + 0.05 * rng.normal(size=200)
    y_target = 3 * np.sin(target @ w / 4) + 0.6 * target[:, 0]
    predicted = SourceModel(source, y_source).predict(target)
    test = np.arange(60, 300)

    def score(known: np.ndarray | None, n: int) -> float:
        found = predict_transferred(known, target, y_target, np.arange(n), test)
        return float(spearmanr(found, y_target[test]).statistic)

    assert score(predicted, 0) > 0.7
    assert score(predicted, 16) > score(None, 16)
    assert score(predicted, 60) > score(predicted, 0)
    # A source that is upside down does no harm once there are labels.
    assert score(-predicted, 60) > score(None, 16)


def test_a_source_or_two_labels_are_needed() -> None:
    x, y = np.zeros((4, 2)), np.zeros(4)
    for known, rows in ((None, []), (y, [0])):
        with pytest.raises(ValueError, match="a source, or two or more labels"):
            predict_transferred(known, x, y, np.array(rows, dtype=np.int64), np.array([1]))
