from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from graphnas.analysis import diagnose
from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.spaces import Space


def convolutions(architectures: Sequence[Architecture]) -> list[float]:
    """A value that follows from the cell, with some noise."""
    rng = np.random.default_rng(0)
    return [one.cells[0].ops.count("nor_conv_3x3") + 0.3 * float(rng.normal()) for one in architectures]


def test_a_trained_encoder_is_trusted_and_every_measure_has_its_words() -> None:
    found = diagnose(CellAutoencoder.from_pretrained("nasbench201"), values=convolutions, architectures=100)
    measured = {finding.name: finding for finding in found.findings}
    assert list(measured) == [
        "reconstruction",
        "active dimensions",
        "distinct decodings",
        "round trip",
        "smoothness",
        "value and distance",
        "prediction",
        "calibration",
    ]
    assert {finding.verdict for finding in found.findings} == {"good"}
    assert found.words == "A latent search can be expected to pay."
    assert measured["prediction"].value > 0.8
    assert "ranks others well" in measured["prediction"].words


def test_an_untrained_encoder_and_values_of_chance_are_not() -> None:
    space = Space.load("nasbench201")
    rng = np.random.default_rng(0)
    model = CellAutoencoder.for_space(space).eval()
    found = diagnose(model, values=lambda cells: rng.normal(size=len(cells)).tolist(), architectures=60)
    measured = {finding.name: finding.verdict for finding in found.findings}
    assert measured["reconstruction"] == measured["prediction"] == measured["value and distance"] == "poor"
    assert found.verdict == "poor"
    assert "train the encoder for longer" in found.words


def test_without_values_nothing_is_said_of_them_and_too_few_are_refused() -> None:
    model = CellAutoencoder.from_pretrained("nasbench201")
    assert "prediction" not in {finding.name for finding in diagnose(model, architectures=20).findings}
    with pytest.raises(ValueError, match="at least 20 architectures, but got 19"):
        diagnose(model, architectures=19)
    with pytest.raises(ValueError, match="ten or more different values, but got 1"):
        diagnose(model, values=lambda cells: [0.0] * len(cells), architectures=20)
