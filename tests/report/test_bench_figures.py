from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from graphnas.report.bench_figures import clock_curves, critical_differences, search_curves


def words(svg: str) -> set[str]:
    return {"".join(text.itertext()).strip() for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


def test_curves_name_every_method_and_the_optimum() -> None:
    rng = np.random.default_rng(0)
    curves = {name: np.maximum.accumulate(rng.random((3, 30)), axis=1) for name in ("latent-bo", "random")}
    curves["one seed"] = curves["random"][:1]
    svg = search_curves(curves, ylabel="accuracy, %", optimum=1.0)
    assert {"latent-bo", "random", "one seed", "optimum", "accuracy, %"} <= words(svg)
    assert svg == search_curves(curves, ylabel="accuracy, %", optimum=1.0)


def test_hours_are_drawn_for_every_method() -> None:
    one = {"mean": [0.5, 0.6], "standard_error": [0.1, 0.1]}
    simulated = {"hours": [1.0, 2.0], "latent-bo": one, "random": {"mean": [0.4, 0.5], "standard_error": [None, None]}}
    svg = clock_curves(simulated, ylabel="accuracy, %", optimum=95.0)
    assert {"latent-bo", "random", "optimum", "simulated hours of training, one after the other"} <= words(svg)


def test_ranks_are_written_beside_their_methods() -> None:
    svg = critical_differences({"a": 1.25, "b": 1.75, "c": 3.0}, 0.6, [["a", "b"]])
    assert {"a 1.25", "b 1.75", "c 3.00", "critical difference 0.60", "1", "2", "3"} <= {
        " ".join(word.split()) for word in words(svg)
    }
