from __future__ import annotations

import math

import pytest
import torch

from graphnas.encoders.performance import EnsembleHead, MlpHead


def ensemble(biases: list[tuple[float, float]]) -> EnsembleHead:
    """Members that say the same mean and log-variance everywhere."""
    head = EnsembleHead(3, members=len(biases), hidden=4).requires_grad_(False)
    for parameter in head.parameters():
        parameter.zero_()
    head.biases[-1][:, 0] = torch.tensor(biases)
    return head


def test_the_variance_of_an_ensemble_is_the_members_own_plus_their_spread() -> None:
    head = ensemble([(1.0, math.log(0.5)), (3.0, math.log(0.3))])
    mean, variance = head(torch.zeros(5, 3))
    torch.testing.assert_close(mean, torch.full((5,), 2.0))
    torch.testing.assert_close(variance, torch.full((5,), 0.4 + 1.0))


def test_predictions_are_in_the_units_of_the_labels() -> None:
    head = ensemble([(1.0, 0.0)])
    head.label_mean.fill_(90.0)
    head.label_std.fill_(2.0)
    mean, variance = head(torch.zeros(1, 3))
    assert (mean.item(), variance.item()) == (92.0, 4.0)


def test_the_loss_is_the_mean_negative_log_likelihood_of_the_members() -> None:
    head = ensemble([(1.0, math.log(0.5)), (3.0, math.log(2.0))])
    labels = torch.tensor([0.0, 2.0])
    expected = [
        -torch.distributions.Normal(mean, variance**0.5).log_prob(labels) for mean, variance in ((1.0, 0.5), (3.0, 2.0))
    ]
    constant = math.log(2 * math.pi) / 2
    assert head.loss(torch.zeros(2, 3), labels).item() == pytest.approx(torch.stack(expected).mean().item() - constant)


def test_members_start_apart_and_are_evaluated_point_by_point() -> None:
    torch.manual_seed(0)
    head = EnsembleHead(6)
    z = torch.randn(10, 6)
    mean, variance = head(z)
    assert mean.shape == variance.shape == (10,)
    alone = [head(row[None])[0] for row in z]
    torch.testing.assert_close(torch.cat(alone), mean)
    assert (variance > 0).all()
    assert EnsembleHead(6, **head.settings).state_dict().keys() == head.state_dict().keys()


def test_svges_predictor_halves_its_width_and_claims_no_uncertainty() -> None:
    torch.manual_seed(0)
    head = MlpHead(56)
    assert [tuple(layer.weight.shape) for layer in head.layers if isinstance(layer, torch.nn.Linear)] == [
        (28, 56),
        (14, 28),
        (7, 14),
        (1, 7),
    ]
    z = torch.randn(4, 56)
    mean, variance = head(z)
    assert torch.equal(variance, torch.zeros(4))
    assert head.loss(z, mean.detach() + 2.0).item() == pytest.approx(4.0, rel=1e-5)


def test_calibration_makes_squared_errors_as_large_as_the_variances() -> None:
    head = ensemble([(0.0, math.log(0.5))])
    labels = torch.tensor([1.0, -1.0, 3.0, -3.0])
    head.calibrate(torch.zeros(4, 3), labels)
    mean, variance = head(torch.zeros(4, 3))
    torch.testing.assert_close(((labels - mean).square() / variance).mean(), torch.tensor(1.0))
    svges = MlpHead(3)
    svges.calibrate(torch.zeros(4, 3), labels)
    assert torch.equal(svges(torch.zeros(4, 3))[1], torch.zeros(4))
