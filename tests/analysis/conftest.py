from pathlib import Path

import numpy as np
import pytest

from graphnas.evaluate import NASBench101Table
from graphnas.formats.nasbench101 import module_hash
from graphnas.spaces import Space


@pytest.fixture(scope="session")
def small_space() -> Space:
    """The 2,532 cells of NAS-Bench-101 of at most five vertices."""
    return Space.load("nasbench101", max_vertices=5)


@pytest.fixture(scope="session")
def small_table(small_space: Space, tmp_path_factory: pytest.TempPathFactory) -> NASBench101Table:
    """A table of these cells in NAS-Bench-101's form, with made-up accuracies."""
    rows = sorted(
        (bytes.fromhex(module_hash(one.cells[0])), len(one.cells[0].edges), one.cells[0].ops.count("conv3x3"))
        for one in small_space.enumerate()
    )
    accuracy = [0.7 + edges / 40 + convolutions / 50 for _, edges, convolutions in rows]
    path = tmp_path_factory.mktemp("table") / "nasbench101.npz"
    np.savez(
        path,
        hash=np.frombuffer(b"".join(key for key, _, _ in rows), dtype=np.uint8).reshape(-1, 16),
        test_acc_run0=np.array(accuracy, dtype=np.float64),
    )
    return NASBench101Table(Path(path))
