"""What the README shows must work as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert "n_trials=40" in code
    # Two trials of one epoch show that it runs; forty would only take longer.
    code = code.replace("n_trials=40", "n_trials=2").replace('task="digits")', 'task="digits", epochs=1)')
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    trials = names["study"].trials  # type: ignore[attr-defined]
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE"]
    assert all(0 < trial.value <= 1 for trial in trials)


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^\| `graphnas (\w+)", README, flags=re.MULTILINE))))
def test_every_command_of_the_table_exists(line: str) -> None:
    from graphnas.cli.main import app

    assert CliRunner().invoke(app, [line, "--help"]).exit_code == 0


def test_every_linked_file_exists() -> None:
    root = Path(__file__).parent.parent
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (root / link).exists()] == []
