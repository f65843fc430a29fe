from __future__ import annotations

import numpy as np
import pytest

from graphnas.encoders import CellAutoencoder
from graphnas.predictors import ENCODINGS, encoding, latent_encoding
from graphnas.spaces import Space


@pytest.mark.parametrize("space", ["nasbench101", "nasbench201", "darts"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_rows_are_functions_of_their_architectures_with_as_much_variance_as_columns(name: str, space: str) -> None:
    loaded = Space.load(space)
    architectures = loaded.sample(400, np.random.default_rng(1))
    points = encoding(loaded, name)(architectures)
    assert len(points) == 400
    assert np.isfinite(points).all()
    assert 0.7 < points.var(0).sum() / points.shape[1] < 1.4
    np.testing.assert_allclose(encoding(loaded, name)(architectures[7:9]), points[7:9], atol=1e-12)
    np.testing.assert_allclose(encoding(loaded, name)(loaded.to_arrays(architectures)), points, atol=1e-12)


def test_latent_means_as_they_are_and_in_the_metric() -> None:
    space, encoder = Space.load("nasbench201"), CellAutoencoder.from_pretrained("nasbench201")
    architectures = space.sample(50, np.random.default_rng(0))
    raw = latent_encoding(space, encoder, metric=False)(architectures)
    np.testing.assert_allclose(raw, encoder.encode(architectures)[0].numpy(), rtol=1e-6)
    placed = latent_encoding(space, encoder)(architectures)
    assert placed.shape == (50, 32)
    assert not np.allclose(placed, raw)
    assert latent_encoding(space, encoder)([]).shape == (0, 32)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected an encoding out of adjacency, .*, but got 'wll'"):
        encoding(Space.load("nasbench201"), "wll")
