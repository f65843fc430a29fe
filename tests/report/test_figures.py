from __future__ import annotations

import xml.etree.ElementTree as ET

from graphnas.report import loss_curve


def history(loss: float) -> list[dict[str, float]]:
    return [
        {"step": step, "loss": loss, "reconstruction_nats": 20.0 / step, "kl_nats": 5.0 * step}
        for step in (100, 200, 300)
    ]


def test_the_loss_curve_names_its_lines_and_is_equal_for_equal_rows() -> None:
    svg = loss_curve(history(3.0))
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    text = "".join(root.itertext())
    for words in ("loss", "reconstruction (nats a cell)", "KL divergence (nats a cell)", "step"):
        assert words in text
    assert svg == loss_curve(history(3.0))


def test_a_single_row_and_a_negative_loss_are_drawn_too() -> None:
    for rows in (history(3.0)[:1], history(-0.5), history(0.0)):
        ET.fromstring(loss_curve(rows))
