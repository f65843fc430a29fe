from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from graphnas.encoders.checkpoint import FitCheckpoint


class Fit:
    """A linear layer that is fitted to zero."""

    def __init__(self, folder: Path, number: int, **about: Any) -> None:
        torch.manual_seed(number)
        self.module = nn.Linear(3, 2)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=0.1)
        self.checkpoint = FitCheckpoint(folder, {"seed": 0, "shape": (3, 2), **about}, self.module, self.optimizer)

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.module(torch.ones(1, 3)).square().sum().backward()
        self.optimizer.step()


def test_weights_optimiser_and_progress_come_back(tmp_path: Path) -> None:
    one, other = Fit(tmp_path / "new" / "folder", 1), Fit(tmp_path / "new" / "folder", 2)
    assert not one.checkpoint.exists()
    for _ in range(3):
        one.step()
    one.checkpoint.save({"step": 3, "history": [{"loss": 0.1}]})
    assert other.checkpoint.exists()
    progress = other.checkpoint.load()
    assert (progress["step"], progress["history"]) == (3, [{"loss": 0.1}])
    for fit in (one, other):
        fit.step()
    assert torch.equal(one.module.weight, other.module.weight)


def test_a_part_that_a_kill_left_is_not_taken_for_a_checkpoint(tmp_path: Path) -> None:
    fit = Fit(tmp_path, 1)
    (tmp_path / "fit.tmp").write_bytes(b"half")
    assert not fit.checkpoint.exists()
    fit.step()
    fit.checkpoint.save({"step": 1})
    (tmp_path / "fit.tmp").write_bytes(b"half")
    assert fit.checkpoint.load()["step"] == 1


def test_another_fits_checkpoint_is_refused_by_what_differs(tmp_path: Path) -> None:
    fit = Fit(tmp_path, 1)
    fit.step()
    fit.checkpoint.save({"step": 1})
    before = fit.module.weight.detach().clone()
    for about, message in (
        ({"seed": 7}, "another fit: seed was 0 and is 7"),
        ({"shape": (3, 3)}, r"another fit: shape was \[3, 2\] and is \[3, 3\]"),
        ({"labels": "a"}, "another fit: labels was None and is 'a'"),
    ):
        other = Fit(tmp_path, 2, **about)
        weight = other.module.weight.detach().clone()
        with pytest.raises(ValueError, match=rf"fit\.safetensors: the checkpoint belongs to {message}; delete it"):
            other.checkpoint.load()
        assert torch.equal(other.module.weight, weight)
    assert torch.equal(fit.module.weight, before)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, keep: int) -> None:
    fit = Fit(tmp_path, 1)
    fit.step()
    fit.checkpoint.save({"step": 1})
    fit.checkpoint.path.write_bytes(fit.checkpoint.path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"fit\.safetensors: the checkpoint is damaged .*; delete it to start again"):
        fit.checkpoint.load()


def test_a_checkpoint_of_other_content_is_damaged(tmp_path: Path) -> None:
    fit = Fit(tmp_path, 1)
    fit.step()
    for counters in ("[1]", '{"about": 3}', "{}"):
        save_file({"objective.weight": torch.zeros(1)}, tmp_path / "fit.safetensors", metadata={"counters": counters})
        with pytest.raises(ValueError, match=r"fit\.safetensors: the checkpoint is damaged"):
            fit.checkpoint.load()
    fit.checkpoint.save({"step": 1})
    with safe_open(tmp_path / "fit.safetensors", "pt") as file:
        counters = file.metadata()["counters"]
    save_file({"objective.none": torch.zeros(1)}, tmp_path / "fit.safetensors", metadata={"counters": counters})
    with pytest.raises(ValueError, match=r"fit\.safetensors: the checkpoint is damaged"):
        fit.checkpoint.load()
