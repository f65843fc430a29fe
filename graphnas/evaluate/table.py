"""Benchmark tables as an evaluator: measured figures are looked up instead of trained."""

from __future__ import annotations

import functools
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import Architecture
from graphnas.content import content_folder
from graphnas.data_folder import data_folder
from graphnas.evaluate.protocol import EvaluationFailed, Report, Result


class Table(ABC):
    """What was measured on the architectures of one space, one row each, in one file.

    A subclass says how a row is found and what its columns mean; columns are read when first asked for and kept.

    Args:
        path: The file.
    """

    space: ClassVar[str]
    """Name of the space whose architectures the table holds."""
    file: ClassVar[str]
    """Name of the file in the data folder."""
    title: ClassVar[str]
    """What the table holds and where it was published."""
    source: ClassVar[str]
    """How the file is obtained."""
    shipped: ClassVar[bool] = False
    """Whether the file comes with the library."""
    continued: ClassVar[bool] = False
    """Whether budgets are epochs of one training; otherwise each is a training of its own."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._kept: dict[str, NDArray[Any]] = {}

    @classmethod
    def open(cls, path: str | Path | None = None) -> Self:
        """The table in a file or a folder; the one in `folder()` if None.

        Raises:
            FileNotFoundError: naming the missing file and how to obtain it.
            ValueError: if the file is not such a table.
        """
        place = cls.folder() if path is None else Path(path)
        if place.is_dir() or place.suffix != Path(cls.file).suffix:
            place = place / cls.file
        if not place.is_file():
            raise FileNotFoundError(
                f"{place} is missing: set GRAPHNAS_DATA to the folder that holds {cls.file}, or give its path; "
                f"{cls.source}"
            )
        return cls(place)

    @classmethod
    def folder(cls) -> Path:
        """Where the file is if it is whole: in the folder of GRAPHNAS_DATA, or `~/.cache/graphnas`, or the library."""
        return content_folder("spaces") / "benchmarks" / Path(cls.file).stem if cls.shipped else data_folder()

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        # Worker processes read the file themselves instead of receiving its columns.
        return type(self), (self.path,)

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of all columns."""

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Names of the columns that hold one figure of each architecture: what can be queried and reported."""

    @property
    @abstractmethod
    def query(self) -> str:
        """The metric that a search maximises unless told otherwise."""

    @property
    def report(self) -> tuple[str, ...]:
        """Metrics that go into each result."""
        return (self.query,)

    @abstractmethod
    def row(self, architecture: Architecture) -> int | None:
        """The row of an architecture; None if the table does not hold it."""

    @abstractmethod
    def architectures(self, rows: Sequence[int]) -> list[Architecture]:
        """The architectures of the given rows."""

    @abstractmethod
    def _read(self, name: str) -> NDArray[Any]:
        """One existing column from the file, accuracies as fractions."""

    def column(self, name: str) -> NDArray[Any]:
        """One column, rows in the order of the table, accuracies as fractions.

        Raises:
            KeyError: if there is no such column.
        """
        if name not in self._kept:
            if name not in self.columns:
                raise KeyError(f"Expected a column of {self.columns}, but got {name!r}")
            values = self._read(name)
            if len(values) != len(self):
                raise ValueError(f"{self.path}: expected {len(self):,} rows in {name}, but got {len(values):,}")
            values.setflags(write=False)
            self._kept[name] = values
        return self._kept[name]

    def is_minimized(self, name: str) -> bool:
        """Whether a smaller figure of this metric is the better one, as for costs and latencies."""
        del name
        return False

    def budgets(self, query: str) -> Mapping[int, str]:
        """For a metric of trained networks, the column that answers each budget in epochs, its own among them."""
        del query
        return {}

    def cost(self, row: int, epochs: int) -> float | None:
        """Recorded seconds of training a row's architecture for some epochs; None where they are not known."""
        del row, epochs
        return None

    def curve(self, query: str, row: int) -> Sequence[float]:
        """What a metric was after every epoch of the training that it is of; empty where that is not known."""
        del query, row
        return ()

    @abstractmethod
    def verify(self) -> str:
        """Check the table against what is known of the published one.

        Returns:
            What was found, for people.

        Raises:
            ValueError: naming what is missing or wrong.
        """


class TableEvaluator:
    """Looks up a measured figure instead of training.

    A search maximises: where a smaller figure is the better one (parameters, latencies), the value is the negated
    figure, and the figure itself stands in `Result.metrics` under its name. Which noise a column carries matters: a
    search that maximises one training run and is scored on that same run reads its noise twice.

    Args:
        table: The table.
        query: Metric that a search maximises; the table's own choice if None.
        report: Further metrics that go into `Result.metrics`, the table's own choice if None; they are left out where
            a row has none.

    Raises:
        ValueError: if the table has no such metric, listing those it has.
    """

    def __init__(self, table: Table, query: str | None = None, *, report: Sequence[str] | None = None) -> None:
        self.table = table
        self.query = table.query if query is None else query
        self.report = table.report if report is None else tuple(report)
        for name in (self.query, *self.report):
            if name not in table.metrics:
                raise ValueError(f"{name!r} is no metric of {table.path.name}; it has {', '.join(table.metrics)}")

    @functools.cached_property
    def name(self) -> str:
        """Names the table and the metric."""
        return f"table:{self.table.path.stem}:{self.query}"

    @property
    def label(self) -> str:
        """What a value is, for people."""
        return f"negated {self.query}" if self.table.is_minimized(self.query) else self.query

    @functools.cached_property
    def budgets(self) -> Mapping[int, str]:
        """Columns that answer a budget in epochs, the query's own among them; empty where nothing was trained."""
        return self.table.budgets(self.query)

    @functools.cached_property
    def epochs(self) -> int | None:
        """Epochs of training behind the query; None where they are not known."""
        return next((epochs for epochs, name in self.budgets.items() if name == self.query), None)

    @property
    def continued(self) -> bool:
        """Whether a larger budget goes on with the training of a smaller one."""
        return self.table.continued

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
        """The measured value of an architecture.

        Args:
            architecture: An architecture of the table's space.
            budget: A key of `budgets`; None for the query itself.
            seed: Recorded only: the table holds what it holds.
            hyperparameters: Must be None or empty, since nothing is trained.
            report: Called once, with the budget (1 where there is none) and the value.
            folder: Not used.
            until: A key of `budgets`, the epoch of the whole training whose figure is told; None if budgets are
                trainings of their own.

        Raises:
            EvaluationFailed: if the table does not hold the architecture, or has no such figure of it.
            ValueError: if the table knows no such budget, hyperparameters are given, or `until` where no training
                goes on.
        """
        start = time.perf_counter()
        if until is not None:
            if not self.continued or budget not in (None, self.epochs):
                raise ValueError(f"Expected until to be None where trainings do not go on, but got {until}")
            budget = until
        if hyperparameters:
            raise ValueError(f"A table takes no hyperparameters, but got {sorted(hyperparameters)}")
        if budget is not None and budget not in self.budgets:
            known = f"{sorted(self.budgets)} epochs" if self.budgets else f"None, as {self.query} has no budgets"
            raise ValueError(f"Expected a budget of {known}, but got {budget}")
        query, epochs = (self.query, self.epochs) if budget is None else (self.budgets[budget], budget)
        table = self.table
        row = table.row(architecture)
        if row is None:
            raise EvaluationFailed(f"{table.path.name} does not hold this architecture")
        figure = float(table.column(query)[row])
        if math.isnan(figure):
            raise EvaluationFailed(f"{table.path.name} has no {query} for this architecture")
        metrics = {name: float(table.column(name)[row]) for name in (*self.report, query)}
        sign = -1.0 if table.is_minimized(query) else 1.0
        value = sign * figure
        curve = tuple(sign * float(one) for one in table.curve(query, row)[:-1])
        if report is not None:
            report(epochs or 1, {"value": value})
        return Result(
            value=value,
            metrics={name: number for name, number in metrics.items() if not math.isnan(number)},
            curve={self.label: (*curve, value)} if curve else {},
            seconds=time.perf_counter() - start,
            cost=None if epochs is None else table.cost(row, epochs),
            budget=epochs,
            seed=seed,
            evaluator=self.name,
        )


def expect(condition: bool | np.bool_, wanted: str, got: object) -> None:
    """Refuse a table that is not what was published.

    Raises:
        ValueError: if the condition is false.
    """
    if not condition:
        raise ValueError(f"expected {wanted}, but got {got}")
