"""The page about encoders, command by command as it stands, with shorter trainings."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graphnas.spaces import Space

PAGE = (Path(__file__).parents[1] / "docs" / "encoders.md").read_text(encoding="utf-8")


def write_labels(path: Path) -> None:
    """Sixty cells with their numbers of edges as labels."""
    cells = Space.load("nasbench101").sample(60, np.random.default_rng(0))
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["architecture", "value"])
        rows.writerows([cell.to_json(), len(cell.cells[0].edges)] for cell in cells)


@pytest.mark.slow
def test_every_command_and_program_of_the_page_runs(tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.csv")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    printed = {}
    for language, text in re.findall(r"```(bash|python)\n(.*?)```", PAGE, flags=re.DOTALL):
        commands = [shlex.split(line) for line in text.splitlines()] if language == "bash" else [["-c", text]]
        for words in commands:
            shown = shlex.join(words)
            if language == "bash":
                shown = re.sub(r"--minutes 10|--steps 20000", "--minutes 0.12", shown)
                shown = shown.replace("--seeds 10", "--seeds 1 --pairs 100 --samples 100")
                # Fifty graphs a second need small batches to come anywhere.
                shown = shown.replace("dvae --minutes 0.12", "dvae --steps 100 --batch-size 32 --cells 2000")
            command = [sys.executable, *(["-m"] if language == "bash" else []), *shlex.split(shown)]
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600
            )
            assert done.returncode == 0, f"{shown}\n{done.stdout}\n{done.stderr}"
            printed[shown] = done.stdout
    program = next(text for text in printed.values() if text.startswith("True"))
    lines = program.splitlines()
    assert int(lines[1]) > 950
    assert lines[-1] == "8"
