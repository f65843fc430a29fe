import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest

from graphnas import studies
from graphnas.cell import Architecture
from graphnas.evaluate.protocol import EvaluationFailed, Report, Result
from graphnas.search import RandomCellSampler
from graphnas.spaces import Space

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass
class EdgeCount:
    """Values a cell by its edges and vertices, in no time; misbehaves where it is told to."""

    name: str = "edge-count"
    misbehave: str = ""
    """What happens to cells with an even number of 3 x 3 convolutions."""
    seconds: float = 0.0

    def evaluate(
        self,
        architecture: Architecture,
        *,
        budget: int | None = None,
        seed: int = 0,
        hyperparameters: Mapping[str, Any] | None = None,
        report: Report | None = None,
        folder: str | Path | None = None,
    ) -> Result:
        cell = architecture.cells[0]
        time.sleep(self.seconds)
        if self.misbehave and cell.ops.count("conv3x3") % 2 == 0:
            if self.misbehave == "fails":
                raise EvaluationFailed("an even number of convolutions")
            if self.misbehave == "raises":
                raise ZeroDivisionError("division by an even number")
            if self.misbehave == "nan":
                return Result(float("nan"))
            if self.misbehave == "infinite":
                return Result(float("inf"))
            if self.misbehave == "text":
                return "0.5"  # type: ignore[return-value]
            if self.misbehave == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.misbehave == "hangs":
                time.sleep(600)
            if self.misbehave == "interrupts":
                raise KeyboardInterrupt
        value = len(cell.edges) / 10 + len(cell.ops) / 1000
        curve = (value / 2, value)
        for step, accuracy in enumerate(curve, start=1):
            if report is not None:
                report(step, {"val_accuracy": accuracy})
        metrics = {"parameters": 1000.0 * len(cell.ops), "val_accuracy": value}
        return Result(value, metrics, {"val_accuracy": curve}, 0.01, 0.01, budget or 2, seed, self.name)


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.load("nasbench101")


def start(folder: Path, space: Space, evaluator: EdgeCount | None = None) -> optuna.Study:
    return studies.create(
        folder,
        space,
        evaluator or EdgeCount(),
        RandomCellSampler(space, seed=3),
        config={"sampler": {"kind": "random", "seed": 3}},
    )
