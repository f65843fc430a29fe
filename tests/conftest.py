"""Settings of all tests: repeatable properties without deadlines, one torch thread."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("graphnas", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("graphnas")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """OpenMP threads that spin make small tensors many times slower on a busy machine."""
    import torch

    torch.set_num_threads(1)
