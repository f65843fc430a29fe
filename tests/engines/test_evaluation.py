from pathlib import Path

import pytest

from graphnas.engines import objective_values, read_progress
from graphnas.evaluate.protocol import EvaluationFailed, Result


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    assert read_progress(tmp_path) == []
    (tmp_path / "progress.jsonl").write_text('{"step": 1, "accuracy": 0.5}\n{"step": 2, "acc')
    assert read_progress(tmp_path) == [(1, {"accuracy": 0.5})]
    (tmp_path / "progress.jsonl").write_text('{"step": 1, "accuracy": 0.5}\n{"step": 2, "accuracy": 0.75}\n')
    assert read_progress(tmp_path, after=1) == [(2, {"accuracy": 0.75})]


def test_a_damaged_line_ends_the_record(tmp_path: Path) -> None:
    for damage in ("\0\0\0", "[1]", '{"accuracy": 1.0}', '{"step": null}'):
        (tmp_path / "progress.jsonl").write_text(f'{{"step": 1, "accuracy": 0.5}}\n{damage}\n{{"step": 3}}\n')
        assert read_progress(tmp_path) == [(1, {"accuracy": 0.5})]


def test_objectives_are_finite_figures_of_a_result() -> None:
    result = Result(0.5, {"loss": float("inf"), "parameters": 1000.0})
    assert objective_values(result, ["value", "parameters"]) == (0.5, 1000.0)
    with pytest.raises(EvaluationFailed, match="objective 'loss' is inf"):
        objective_values(result, ["value", "loss"])
    with pytest.raises(EvaluationFailed, match=r"'speed' is missing from the metrics \['loss', 'parameters'\]"):
        objective_values(result, ["speed"])
    with pytest.raises(EvaluationFailed, match="objective 'value' is None"):
        objective_values(Result(None), ["value"])  # type: ignore[arg-type]
