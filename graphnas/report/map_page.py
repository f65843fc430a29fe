"""An interactive map of architectures in a latent space: one HTML file that needs nothing beside itself."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import CellArrays
from graphnas.report.drawing import operation_colour

FloatArray = NDArray[np.float64]

_COLOURS = ("#2f6fb7", "#d1722a", "#3b8f5a", "#8b5bb5", "#c2475b", "#2b8c96", "#a3812a", "#b8578f")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FITTED = 20_000  # points that principal components are fitted to


@dataclass(frozen=True)
class MapGroup:
    """Architectures of one origin."""

    name: str
    """What it is called."""
    cells: CellArrays
    """Cells of `n` architectures, those of one in consecutive rows."""
    metrics: Mapping[str, FloatArray] = field(default_factory=dict)
    """`n` figures by their names; NaN where one is not known."""
    names: Sequence[str] = ()
    """What each architecture is called; nothing if empty."""
    path: Sequence[int] = ()
    """Rows of those that were the best so far, in the order in which they were found."""
    front: Sequence[int] = ()
    """Rows of the Pareto set."""
    minimised: Sequence[str] = ()
    """Metrics of which small figures are good."""
    marked: bool = False
    """Whether its architectures stand out among those of other origins."""


def map_page(
    vocabulary: Sequence[str],
    cell_names: Sequence[str],
    groups: Sequence[MapGroup],
    points: FloatArray,
    *,
    title: str,
    note: str = "",
    axes: tuple[str, str],
    embedded: bool = False,
    by_origin: bool = False,
) -> str:
    """The page.

    Args:
        vocabulary: Labels of all cells, in the order of their codes.
        cell_names: Names of the cells of an architecture.
        groups: Where they are from.
        points: `n x 2` places of all architectures, group by group.
        title: Of the page.
        note: A line below it.
        axes: What the two coordinates are.
        embedded: Whether it is a part of another page, which has a heading and a table.
        by_origin: Whether colours say where an architecture is from even if there are metrics, until one is chosen.

    Raises:
        ValueError: if there are not as many points as architectures, or too many labels.
    """
    if len(vocabulary) > len(_DIGITS):
        raise ValueError(f"Expected at most {len(_DIGITS)} labels, but got {len(vocabulary)}")
    parts = len(cell_names)
    counts = [group.cells.n // parts for group in groups]
    total = sum(counts)
    if points.shape != (total, 2):
        raise ValueError(f"Expected points to be {total} x 2, but got {points.shape}")
    starts = np.cumsum([0, *counts])
    low, high = points.min(0), points.max(0)
    # Both coordinates in one unit, in the middle of the map.
    span = float((high - low).max()) or 1.0
    placed = np.clip(np.rint((points - (low + high) / 2) / span * 65_535 + 32_767.5), 0, 65_535).astype(np.uint16)
    names = list(dict.fromkeys(name for group in groups for name in group.metrics))
    content = {
        "title": title,
        "note": note,
        "axes": list(axes),
        "by_origin": by_origin,
        "count": total,
        "x": _packed(placed[:, 0]),
        "y": _packed(placed[:, 1]),
        "group": _packed(np.repeat(np.arange(len(groups)), counts).astype(np.uint16)),
        "groups": [
            {
                "name": group.name,
                "colour": _COLOURS[number % len(_COLOURS)],
                "count": counts[number],
                "path": [int(starts[number] + row) for row in group.path],
                "front": [int(starts[number] + row) for row in group.front],
                "marked": [int(starts[number] + row) for row in range(counts[number])] if group.marked else [],
            }
            for number, group in enumerate(groups)
        ],
        "metrics": [_metric(name, groups, counts) for name in names],
        "names": [name for group, count in zip(groups, counts, strict=True) for name in (group.names or [""] * count)],
        "ops": list(vocabulary),
        "colours": {op: operation_colour(op) for op in vocabulary},
        "cell_names": list(cell_names),
        "cells": [text for group in groups for text in cell_texts(group.cells, parts)],
    }
    # A tag inside a string could end the script, or keep it from ending.
    data = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    page = resources.files("graphnas.report").joinpath("map.html").read_text(encoding="utf-8")
    kind = "embedded" if embedded else "whole"
    parts_of_page = {"__TITLE__": escape(title), "__DATA__": data, "__KIND__": kind}
    return re.sub("|".join(parts_of_page), lambda found: parts_of_page[found[0]], page)


def _metric(name: str, groups: Sequence[MapGroup], counts: Sequence[int]) -> dict[str, object]:
    values = np.concatenate(
        [
            np.asarray(group.metrics.get(name, np.full(count, np.nan)), dtype=np.float64)
            for group, count in zip(groups, counts, strict=True)
        ]
    )
    known = values[np.isfinite(values)]
    ends = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    # Failed trainings must not take all the colours.
    low = float(np.quantile(known, 0.1)) if known.size else 0.0
    return {
        "name": name,
        "label": name.replace("_", " "),
        "values": _packed(values.astype(np.float32)),
        "low": low,
        "high": ends[1],
        "minimised": any(name in group.minimised for group in groups),
        "bottom": ends[0],
        "top": ends[1],
    }


def cell_texts(cells: CellArrays, parts: int) -> list[str]:
    """Each architecture as a short text: for every cell its operations' digits, and the edges as hexadecimal digits."""
    texts = []
    for size in range(2, cells.ops.shape[1] + 1):
        rows = np.flatnonzero(cells.size == size)
        if not rows.size:
            continue
        upper = np.triu_indices(size, 1)
        bits = cells.adjacency[rows][:, upper[0], upper[1]]
        padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))
        packed, digits = np.packbits(padded, axis=1), -(-bits.shape[1] // 4)
        ops = cells.ops[rows, :size]
        texts += [
            (int(row), "".join(_DIGITS[code] for code in codes) + "." + edges.tobytes().hex()[:digits])
            for row, codes, edges in zip(rows, ops.tolist(), packed, strict=True)
        ]
    ordered = [text for _, text in sorted(texts)]
    return ["~".join(ordered[start : start + parts]) for start in range(0, len(ordered), parts)]


def principal_plane(latent: FloatArray) -> tuple[FloatArray, tuple[str, str]]:
    """`n x 2` leading principal components of `n x d` points, and what they are.

    Components are fitted to at most 20,000 points, evenly taken.
    """
    some = latent[:: max(1, -(-len(latent) // _FITTED))]
    centre = some.mean(0)
    _, spread, axes = np.linalg.svd(some - centre, full_matrices=False)
    shares = spread**2 / max(float((spread**2).sum()), 1e-12)
    if len(axes) < 2:
        axes, shares = np.vstack([axes, np.zeros_like(axes)]), np.append(shares, 0.0)
    # Signs are arbitrary: the largest entry of each axis is positive.
    axes = axes[:2] * np.sign(axes[:2][np.arange(2), np.abs(axes[:2]).argmax(1)] + 1e-30)[:, None]
    plane: FloatArray = (latent - centre) @ axes.T
    first, second = (f"{100 * share:.0f} % of the variance" for share in shares[:2])
    return plane, (f"first principal component, {first} →", f"↑ second, {second}")


def _packed(array: NDArray[np.generic]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
