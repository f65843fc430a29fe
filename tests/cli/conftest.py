from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from graphnas.cli.main import app
from graphnas.formats.nasbench101 import module_hash
from graphnas.spaces import Space

SPACE = """\
name = "small"
title = "Small cells"
paper = "none, for tests"
cells = ["cell"]

[topology]
kind = "dag"
max_vertices = 5
max_edges = 9
prune = true

[operations]
conv3x3 = { module = "conv", kernel = 3 }
conv1x1 = { module = "conv", kernel = 1 }
maxpool3x3 = { module = "max_pool", kernel = 3 }

[network]
skeleton = "stacked"
stacks = 2
cells_per_stack = 1
channels = 8
"""


@pytest.fixture(scope="session")
def small_space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space file of the 2,532 cells of at most five vertices."""
    path = tmp_path_factory.mktemp("space") / "small.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="session")
def small_table(small_space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of all cells of the small space in NAS-Bench-101's form, with made-up accuracies."""
    cells = [architecture.cells[0] for architecture in Space.load(small_space).enumerate()]
    rows = sorted((bytes.fromhex(module_hash(cell)), cell) for cell in cells)  # type: ignore[type-var]
    path = tmp_path_factory.mktemp("table") / "small.npz"
    accuracy = [0.5 + len(cell.edges) / 40 + cell.ops.count("conv3x3") / 50 for _, cell in rows]
    np.savez(
        path,
        hash=np.frombuffer(b"".join(key for key, _ in rows), dtype=np.uint8).reshape(-1, 16),
        test_acc_run0=np.array(accuracy, dtype=np.float32),
        params=np.array([1000 * cell.size for _, cell in rows]),
        macs=np.array([10_000 * cell.size for _, cell in rows]),
    )
    return path


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three cells of NAS-Bench-101."""
    path = tmp_path_factory.mktemp("cells") / "cells.json"
    command = ["spaces", "sample", "nasbench101", "-n", "3", "--seed", "1", "--out", str(path)]
    assert CliRunner().invoke(app, command).exit_code == 0
    return path
