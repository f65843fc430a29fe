"""What the page on predictors shows must work as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from graphnas.bench.prediction_data import PREDICTION_DATA
from graphnas.predictors import ENCODINGS, PREDICTORS

PAGE = (Path(__file__).parents[1] / "docs" / "predictors.md").read_text(encoding="utf-8")


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    # The third shows what to do with a network of one's own.
    first, second, _, fourth = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(first, "predictors.md", "exec"), names)
    assert float(capsys.readouterr().out) > 0.7
    for block in (second, fourth):
        exec(compile(block, "predictors.md", "exec"), names)


def test_everything_is_named() -> None:
    assert [name for name in (*PREDICTORS, *ENCODINGS, *PREDICTION_DATA) if f"`{name}`" not in PAGE] == []
