from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graphnas.analysis import prediction
from graphnas.encoders import CellAutoencoder
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
CELLS = SPACE.sample(4, np.random.default_rng(0))


class Known(nn.Module):
    """A head that predicts 1, 2, 3, 4 with the standard deviation 0.5."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return torch.arange(1.0, len(z) + 1), torch.full((len(z),), 0.25)


def test_correlations_error_and_coverage_by_hand() -> None:
    model = CellAutoencoder.for_space(SPACE, latent_dim=4)
    with pytest.raises(ValueError, match="has no performance head"):
        prediction(model, CELLS, [1.0, 2.0, 3.0, 4.0])
    model.performance = Known()  # type: ignore[assignment]
    found = prediction(model, CELLS, [1.0, 3.0, 2.0, 6.0])
    assert found["spearman"] == pytest.approx(0.8)
    assert found["kendall"] == pytest.approx(2 / 3)
    assert found["rmse"] == pytest.approx(np.sqrt((0 + 1 + 1 + 4) / 4))
    assert found["coverage"] == 0.25
    assert prediction(model, CELLS, [1.0] * 4)["spearman"] == 0.0
    with pytest.raises(ValueError, match="Expected values to be 4 numbers"):
        prediction(model, CELLS, [1.0])
