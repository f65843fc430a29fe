"""Result files of the recipes that fit models: rows of measures over seeds, written seed by seed.

A recipe that was stopped goes on where it was: seeds that its file holds are not measured again. Several processes may
work on different rows of one file.
"""

from __future__ import annotations

import json
import math
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from graphnas.studies import write_text

Measure = dict[str, Any]
"""`mean`, `sd` (None of one seed) and `by_seed`, in which None stands for a seed that failed."""


class Record:
    """A result file.

    Args:
        path: Where it is or will be.
        name: Name of the recipe.
        figure: What is measured, in words.
        settings: What the results depend on beside row and seed; a file of other settings is refused.
        columns: Titles of the measures by name.
        rows: What each row is, by name, in the order of the table.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        figure: str,
        settings: Mapping[str, Any],
        columns: Mapping[str, str],
        rows: Mapping[str, str],
    ) -> None:
        self.path, self.order = path, list(rows)
        self.content: dict[str, Any] = {
            "name": name,
            "figure": figure,
            "settings": dict(settings),
            "columns": dict(columns),
            "rows": {},
            "cpu_seconds": 0.0,
            "command": shlex.join(["python", *_without(sys.argv, "--rows")]),
            "versions": {package: version(package) for package in ("graphnas", "torch", "botorch", "gpytorch", "numpy")}
            | {"python": platform.python_version()},
        }
        self.about = dict(rows)
        found = self._on_disk()
        if found and found["settings"] != self.content["settings"]:
            raise SystemExit(f"{path} holds a run of other settings, {found['settings']}: choose another --out")
        self._refresh()

    def _refresh(self) -> None:
        """Take the rows from the file, where another process that measures other rows has written too."""
        self.content["rows"] = self._on_disk().get("rows", {})

    def _on_disk(self) -> dict[str, Any]:
        return json.loads(self.path.read_text()) if self.path.is_file() else {}

    def seeds(self, row: str) -> int:
        """How many seeds of a row are measured."""
        self._refresh()
        found = self.content["rows"].get(row)
        return len(found["cpu_seconds"]) if found else 0

    def add(self, row: str, measured: Mapping[str, float], cpu_seconds: float, failed: str = "") -> None:
        """Write the next seed's measures of a row, or why there are none."""
        self._refresh()
        one = self.content["rows"].setdefault(row, {"about": self.about[row], "results": {}, "cpu_seconds": []})
        done = len(one["cpu_seconds"])
        for name in dict.fromkeys([*one["results"], *measured]):
            before = one["results"].get(name, {"by_seed": [None] * done})["by_seed"]
            value = round(float(measured[name]), 5) if name in measured else None
            one["results"][name] = over_seeds([*before, value])
        if failed:
            one.setdefault("failed", []).append(failed)
        one["cpu_seconds"].append(round(cpu_seconds, 1))
        rows = self.content["rows"]
        self.content["rows"] = {name: rows[name] for name in [*self.order, *rows] if name in rows}
        self.content["cpu_seconds"] = round(sum(sum(one["cpu_seconds"]) for one in rows.values()), 1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(self.content, indent=1, allow_nan=False) + "\n")

    def below(self, first: str, number: int, found: Mapping[str, float]) -> dict[str, float]:
        """How far measures `best_...` of a seed lie below those of the first row with the same seed, as `below_...`."""
        results = self.content["rows"][first]["results"]
        return {
            name.replace("best", "below", 1): results[name]["by_seed"][number] - value
            for name, value in found.items()
            if name.startswith("best_")
        }

    def show(self) -> None:
        """Print the table: one column for each row if there are few of these, else one line for each."""
        rows, columns = self.content["rows"], self.content["columns"]
        table = Table(title=self.content["figure"])
        lines = table_lines(rows, columns)
        for place, title in enumerate(lines[0]):
            table.add_column(title, justify="right" if place else "left")
        for line in lines[1:]:
            table.add_row(*line)
        console = Console()
        # A file has no width of its own, and a table cut to that of a terminal says nothing.
        (console if console.is_terminal else Console(width=240)).print(table)


def _without(words: Sequence[str], option: str) -> list[str]:
    """The words of a command without an option of several values."""
    kept, skipping = [], False
    for word in words:
        skipping = word == option or (skipping and not word.startswith("--"))
        if not skipping:
            kept.append(word)
    return kept


def over_seeds(values: Sequence[float | None]) -> Measure:
    """Mean and standard deviation of a measure over the seeds that have one, beside its values."""
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(known),
        "sd": statistics.stdev(known) if len(known) > 1 else None,
        "by_seed": list(values),
    }


def spread(one: Measure | None) -> str:
    """A measure for people: mean ± standard deviation."""
    if one is None:
        return ""
    mean, sd = one["mean"], one["sd"]
    digits = 0 if abs(mean) >= 1000 or (sd is None and mean == int(mean)) else 1 if abs(mean) >= 10 else 4
    if sd:
        # Two digits of the deviation, where there would be fewer.
        digits = max(digits, min(4, 1 - math.floor(math.log10(sd))))
    return f"{mean:,.{digits}f}" if sd is None else f"{mean:,.{digits}f} ± {sd:,.{digits}f}"


def table_lines(rows: Mapping[str, Any], columns: Mapping[str, str]) -> list[list[str]]:
    """The table of a result file as text, its head first; of fewer rows than measures, measures are the lines.

    Rows of which fits failed say how many did not, since their measures are of those alone.
    """
    titles = [_title(name, one) for name, one in rows.items()]
    if len(rows) >= len(columns) or len(rows) > 6:
        head = ["", *columns.values(), "CPU-s"]
        return [head] + [
            [title, *(spread(one["results"].get(measure)) for measure in columns), f"{sum(one['cpu_seconds']):,.0f}"]
            for title, one in zip(titles, rows.values(), strict=True)
        ]
    lines = [["", *titles]]
    lines += [
        [title, *(spread(one["results"].get(measure)) for one in rows.values())] for measure, title in columns.items()
    ]
    return [*lines, ["CPU-s", *(f"{sum(one['cpu_seconds']):,.0f}" for one in rows.values())]]


def _title(name: str, row: Mapping[str, Any]) -> str:
    fits, failed = len(row["cpu_seconds"]), len(row.get("failed", []))
    return f"{name} ({fits - failed} of {fits} fits)" if failed else name


def training_speed(history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Training cells per second over a whole fit, from what `fit` returns."""
    steps = [row["step"] - before for before, row in zip([0, *(row["step"] for row in history)], history, strict=False)]
    seconds = sum(count / row["cells_per_second"] for count, row in zip(steps, history, strict=True))
    return {"training_cells_per_cpu_second": sum(steps) / seconds} if seconds else {}
