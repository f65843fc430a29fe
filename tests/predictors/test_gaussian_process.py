from __future__ import annotations

import math

import pytest
import torch
from botorch.models import SingleTaskGP

from graphnas.predictors.gaussian_process import fit_gaussian_process, normal_scores, with_input_noise
from graphnas.predictors.posterior import Posterior


def test_normal_scores_rank_failures_worst_and_average_ties() -> None:
    scores = normal_scores([0.9, math.nan, 0.1, 0.9])
    assert scores.shape == (4, 1)
    # Ranks 3.5, 1, 2, 3.5 of 4: quantiles at 0.75, 0.125, 0.375, 0.75.
    torch.testing.assert_close(
        scores.squeeze(-1), torch.tensor([0.67449, -1.15035, -0.31864, 0.67449], dtype=torch.float64), atol=1e-5, rtol=0
    )


def test_normal_scores_ignore_the_size_of_outliers() -> None:
    assert torch.equal(normal_scores([0.1, 0.93, 0.94]), normal_scores([0.92, 0.93, 0.94]))


def test_process_learns_a_smooth_function() -> None:
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(80, 8, generator=generator, dtype=torch.double)
    y = X[:, 0] + 0.5 * X[:, 1]
    model = fit_gaussian_process(X[:60], normal_scores(y[:60].tolist()))
    predicted = Posterior(model).mean(X[60:])
    assert torch.corrcoef(torch.stack([predicted, y[60:]]))[0, 1] > 0.8


def test_noise_of_inputs_counts_where_the_model_is_steep() -> None:
    X = torch.linspace(-2, 2, 30, dtype=torch.double)[:, None]
    Y = torch.where(X > 0, X, 0.0)
    model = fit_gaussian_process(X, (Y - Y.mean()) / Y.std()).eval()
    noisy = with_input_noise(model, torch.full_like(X, 0.01))
    assert isinstance(noisy, SingleTaskGP)
    added = noisy.likelihood.noise - model.likelihood.noise
    # The slope is 0 on the left and 1 / 0.65 on the right; its square times 0.01 is added.
    assert added[3:10].abs().max() < 2e-3
    assert added[20:27].mean().item() == pytest.approx(0.01 / float(Y.std()) ** 2, rel=0.2)
    torch.testing.assert_close(with_input_noise(model, torch.zeros_like(X)).posterior(X).mean, model.posterior(X).mean)


def test_what_settings_do_to_all_architectures_is_known_of_others_too() -> None:
    generator = torch.Generator().manual_seed(0)
    latent = 3 * torch.randn(40, 16, generator=generator, dtype=torch.float64)  # far apart
    setting = torch.rand(40, 1, generator=generator, dtype=torch.float64)
    outcomes = normal_scores((-((setting[:, 0] - 0.3) ** 2)).tolist())
    model = fit_gaussian_process(torch.cat([latent, setting], -1), outcomes, settings=1)
    assert model.covar_module.base_kernel.common.item() > 0.9
    other = 3 * torch.randn(1, 16, generator=generator, dtype=torch.float64)
    asked = torch.linspace(0, 1, 21, dtype=torch.float64)[:, None]
    mean, _ = Posterior(model).moments(torch.cat([other.expand(21, -1), asked], -1))
    assert asked[int(mean.argmax())].item() == pytest.approx(0.3, abs=0.1)
    assert mean.max() - mean.min() > 1.5
