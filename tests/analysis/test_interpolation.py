from __future__ import annotations

import numpy as np
import pytest

from graphnas.analysis import interpolate
from graphnas.encoders import CellAutoencoder
from graphnas.spaces import Space


@pytest.mark.parametrize("name", ["nasbench101", "nasbench201"])
def test_a_way_leads_from_one_to_the_other(name: str) -> None:
    space, encoder = Space.load(name), CellAutoencoder.from_pretrained(name)
    first, last = space.sample(2, np.random.default_rng(3))
    way = interpolate(space, encoder, first, last, steps=7)
    assert [one.share for one in way] == pytest.approx(np.linspace(0, 1, 7))
    assert (way[0].edits, way[0].from_first, way[-1].to_last) == (0, 0, 0)
    assert way[0].to_last == way[-1].from_first > 0
    for one in way:
        space.validate(one.architecture)
        # Edit distance is a metric.
        assert one.from_first + one.to_last >= way[0].to_last
    assert sum(one.edits for one in way) >= way[0].to_last


def test_a_way_has_two_ends() -> None:
    space, encoder = Space.load("nasbench201"), CellAutoencoder.from_pretrained("nasbench201")
    first, last = space.sample(2, np.random.default_rng(3))
    with pytest.raises(ValueError, match="steps to be at least 2, but got 1"):
        interpolate(space, encoder, first, last, steps=1)
