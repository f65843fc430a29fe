"""The progress of fitting an encoder: a live line on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from graphnas.report.page import duration

if TYPE_CHECKING:
    from rich.console import Console

Row = Mapping[str, float]


class FitDisplay:
    """Shows the rows that `graphnas.encoders.fit` reports.

    Args:
        console: Where to show them.
        every: Seconds between two lines where there is no terminal.
    """

    def __init__(self, console: Console, *, every: float = 10.0) -> None:
        self.console = console
        self.every = every
        self._began: tuple[float, float] | None = None
        self._said = -float("inf")
        self._unsaid: Row | None = None
        self._reconstruction: float | None = None
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> FitDisplay:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if self._unsaid is not None:
            self._print(self._unsaid)

    def __call__(self, row: Row) -> None:
        """Show a row."""
        now = time.monotonic()
        self._began = self._began or (now, row["done"])
        self._reconstruction = row.get("reconstruction", self._reconstruction)
        self._unsaid = row
        if self._live is not None:
            self._live.update(self._view(row), refresh=True)
        elif now - self._said >= self.every:
            self._said, self._unsaid = now, None
            self._print(row)

    def seconds_left(self, row: Row) -> float | None:
        """An estimate from the pace since the first row."""
        if self._began is None or row["done"] <= self._began[1]:
            return None
        pace = (time.monotonic() - self._began[0]) / (row["done"] - self._began[1])
        return pace * max(1 - row["done"], 0.0)

    def _figures(self, row: Row) -> list[str]:
        figures = [
            f"step {int(row['step']):,}",
            f"loss {row['loss']:.3f}",
            f"reconstruction {row['reconstruction_nats']:.3f} nats",
            f"KL {row['kl_nats']:.2f} nats",
        ]
        if self._reconstruction is not None:
            figures.append(f"held-out {self._reconstruction:.2%}")
        return [*figures, f"{row['cells_per_second']:,.0f} cells/s"]

    def _print(self, row: Row) -> None:
        # Not wrapped: a line is one moment, for people and for programs that read a log.
        self.console.print(
            "  ".join([f"{min(row['done'], 1):>4.0%}", *self._figures(row)]),
            soft_wrap=True,
            markup=False,
            highlight=False,
        )

    def _view(self, row: Row) -> Table:
        left = self.seconds_left(row)
        line = Table.grid(padding=(0, 2))
        line.add_row(
            ProgressBar(total=1.0, completed=min(row["done"], 1.0), width=min(30, self.console.width // 4)),
            f"{min(row['done'], 1):.0%}",
            *self._figures(row),
            "" if left is None else f"about {duration(left)} left",
        )
        return line
