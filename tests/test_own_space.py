"""The page about a space of one's own, command by command as it stands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PAGE = (Path(__file__).parents[1] / "docs" / "own-space.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def photographs(folder: Path) -> None:
    """The digits 0, 1 and 2 as image files."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for label in range(3):
        (folder / str(label)).mkdir(parents=True)
        for number in np.flatnonzero(digits.target == label)[:60]:
            Image.fromarray((digits.images[number] * 15).astype(np.uint8)).save(folder / str(label) / f"{number}.png")


@pytest.mark.slow
def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    (space,) = blocks("toml")
    (tmp_path / "light.toml").write_text(space, encoding="utf-8")
    photographs(tmp_path / "photos")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    printed = {}
    for line in "".join(blocks("bash")).splitlines():
        command = [sys.executable, "-m", *shlex.split(line)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        printed[line] = done.stdout
    search = next(text for line, text in printed.items() if "--resume" in line)
    assert "Best 5 of 16 trials" in search
    assert "acquisition" in search
    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[1] == "32"
