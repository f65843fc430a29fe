from __future__ import annotations

import pytest
import torch
from botorch.acquisition import LogExpectedImprovement
from torch import Tensor

from graphnas.predictors.gaussian_process import fit_gaussian_process, normal_scores
from graphnas.predictors.posterior import Posterior
from graphnas.search.acquisition import ACQUISITIONS, log_expected_improvement, make_acquisition


@pytest.fixture(scope="module")
def known() -> Tensor:
    return torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.double)


@pytest.fixture(scope="module")
def posterior(known: Tensor) -> Posterior:
    return Posterior(fit_gaussian_process(known, normal_scores(known.sum(-1).tolist())))


def test_log_expected_improvement_equals_botorch(posterior: Posterior, known: Tensor) -> None:
    z = torch.randn(50, 4, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    ours = make_acquisition("log-ei", posterior, known, observed=20, kappa=3.0, seed=0)(z, 1.0)
    with torch.no_grad():
        theirs = LogExpectedImprovement(posterior.model, best_f=posterior.mean(known).max())(z[:, None])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_log_expected_improvement_neither_underflows_nor_loses_its_gradient() -> None:
    mean = torch.tensor([1.0, 0.0, -1.0, -30.0, -900.0, -1e5], dtype=torch.double, requires_grad=True)
    values = log_expected_improvement(mean, torch.ones(6, dtype=torch.double), 0.0)
    (slope,) = torch.autograd.grad(values.sum(), mean)
    # phi(0) is 0.39894; far below, log EI tends to log phi(u) - 2 log |u|, whose slope is -u.
    assert values[1].item() == pytest.approx(-0.91894, abs=1e-5)
    assert values[4].item() == pytest.approx(-405000.91894 - 2 * 6.80239, abs=1e-2)
    assert (values[:-1] > values[1:]).all()
    assert slope[3:].tolist() == pytest.approx([30.066, 900.002, 1e5], rel=1e-3)


@pytest.mark.parametrize("kind", ACQUISITIONS)
def test_each_prefers_a_promising_point_and_has_a_gradient(kind: str, posterior: Posterior, known: Tensor) -> None:
    high, low = known[known.sum(-1).argmax()] + 0.3, known[known.sum(-1).argmin()] - 0.1
    z = torch.stack([high, low]).requires_grad_(True)
    values = make_acquisition(kind, posterior, known, observed=20, kappa=3.0, seed=3)(z, 1.0)
    assert values.shape == (2,)
    assert values[0] > values[1]
    (slope,) = torch.autograd.grad(values[0], z)
    assert slope[0].norm() > 0


@pytest.mark.parametrize("kind", ["log-nei", "thompson"])
def test_draws_are_a_function_of_the_seed(kind: str, posterior: Posterior, known: Tensor) -> None:
    z = known + 0.5
    one, same, other = (
        make_acquisition(kind, posterior, known, observed=20, kappa=3.0, seed=seed)(z, 1.0) for seed in (5, 5, 6)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_points_under_way_lose_their_uncertainty(posterior: Posterior, known: Tensor) -> None:
    z = known[:1] + 0.5
    for kind in ("ucb", "log-ei"):
        before, after = (
            make_acquisition(kind, one, known, observed=20, kappa=3.0, seed=0)(z, 1.0)
            for one in (posterior, posterior.believing(z))
        )
        assert after < before


def test_an_unknown_name_is_refused(posterior: Posterior, known: Tensor) -> None:
    with pytest.raises(ValueError, match=r"Expected an acquisition out of ucb, .*, but got 'ei'"):
        make_acquisition("ei", posterior, known, observed=20, kappa=3.0, seed=0)


def test_the_weight_of_the_uncertainty_falls_with_the_observations(posterior: Posterior, known: Tensor) -> None:
    z = known[:1] + 0.5
    mean, deviation = (one.item() for one in posterior.moments(z))

    def weight(kappa: float, observed: int) -> float:
        values = make_acquisition("ucb", posterior, known, observed=observed, kappa=kappa, seed=0)(z, 1.0)
        return (values.item() - mean) / deviation

    assert [weight(3.0, n) for n in (2, 25, 100, 1000)] == pytest.approx([3.0, 3.0, 1.5, 1.0])
    assert [weight(0.5, n) for n in (2, 1000)] == pytest.approx([0.5, 0.5])
