"""What methods are compared on: a space, what is queried and reported, and how many queries there are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from graphnas.cell import Architecture
from graphnas.evaluate import Table, TableEvaluator, open_table
from graphnas.evaluate.nasbench101 import DENOISED
from graphnas.search import CandidateList
from graphnas.spaces import Space


@dataclass(frozen=True)
class Protocol:
    """One comparison; what is queried is what a search sees, and every class of architectures counts once."""

    name: str
    """What the command line calls it."""
    title: str
    """What is compared, for people."""
    space: str
    """Name of the space."""
    query: str
    """Column of the space's table that a query returns."""
    listed: bool = False
    """Whether proposals are restricted to the table's rows that have the column."""
    places: tuple[int, ...] = (25, 50, 100, 150, 200)
    """Numbers of queries at which methods are compared; the last is the length of a search."""
    initial: int = 10
    """Random architectures that begin each search of a method that needs any."""
    batch: int = 5
    """Proposals that are asked for before any of their values is told."""
    further: Mapping[str, str] = field(default_factory=dict)
    """Other columns of the best architecture queried that are reported, by their titles."""


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "p101-full",
            "NAS-Bench-101, test accuracy of one run, all 423,624 cells",
            "nasbench101",
            "test_acc_run0",
            further={"denoised accuracy of the best": DENOISED},
        ),
        Protocol(
            "p101-val",
            "NAS-Bench-101, largest of three validation accuracies, the 30,001 cells that have it",
            "nasbench101",
            "val_acc_max3_e108",
            listed=True,
            further={"test accuracy of the best": "test_acc_run0"},
        ),
        Protocol(
            "p201",
            "NAS-Bench-201, CIFAR-10 validation accuracy",
            "nasbench201",
            "c10_val_200",
            places=(25, 50, 100, 150),
            further={"test accuracy of the best": "c10_test_200"},
        ),
        Protocol(
            "digits101",
            "digits101, mean validation accuracy of three trainings; the table comes with the program",
            "digits101",
            "validation_accuracy",
            places=(25, 50, 100),
            further={"test accuracy of the best": "test_accuracy"},
        ),
        Protocol(
            "enas",
            "ENAS, validation accuracy with shared weights, the 18,115 architectures that have it",
            "enas",
            "acc",
            listed=True,
        ),
    )
}
"""The protocols by name."""


@dataclass(frozen=True)
class Benchmark:
    """A protocol with its data."""

    protocol: Protocol
    space: Space
    evaluator: TableEvaluator
    candidates: CandidateList | None
    """Architectures that proposals are restricted to; None for the whole space."""
    optimum: float
    """Largest value that can be queried, a fraction."""

    def value(self, architecture: Architecture) -> float:
        """What a query returns, a fraction."""
        return self.evaluator.evaluate(architecture).value

    def further(self, architecture: Architecture) -> dict[str, float]:
        """The other columns of an architecture by their titles, NaN where the table has none."""
        if not self.protocol.further:
            return {}
        table = self.evaluator.table
        row = table.row(architecture)
        assert row is not None
        return {
            title: float(table.column(name)[row]) if name in table.metrics else math.nan
            for title, name in self.protocol.further.items()
        }

    def cost(self, architecture: Architecture) -> float:
        """Recorded seconds of the training behind a query, NaN where they are not known."""
        cost = self.evaluator.evaluate(architecture).cost
        return math.nan if cost is None else cost


def open_benchmark(protocol: Protocol) -> Benchmark:
    """Load a protocol's space and table.

    Raises:
        FileNotFoundError: naming the missing table.
        ValueError: if the table lacks a column.
    """
    space, table = Space.load(protocol.space), open_table(protocol.space)
    evaluator = TableEvaluator(table, protocol.query)
    candidates = CandidateList(space, _measured(space, table, protocol.query)) if protocol.listed else None
    return Benchmark(protocol, space, evaluator, candidates, float(np.nanmax(table.column(protocol.query))))


def _measured(space: Space, table: Table, column: str) -> list[Architecture]:
    """The architectures of the rows that have a figure in a column."""
    rows = np.flatnonzero(~np.isnan(table.column(column).astype(np.float64)))
    return table.architectures(rows.tolist())
