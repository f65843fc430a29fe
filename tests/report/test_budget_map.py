from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from graphnas.report.bench_figures import budget_map


def row(name: str, initialisation: float, query: float, kendall: float) -> dict[str, Any]:
    measures = {"kendall": {"mean": kendall, "standard_error": None}}
    return {"predictor": name, "initialisation": initialisation, "query": query, "measures": measures}


def texts(svg: str) -> list[str]:
    return ["".join(one.itertext()).strip() for one in ET.fromstring(svg).iter() if one.tag.endswith("}text")]


def test_budgets_are_in_peoples_units_and_what_is_free_has_a_place() -> None:
    rows = [row("curve", 0.0, 7_200.0, 0.8), row("score", 0.0, 0.5, 0.3), row("trees", 40_000.0, 0.001, 0.7)]
    svg = budget_map([*rows, row("worse", 40_000.0, 0.6, 0.2)])
    shown = texts(svg)
    assert "none" in shown
    assert any(re.fullmatch(r"[\d.]+ h", text) for text in shown)
    assert any(re.fullmatch(r"[\d.]+ ms", text) for text in shown)
    # Each that is best somewhere has a place in the legend, and wide regions have its name too.
    assert [shown.count(name) for name in ("curve", "score", "worse")] == [1, 1, 0]
    assert "trees" in shown


def test_more_winners_than_colours_are_told_apart() -> None:
    rows = [row(f"predictor {number}", 10.0 * 2**number, 1.0, 0.05 * number) for number in range(14)]
    svg = budget_map(rows)
    assert all(f"predictor {number}" in texts(svg) for number in range(14))
    assert len(set(re.findall(r"fill: (#[0-9a-f]{6})", svg))) >= 14
