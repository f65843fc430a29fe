import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from graphnas.cell import Architecture, Cell
from graphnas.report import architecture_svg, cell_svg
from graphnas.spaces import Space

SVG = "{http://www.w3.org/2000/svg}"


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    rects = ET.fromstring(svg).iter(f"{SVG}rect")
    return [tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height")) for rect in rects]  # type: ignore[misc]


def test_every_vertex_has_its_box_and_every_edge_its_curve() -> None:
    cell = Cell(("input", "conv3x3", "conv1x1", "output"), frozenset({(0, 1), (1, 2), (2, 3), (0, 3)}))
    root = ET.fromstring(cell_svg(cell))
    labels = [text.text for text in root.iter(f"{SVG}text")]
    assert labels == ["input", "conv3x3", "conv1x1", "output"]
    assert sum(path.attrib["class"] == "edge" for path in root.iter(f"{SVG}path")) == 4


def test_boxes_keep_apart_and_inside_the_drawing() -> None:
    for architecture in Space.load("nasbench101").sample(50, np.random.default_rng(0)):
        svg = architecture_svg(architecture)
        placed = boxes(svg)
        width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
        for x, y, w, h in placed:
            assert 0 <= x <= width - w
            assert 0 <= y <= height - h
        for number, (x, y, w, h) in enumerate(placed):
            for u, v, s, t in placed[:number]:
                assert x + w <= u or u + s <= x or y + h <= v or v + t <= y


def test_a_drawing_refers_to_nothing_outside_and_escapes_names() -> None:
    cell = Cell(("input", "<conv> & 3", "output"), frozenset({(0, 1), (1, 2)}))
    svg = cell_svg(cell, title='a "title"')
    ET.fromstring(svg)
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]


def test_cells_of_one_architecture_stand_side_by_side_under_their_names() -> None:
    cell = Cell(("input", "conv3x3", "output"), frozenset({(0, 1), (1, 2)}))
    root = ET.fromstring(architecture_svg(Architecture("two", (cell, cell)), ("normal", "reduce")))
    names = [text.text for text in root.iter(f"{SVG}text") if text.attrib["class"] == "cell-name"]
    assert names == ["normal", "reduce"]


@pytest.mark.parametrize("ops", [("input", "output"), ("input0", "input1", "sum", "output")])
def test_unusual_cells_are_drawn(ops: tuple[str, ...]) -> None:
    cell = Cell(ops, frozenset({(0, len(ops) - 1)}))
    assert len(boxes(cell_svg(cell))) == len(ops)
