from __future__ import annotations

import pytest
import torch
from botorch.acquisition import UpperConfidenceBound
from botorch.models import SingleTaskGP
from botorch.models.multitask import MultiTaskGP
from torch import Tensor

from graphnas.predictors.gaussian_process import (
    fit_budgets_process,
    fit_gaussian_process,
    normal_scores,
    with_input_noise,
)
from graphnas.predictors.posterior import Posterior


def random(n: int, seed: int) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def process(kind: str) -> SingleTaskGP | MultiTaskGP:
    """As it is fitted, of several budgets, with noise of the inputs, or with a kernel that BoTorch alone knows."""
    X = random(20, 0)
    settings = 2 if "joint" in kind else 0
    if "budgets" in kind:
        budgets = [4, 12, 36] * 6 + [4, 12]
        Y = X.sum(-1, keepdim=True) + torch.tensor([[0.3 * (budget == 4)] for budget in budgets])
        model = fit_budgets_process(X, budgets, Y, settings=settings)
        assert isinstance(model, MultiTaskGP)
        return model.eval()
    Y = normal_scores(X.sum(-1).tolist())
    if kind == "another":
        return SingleTaskGP(X, Y, outcome_transform=None).eval()
    model = fit_gaussian_process(X, Y, settings=settings)
    if kind == "noisy inputs":
        model = with_input_noise(model, torch.full_like(X, 0.05))
    assert isinstance(model, SingleTaskGP)
    return model.eval()


pytestmark = [
    pytest.mark.filterwarnings("ignore:Data .input features. is not contained"),
    pytest.mark.filterwarnings("ignore:Sparse invariant checks"),
]
KINDS = pytest.mark.parametrize("kind", ["fitted", "budgets", "joint", "joint budgets", "noisy inputs", "another"])


@KINDS
def test_moments_are_those_of_botorch_with_and_without_pending_points(kind: str) -> None:
    model = process(kind)
    z = torch.cat([random(7, 1), model.train_inputs[0][:2, :4]])
    for posterior in (Posterior(model), Posterior(model).believing(random(3, 2)).believing(z[:1])):
        theirs = posterior.conditioned().posterior(z)
        mean, deviation = posterior.moments(z)
        torch.testing.assert_close(mean, theirs.mean[:, 0], atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(deviation, theirs.variance[:, 0].sqrt(), atol=1e-6, rtol=1e-6)


@KINDS
def test_points_under_way_take_uncertainty_away_and_leave_the_means(kind: str) -> None:
    posterior, z = Posterior(process(kind)), random(5, 3)
    believed = posterior.believing(z[:1])
    torch.testing.assert_close(believed.mean(z), posterior.mean(z), atol=1e-6, rtol=1e-6)
    before, after = posterior.moments(z)[1], believed.moments(z)[1]
    assert (after <= before).all()
    assert after[0] < 0.9 * before[0]


@KINDS
@pytest.mark.parametrize("kappa", [0.0, 1.5])
def test_upper_bound_equals_botorch_and_has_its_gradient(kind: str, kappa: float) -> None:
    model, z = process(kind), random(7, 1).requires_grad_(True)
    ours, theirs = Posterior(model).upper_bound(z, kappa), UpperConfidenceBound(model, beta=kappa**2)(z[:, None])
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    gradients = [torch.autograd.grad(value.sum(), z, retain_graph=True)[0] for value in (ours, theirs)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def test_the_gradient_is_finite_where_a_point_was_observed() -> None:
    model = process("fitted")
    z = model.train_inputs[0][:3].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(Posterior(model).upper_bound(z, 2.0).sum(), z)
    assert slope.isfinite().all()
