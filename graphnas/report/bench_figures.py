"""Figures of comparisons as SVG: curves with bands, and critical differences of mean ranks."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy import ndimage

from graphnas.report.figures import INK, new_axes, outside_legend, to_svg

FloatArray = NDArray[np.float64]

_NOTHING = 1e-4  # seconds that nobody counts
_COLOURS = (
    "#d1722a",
    "#2f6fb7",
    "#2b8c96",
    "#8b5bb5",
    "#c2475b",
    "#6b7480",
    "#a08b2d",
    "#4c9a52",
    "#b0609a",
    "#7a5a3c",
)


def search_curves(
    curves: Mapping[str, FloatArray], *, ylabel: str, optimum: float | None = None, first: int = 5
) -> str:
    """Draw the mean of the best value so far against the query, with a band of two standard errors.

    Args:
        curves: `seeds x queries` best values so far, by method.
        ylabel: Name of the value.
        optimum: Value of a dashed line; none if None.
        first: Queries that are left out at the beginning, where values would flatten the rest.

    Returns:
        An SVG document whose text stays text.
    """
    figure, axes = new_axes(7.2, 4.4)
    for (method, values), colour in zip(curves.items(), _cycle(len(curves)), strict=True):
        query = np.arange(1, values.shape[1] + 1)
        mean = values.mean(0)
        axes.plot(query[first:], mean[first:], color=colour, linewidth=1.8, label=method)
        if len(values) > 1:
            band = 2 * values.std(0, ddof=1) / np.sqrt(len(values))
            axes.fill_between(
                query[first:], (mean - band)[first:], (mean + band)[first:], color=colour, alpha=0.15, linewidth=0
            )
    if optimum is not None:
        axes.axhline(optimum, color=INK, linewidth=1, linestyle="--", label="optimum")
    axes.set_xlabel("unique architectures queried")
    axes.set_ylabel(ylabel)
    outside_legend(figure, axes, columns=5)
    return to_svg(figure, "curves")


def cost_curves(values: Mapping[str, FloatArray], cost: FloatArray, *, xlabel: str, ylabel: str) -> str:
    """Draw the mean of the best value so far against what it has cost, with a band of two standard errors.

    Args:
        values: `seeds x n` best values, by search; a mean of which some are NaN is not drawn.
        cost: `n` costs.
        xlabel: Unit of the cost.
        ylabel: Name of the value.

    Returns:
        An SVG document.
    """
    figure, axes = new_axes(7.2, 4.4)
    for (label, one), colour in zip(values.items(), _cycle(len(values)), strict=True):
        mean = one.mean(0)
        axes.plot(cost, mean, color=colour, linewidth=1.8, label=label)
        if len(one) > 1:
            band = 2 * one.std(0, ddof=1) / np.sqrt(len(one))
            axes.fill_between(cost, mean - band, mean + band, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    outside_legend(figure, axes, columns=2)
    return to_svg(figure, "cost")


def clock_curves(simulated: Mapping[str, Any], *, ylabel: str, optimum: float | None = None) -> str:
    """Draw the mean of the best value against simulated hours of training, with a band of two standard errors.

    Args:
        simulated: `simulated_hours` of a report: `hours`, and fractions by method.
        ylabel: Name of the value in percent.
        optimum: Value of a dashed line in percent; none if None.

    Returns:
        An SVG document.
    """
    figure, axes = new_axes(7.2, 4.4)
    hours, methods = simulated["hours"], {name: one for name, one in simulated.items() if name != "hours"}
    for (method, one), colour in zip(methods.items(), _cycle(len(methods)), strict=True):
        mean = 100 * np.array(one["mean"])
        axes.plot(hours, mean, color=colour, linewidth=1.8, label=method)
        if None not in one["standard_error"]:
            band = 200 * np.array(one["standard_error"])
            axes.fill_between(hours, mean - band, mean + band, color=colour, alpha=0.15, linewidth=0)
    if optimum is not None:
        axes.axhline(optimum, color=INK, linewidth=1, linestyle="--", label="optimum")
    axes.set_xlabel("simulated hours of training, one after the other")
    axes.set_ylabel(ylabel)
    outside_legend(figure, axes, columns=5)
    return to_svg(figure, "clock")


def critical_differences(ranks: Mapping[str, float], difference: float, cliques: Sequence[Sequence[str]]) -> str:
    """Draw mean ranks on a line, with bars that join methods which do not differ (Demsar 2006, JMLR 7, Sec. 3.2.2).

    Args:
        ranks: Mean rank of each method, best first.
        difference: The critical difference.
        cliques: Groups of methods that do not differ.

    Returns:
        An SVG document whose text stays text.
    """
    names = list(ranks)
    half = (len(names) + 1) // 2
    height = 1.2 + 0.3 * half + 0.16 * len(cliques)
    figure, axes = new_axes(7.2, height)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_yticks([])
    low, high = 1.0, float(len(names))
    top = 0.0
    axes.plot([low, high], [top, top], color=INK, linewidth=1.2)
    for tick in range(1, len(names) + 1):
        axes.plot([tick, tick], [top, top + 0.12], color=INK, linewidth=1)
        axes.text(tick, top + 0.2, str(tick), ha="center", va="bottom", fontsize=9, color=INK)
    axes.plot([low, low + difference], [top + 0.75, top + 0.75], color=INK, linewidth=2)
    axes.text(low, top + 0.85, f"critical difference {difference:.2f}", fontsize=9, color=INK, va="bottom")
    bars = 0.18 * len(cliques)
    for place, name in enumerate(names):
        left = place < half
        level = -(bars + 0.3 + 0.32 * (place if left else len(names) - 1 - place))
        edge = low - 0.3 if left else high + 0.3
        axes.plot([ranks[name], ranks[name], edge], [top, level, level], color=INK, linewidth=0.8)
        axes.text(
            edge + (-0.06 if left else 0.06),
            level,
            f"{name}  {ranks[name]:.2f}",
            ha="right" if left else "left",
            va="center",
            fontsize=9,
            color=INK,
        )
    for number, group in enumerate(cliques):
        level = -(0.15 + 0.18 * number)
        ends = [ranks[group[0]] - 0.04, ranks[group[-1]] + 0.04]
        axes.plot(ends, [level, level], color=_COLOURS[0], linewidth=3.5, solid_capstyle="round")
    width = high - low
    axes.set_xlim(low - 0.35 - 0.28 * width, high + 0.35 + 0.28 * width)
    axes.set_ylim(-(bars + 0.5 + 0.32 * (half - 1)), 1.3)
    axes.set_xticks([])
    return to_svg(figure, "ranks")


def budget_map(rows: Sequence[Mapping[str, Any]], *, unit: str = "", measure: str = "kendall", cells: int = 24) -> str:
    """Draw which predictor is best for every budget of initialisation and of a query (White et al. 2021, Fig. 3).

    Args:
        rows: From `bench.prediction.summarise`.
        unit: Of the budgets, behind a comma; none where they are in seconds.
        measure: By which predictors are compared.
        cells: Budgets on each axis, evenly spread on a logarithmic scale from the cheapest to the dearest predictor;
            the first two are none, where one costs nothing.

    Returns:
        An SVG document. The stronger a colour, the better the best; wide regions have its name.
    """
    from graphnas.bench.prediction import best_by_budget

    budgets = [_spread([row[axis] for row in rows], cells) for axis in ("initialisation", "query")]
    table = best_by_budget(rows, *budgets, measure=measure)
    names = list(dict.fromkeys(row["predictor"] for row in rows))
    shown = [name for name in names if any(one is not None and one[0] == name for line in table for one in line)]
    colours = dict(zip(shown, _apart(len(shown)), strict=True))
    figure, axes = new_axes(7.2, 5.0)
    axes.grid(visible=False)
    best = np.full((cells, cells), -1)
    for i, line in enumerate(table):
        for j, one in enumerate(line):
            if one is not None:
                best[i, j] = shown.index(one[0])
                # Paler by mixing, since transparent squares would show where they overlap.
                share = 0.25 + 0.75 * max(one[1], 0)
                mixed = tuple(share * part + 1 - share for part in to_rgb(colours[one[0]]))
                axes.add_patch(Rectangle((j, i), 1, 1, facecolor=mixed, edgecolor=mixed, linewidth=0.7))
    for number, name in enumerate(shown):
        axes.plot([], [], "s", color=colours[name], markersize=8, label=name)
        # In the widest place, if that has room for it.
        inside = ndimage.distance_transform_edt(np.pad(best == number, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(inside.argmax()), inside.shape)
        if inside[y, x] > cells / 10:
            axes.text(x + 0.5, y + 0.5, name, ha="center", va="center", fontsize=9, color=INK)
    for axis, values, label in (
        (axes.xaxis, budgets[0], f"initialisation{unit}"),
        (axes.yaxis, budgets[1], f"one query{unit}"),
    ):
        places = range(0, cells, 6)
        axis.set_ticks([place + 0.5 for place in places], [_span(values[place]) for place in places])
        axis.set_label_text(label)
    axes.set_xlim(0, cells)
    axes.set_ylim(0, cells)
    outside_legend(figure, axes, columns=5)
    return to_svg(figure, "budgets")


def _spread(values: Sequence[float], n: int) -> FloatArray:
    """Budgets from the least cost to the largest; two of none first if some cost nothing."""
    costs = [value for value in values if value > _NOTHING]
    free = 2 if costs and len(costs) < len(values) else 0
    low, high = (min(costs), max(costs)) if costs else (1.0, 1.0)
    return np.concatenate([np.full(free, _NOTHING), np.geomspace(low, max(high, 1.01 * low), n - free) * 1.000001])


def _span(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds <= _NOTHING:
        return "none"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if seconds >= size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{float(f'{seconds * 1000:.2g}'):g} ms"


def _apart(n: int) -> list[str]:
    """As many colours as there are things, which must not be taken for one another."""
    return _cycle(n) if n <= len(_COLOURS) else [to_hex(colorsys.hsv_to_rgb(row / n, 0.65, 0.75)) for row in range(n)]


def _cycle(n: int) -> list[str]:
    return [_COLOURS[row % len(_COLOURS)] for row in range(n)]
