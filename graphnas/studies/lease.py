"""A candidate that a coordinator has under way, and what it tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphnas.cell import Architecture


@dataclass(frozen=True)
class Event:
    """Something that happened to a trial of a running search."""

    kind: str
    """`"started"`, `"progress"`, `"retried"`, `"promoted"` to the next budget, `"pruned"`, `"finished"`, `"failed"` or,
    once, `"exhausted"`."""
    number: int
    """Number of the trial."""
    architecture: Architecture
    """The candidate."""
    source: str
    """What proposed it."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its hyperparameters, where these are searched too."""
    values: tuple[float, ...] = ()
    """Objectives of a finished trial, or of one that was pruned or promoted, at its budget."""
    feasible: bool = True
    """Whether a finished trial keeps all bounds."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Metrics of a finished trial, or of the step just reported."""
    step: int | None = None
    """Step of a progress report; budget at which a pruned trial ended."""
    seconds: float = 0.0
    """Seconds that the finished evaluation took."""
    reason: str = ""
    """Why the trial failed or is tried again."""


@dataclass
class Lease:
    """A candidate under way."""

    number: int
    trial_id: int
    architecture: Architecture
    settings: Mapping[str, Any] | None
    """Hyperparameters; None where none are searched."""
    source: str
    attempt: int
    """Number of the attempt under way, or of those that count against the candidate while it waits."""
    started: float
    steps: int = 0
    """Steps that this attempt has reported from another process."""
    reached: int = 0
    """Steps that the attempt which got furthest has reported, this one not included."""
    rung: int = 0
    """Index of the budget under way."""
    values: dict[str, float] = field(default_factory=dict)
    """What was reached at each smaller budget."""
    spent: tuple[float, float, int] = (0.0, 0.0, 0)
    """Seconds, cost and epochs of smaller budgets that do not count in the one under way."""
