"""What the pages on importing and analysing show must work as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def run_example(name: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(code, name, "exec"), {})


def test_a_network_is_imported(capsys: pytest.CaptureFixture[str]) -> None:
    run_example("importing.md")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "('input', 'conv3x3', 'conv3x3', 'maxpool2x2', 'conv3x3', 'output') 1.0"
    assert "nasbench101" in second


def test_a_value_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    run_example("analysis.md")
    assert capsys.readouterr().out.endswith(" 1.0\n")
