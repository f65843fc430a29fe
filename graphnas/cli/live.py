"""The progress of a search: a live table on a terminal, one line for each trial elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from graphnas.report.figures import source_colour
from graphnas.report.page import compact, duration, figure_text, parameter_count, settings_text

if TYPE_CHECKING:
    from rich.console import Console

    from graphnas.studies import Event

_SHOWN = 10  # finished trials that stay on the screen


class SearchDisplay:
    """Shows the events of `graphnas.studies.run` on a console.

    Args:
        console: Where to show them.
        total: Trials that the search will have at its end.
        done: Trials that it has at its start.
        best: The best value so far, None without any.
        label: What a value is.
    """

    def __init__(self, console: Console, total: int, done: int = 0, *, best: float | None = None, label: str) -> None:
        self.console = console
        self.total = total
        self.done = done
        self.best = best
        self.label = label
        self._began = time.monotonic()
        self._done_before = done
        self._rows: list[tuple[Event, str]] = []
        self._running: dict[int, tuple[Event, str]] = {}
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> SearchDisplay:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.kind == "started":
            self._running[event.number] = event, ""
        elif event.kind == "progress":
            started, _ = self._running.get(event.number, (event, ""))
            self._running[event.number] = started, f"epoch {event.step}  {_accuracy(event.metrics)}"
        elif event.kind in ("finished", "failed", "pruned"):
            self._running.pop(event.number, None)
            self.done += 1
            if event.values and event.feasible and event.kind == "finished":
                self.best = max(event.values[0], self.best if self.best is not None else event.values[0])
            self._rows = [*self._rows, (event, "")][-_SHOWN:]
            if self._live is None:
                self._print(event)
        elif event.kind == "retried":
            self._running.pop(event.number, None)
            self.console.print(f"trial {event.number} is tried again: {event.reason}", style="yellow", markup=False)
        elif event.kind == "exhausted":
            self.console.print("The space holds no further architecture.", style="yellow")
        if self._live is not None:
            self._live.update(self._view(), refresh=True)

    def seconds_left(self) -> float | None:
        """An estimate from the pace so far; None before the first trial has finished."""
        finished = self.done - self._done_before
        if not finished:
            return None
        return (time.monotonic() - self._began) / finished * max(self.total - self.done, 0)

    def _print(self, event: Event) -> None:
        value = " / ".join(map(figure_text, event.values)) if event.values else "failed"
        if not event.feasible:
            value += " (beyond a bound)"
        if event.kind == "pruned":
            value += f" (ended at epoch {event.step})"
        count = parameter_count(event.metrics)
        left = self.seconds_left()
        parts = [
            f"trial {event.number:>3}",
            f"({self.done}/{self.total})",
            f"{event.source:<12}",
            f"{self.label} {value}",
            f"{'' if count is None else f'{count:,}':>9} parameters" if count is not None else event.reason,
            f"{event.seconds:5.1f} s",
            "" if left is None else f"{duration(left)} left",
            *_candidate(event),
        ]
        # Not wrapped: a line is one trial, for people and for programs that read a log.
        self.console.print("  ".join(filter(None, parts)), soft_wrap=True, markup=False, highlight=False)

    def _view(self) -> Group:
        wide = self.console.width
        table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
        table.add_column("trial", justify="right", no_wrap=True)
        table.add_column("source", no_wrap=True)
        table.add_column(self.label if wide >= 100 else "value", justify="right", no_wrap=True)
        table.add_column("parameters", justify="right", no_wrap=True)
        table.add_column("seconds", justify="right", no_wrap=True)
        table.add_column("cell", no_wrap=True, overflow="ellipsis", ratio=1)
        for event, _ in self._rows:
            count = parameter_count(event.metrics)
            counts = event.feasible and event.kind == "finished"
            is_best = bool(event.values) and counts and event.values[0] == self.best
            style = "bold green" if is_best else "" if counts else "dim"
            table.add_row(
                str(event.number),
                _source(event.source),
                Text(" / ".join(map(figure_text, event.values)), style=style)
                if event.values
                else Text("failed", style="red"),
                "" if count is None else f"{count:,}",
                f"{event.seconds:.1f}",
                Text(event.reason or "  ".join(_candidate(event)), style="dim" if event.reason else ""),
            )
        for event, state in self._running.values():
            table.add_row(
                Text(str(event.number), style="dim"),
                _source(event.source),
                Text(state or "training", style="dim"),
                "",
                "",
                Text("  ".join(_candidate(event)), style="dim"),
            )
        left = self.seconds_left()
        foot = Table.grid(padding=(0, 2))
        foot.add_row(
            ProgressBar(total=self.total, completed=self.done, width=min(40, wide // 3)),
            f"{self.done}/{self.total} trials",
            "" if self.best is None else f"best {figure_text(self.best)}",
            "" if left is None else f"about {duration(left)} left",
        )
        return Group(table, Text(), foot)


def _candidate(event: Event) -> list[str]:
    """Hyperparameters, which are short, then the cell."""
    return [*filter(None, [settings_text(event.settings)]), compact(event.architecture)]


def _source(source: str) -> Text:
    return Text.assemble(("● ", source_colour(source)), source)


def _accuracy(metrics: Mapping[str, float]) -> str:
    name = next((name for name in metrics if name in ("validation_accuracy", "value")), None)
    return "" if name is None else f"{metrics[name]:.4f}"
