"""What the page on importing shows must work as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "importing.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(code, "importing.md", "exec"), {})
    first, second = capsys.readouterr().out.splitlines()
    assert first == "('input', 'conv3x3', 'conv3x3', 'maxpool2x2', 'conv3x3', 'output') 1.0"
    assert "nasbench101" in second
