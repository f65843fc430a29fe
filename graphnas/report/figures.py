"""Figures as SVG: a search's incumbent curve and its map of the latent space, and an encoder's training."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]

SOURCE_COLOURS = {
    "acquisition": "#2f6fb7",
    "sample": "#2b8c96",
    "edit": "#8b5bb5",
    "mutation": "#8b5bb5",
    "random": "#98a2b0",
    "fallback": "#c2475b",
}
INK = "#3d4652"
"""Colour of text and axes."""


def source_kind(source: str) -> str:
    """The part of a trial's source before the colon: `"fallback: no candidate"` is a `"fallback"`."""
    return source.split(":")[0].strip() or "unknown"


def source_colour(source: str) -> str:
    """The colour of a source in figures and tables."""
    return SOURCE_COLOURS.get(source_kind(source), "#d1722a")


def incumbent_curve(
    numbers: Sequence[int],
    values: Sequence[float],
    sources: Sequence[str],
    *,
    feasible: NDArray[np.bool_] | None = None,
    ylabel: str = "validation accuracy",
    maximize: bool = True,
) -> str:
    """Draw the best value so far against the trial, with every trial as a dot in the colour of its source.

    Trials beyond a bound are hollow.

    Args:
        numbers: `n` trial numbers, ascending.
        values: `n` objective values.
        sources: `n` sources of the proposals.
        feasible: `n` flags of those that keep all bounds, the only ones to be the best; all if None.
        ylabel: Name of the objective.
        maximize: Whether larger is better.

    Returns:
        An SVG document whose text stays text.
    """
    figure, axes = new_axes(7.2, 3.6)
    order = np.asarray(values, dtype=float)
    feasible = np.ones(len(order), dtype=bool) if feasible is None else feasible
    worst = -np.inf if maximize else np.inf
    kept = np.where(feasible, order, worst)
    best = np.maximum.accumulate(kept) if maximize else np.minimum.accumulate(kept)
    at = np.isfinite(best)
    axes.step(
        np.asarray(numbers)[at], best[at], where="post", color="#d1722a", linewidth=2, zorder=2, label="best so far"
    )
    for kind in dict.fromkeys(map(source_kind, sources)):
        rows = [row for row, source in enumerate(sources) if source_kind(source) == kind]
        colour = source_colour(kind)
        axes.scatter(
            [numbers[row] for row in rows], order[rows], s=26, label=kind, zorder=3, linewidths=0.6,
            color=[colour if feasible[row] else "none" for row in rows],
            edgecolors=["white" if feasible[row] else colour for row in rows],
        )  # fmt: skip
    # Trainings that failed to learn must not flatten the part of the axis where the search happens.
    if len(order) >= 5 and maximize:
        low, high = float(np.quantile(order, 0.1)), float(order.max())
        margin = max(high - low, 1e-3) * 0.25
        bottom = max(float(order.min()), low - 4 * margin) - margin
        axes.set_ylim(bottom, high + margin)
        below = np.flatnonzero(order < bottom)
        if below.size:
            axes.scatter(
                np.asarray(numbers)[below], np.full(below.size, bottom + 0.02 * (high - bottom)), s=30, marker="v",
                color=[source_colour(sources[row]) for row in below.tolist()], zorder=3,
                label=f"{below.size} below the axis",
            )  # fmt: skip
    axes.set_xlabel("trial")
    axes.set_ylabel(ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    outside_legend(figure, axes)
    return to_svg(figure, "incumbent")


def latent_map(
    background: FloatArray,
    points: FloatArray,
    values: FloatArray,
    *,
    feasible: NDArray[np.bool_] | None = None,
    label: str = "validation accuracy",
) -> str:
    """Draw the search in the two leading principal components of latent points.

    Args:
        background: `b x d` latent points of random cells, which fix the components.
        points: `n x d` latent points of the trials in order.
        values: `n` objective values, larger is better.
        feasible: `n` flags of those that keep all bounds, the only ones to be the best; all if None.
        label: Name of the objective.

    Returns:
        An SVG document; the path joins the successive incumbents.
    """
    centre = background.mean(0)
    components = np.linalg.eigh(np.cov(background, rowvar=False).reshape(len(centre), -1))[1].T[::-1][:2]
    ground, trials = (background - centre) @ components.T, (points - centre) @ components.T
    if components.shape[0] < 2:
        ground, trials = (np.pad(array, ((0, 0), (0, 1))) for array in (ground, trials))
    figure, axes = new_axes(7.2, 4.6)
    axes.scatter(ground[:, 0], ground[:, 1], s=7, color="#9aa3ae", alpha=0.5, linewidths=0, label="random cells")
    low = float(np.quantile(values, 0.1))
    shown = axes.scatter(
        trials[:, 0], trials[:, 1], c=values, s=40, cmap="viridis", vmin=low, vmax=max(float(values.max()), low + 1e-6),
        edgecolors="white", linewidths=0.7, zorder=3, label="trials",
    )  # fmt: skip
    best = np.maximum.accumulate(values if feasible is None else np.where(feasible, values, -np.inf))
    steps = np.flatnonzero(np.r_[best[:1] > -np.inf, best[1:] > best[:-1]])
    axes.plot(
        trials[steps, 0], trials[steps, 1], color="#d1722a", linewidth=1.6, zorder=2.5, label="path of the best so far"
    )
    axes.scatter(
        trials[steps[-1:], 0],
        trials[steps[-1:], 1],
        s=170,
        marker="*",
        color="#d1722a",
        edgecolors="white",
        zorder=5,
        label="best",
    )
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    bar = figure.colorbar(shown, ax=axes, extend="min", pad=0.02)
    bar.set_label(label, color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=9)
    outside_legend(figure, axes)
    return to_svg(figure, "latent")


def pareto_front(
    values: FloatArray, chosen: NDArray[np.bool_], sources: Sequence[str], *, labels: Sequence[str]
) -> str:
    """Draw every further objective against the first.

    Args:
        values: `n x m` objective values of the trials.
        chosen: `n` flags of those in the Pareto set.
        sources: `n` sources.
        labels: `m` names of the objectives.

    Returns:
        An SVG document.
    """
    figure, plots = new_plots(7.2, 3.6, len(labels) - 1)
    kinds = list(dict.fromkeys(map(source_kind, sources)))
    for place, (axes, label) in enumerate(zip(plots, labels[1:], strict=True), start=1):
        for kind in kinds:
            mine = np.array([source_kind(source) == kind for source in sources])
            axes.scatter(
                values[mine, place],
                values[mine, 0],
                s=30,
                color=source_colour(kind),
                linewidths=0,
                alpha=0.8,
                label=kind,
            )
        front = values[chosen]
        axes.scatter(
            front[:, place], front[:, 0], s=70, facecolors="none", edgecolors=INK, linewidths=1.3, label="Pareto set"
        )
        axes.set_xlabel(label)
        axes.set_ylabel(labels[0])
    outside_legend(figure, plots[0])
    return to_svg(figure, "pareto")


def loss_curve(history: Sequence[Mapping[str, float]]) -> str:
    """Draw the terms of an encoder's loss against the step.

    Args:
        history: The rows of `graphnas.encoders.fit`, at least one.

    Returns:
        An SVG document whose text stays text.
    """
    figure, axes = new_axes(7.2, 3.6)
    steps = [row["step"] for row in history]
    lines = (
        ("loss", "loss", "#d1722a"),
        ("reconstruction_nats", "reconstruction (nats a cell)", SOURCE_COLOURS["acquisition"]),
        ("kl_nats", "KL divergence (nats a cell)", SOURCE_COLOURS["edit"]),
    )
    drawn = [([row[name] for row in history], label, colour) for name, label, colour in lines]
    for values, label, colour in drawn:
        axes.plot(steps, values, color=colour, linewidth=1.8, label=label)
    # The first steps are orders of magnitude above the last; a loss with a likelihood of labels may be negative.
    if all(value > 0 for values, _, _ in drawn for value in values):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    outside_legend(figure, axes)
    return to_svg(figure, "loss")


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches with one plot in the style of all our figures."""
    figure, (axes,) = new_plots(width, height, 1)
    return figure, axes


def new_plots(width: float, height: float, rows: int) -> tuple[Figure, list[Axes]]:
    """A figure with plots of so many inches one below the other."""
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    FigureCanvasSVG(figure)
    plots = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
    for axes in plots:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK)
        axes.tick_params(colors=INK, labelsize=9)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure, plots


def outside_legend(figure: Figure, axes: Axes, *, columns: int | None = None) -> None:
    """Above the axes, where it hides no point; in one line if `columns` is None."""
    handles, labels = axes.get_legend_handles_labels()
    columns = len(labels) if columns is None else columns
    legend = figure.legend(handles, labels, frameon=False, fontsize=9, loc="outside upper left", ncols=columns)
    for entry in legend.get_texts():
        entry.set_color(INK)


def to_svg(figure: Figure, prefix: str) -> str:
    """The figure as SVG, equal for equal data, with identifiers that stay unique beside another figure's."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'id="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)


def follow_text_colour(svg: str) -> str:
    """The figure with its ink in the colour of the text around it, for pages with a dark mode."""
    return svg.replace(INK, "currentColor")
