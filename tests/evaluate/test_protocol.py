import math
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphnas.evaluate import EvaluationFailed, Result

figures = st.floats(allow_nan=False, allow_infinity=False)


@given(figures, st.dictionaries(st.text(), figures), st.dictionaries(st.text(), st.lists(figures).map(tuple)))
def test_json_round_trip(value: float, metrics: dict[str, float], curve: dict[str, tuple[float, ...]]) -> None:
    result = Result(value, metrics, curve, 1.5, 2.5, 20, 3, "training:digits", {"test": Path("a/b.npy")})
    assert Result.from_json(result.to_json()) == result


def test_figures_that_are_not_finite_are_null() -> None:
    text = Result(0.5, {"loss": math.nan}, {"loss": (math.inf, 1.0)}).to_json()
    assert "NaN" not in text
    again = Result.from_json(text)
    assert math.isnan(again.metrics["loss"])
    assert again.curve["loss"][1] == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "as JSON"),
        ("[]", "with the key 'value'"),
        ('{"value": 1, "score": 2}', "score"),
        ('{"value": 1, "metrics": 3}', "figures by name"),
    ],
)
def test_malformed_results_are_reported(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Result.from_json(text)


def test_a_failure_keeps_its_reason_between_processes() -> None:
    assert pickle.loads(pickle.dumps(EvaluationFailed("diverged"))).reason == "diverged"
