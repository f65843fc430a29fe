"""What an evaluation is: architecture, budget and seed go in, a Result comes out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from graphnas.cell import Architecture

Report = Callable[[int, Mapping[str, float]], None]
"""Called after each epoch with its number, from 1, and its metrics; may raise to stop the evaluation."""


class EvaluationFailed(Exception):
    """A candidate could not be evaluated, through no fault of the program."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Result:
    """What one evaluation found."""

    value: float
    """What a search maximises: a fraction, usually a validation accuracy."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Further figures by name: accuracies as fractions, losses in nats, `parameters` and `macs` as counts."""
    curve: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """One value for each epoch, by name."""
    seconds: float = 0.0
    """Wall time of this evaluation."""
    cost: float | None = None
    """Seconds of training behind the value: CPU seconds if trained here, recorded seconds for a table's row; None
    if not known."""
    budget: int | None = None
    """Epochs of training behind the value."""
    seed: int = 0
    """Seed of the evaluation."""
    evaluator: str = ""
    """Name of the evaluator."""
    predictions: dict[str, Path] = field(default_factory=dict)
    """For each split, an .npz file of `n x classes` float32 `log_probabilities` and `n` `labels`."""

    @property
    def value_curve(self) -> tuple[float, ...]:
        """The curve that ends in, or at least reaches, the value; empty if there is none."""
        for curve in self.curve.values():
            if curve and curve[-1] == self.value:
                return curve
        return next((curve for curve in self.curve.values() if self.value in curve), ())

    def to_json(self) -> str:
        """One line of JSON; figures that are not finite become null."""
        data = asdict(self) | {"predictions": {split: str(path) for split, path in self.predictions.items()}}
        return json.dumps(_finite(data), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Inverse of `to_json`; null figures become NaN.

        Raises:
            ValueError: naming the key that is wrong.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"Expected a result as JSON, but {error}") from None
        if not isinstance(data, dict) or "value" not in data:
            raise ValueError(f"Expected a result with the key 'value', but got {data!r:.200}")
        unknown = set(data) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"Expected the keys of a result, but got {sorted(unknown)}")
        try:
            return cls(
                **data
                | {
                    "value": _number(data["value"]),
                    "metrics": {key: _number(value) for key, value in data.get("metrics", {}).items()},
                    "curve": {key: tuple(map(_number, row)) for key, row in data.get("curve", {}).items()},
                    "predictions": {key: Path(path) for key, path in data.get("predictions", {}).items()},
                }
            )
        except (TypeError, AttributeError) as error:
            raise ValueError(f"Expected figures by name in a result, but {error}") from None


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


class Evaluator(Protocol):
    """Tells how good an architecture is."""

    @property
    def name(self) -> str:
        """What stands in `Result.evaluator`."""

    def evaluate(
        self,
        architecture: Architecture,
        *,
        budget: int | None = None,
        seed: int = 0,
        hyperparameters: Mapping[str, Any] | None = None,
        report: Report | None = None,
        folder: str | Path | None = None,
        until: int | None = None,
    ) -> Result:
        """Evaluate one architecture.

        Args:
            architecture: What is evaluated.
            budget: Epochs of training; the evaluator's own if None.
            seed: Of everything random in the evaluation.
            hyperparameters: Settings of the training that replace the evaluator's own.
            report: Called after each epoch.
            folder: Where checkpoints and predictions are kept; an interrupted evaluation goes on from there.
            until: Epoch after which a training of the whole budget stops, to go on in its folder later; the result is
                of these epochs.

        Raises:
            EvaluationFailed: if this candidate has no value; its `reason` says why.
        """
