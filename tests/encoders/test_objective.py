from __future__ import annotations

import numpy as np
import pytest
import torch

from graphnas.encoders import CellAutoencoder, kl_to_standard_normal
from graphnas.encoders.objective import SVGE, SVGE_FINE_TUNING, TERMS, Objective, Recipe, metric_error
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
CERTAIN = -30.0  # log-variance of a point that is known


def apart(points: torch.Tensor) -> torch.Tensor:
    """Distances of the first half of the points from the second half."""
    half = len(points) // 2
    return (points[:half] - points[half:]).norm(dim=1)


def normal(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


class TestMetricError:
    def test_equal_geometry_has_none_at_any_scale(self) -> None:
        mu = normal(64, 5)
        targets = mu / mu.std(0)
        logvar = torch.full_like(mu, CERTAIN)
        for latent, wanted in (
            (mu, targets),
            (100 * mu, targets),
            (mu, 0.01 * targets),
            (mu * torch.arange(1, 6), targets),
        ):
            assert metric_error(latent, logvar, apart(wanted)).item() == pytest.approx(0.0, abs=1e-5)

    def test_a_turn_of_the_targets_does_not_matter(self) -> None:
        mu = normal(64, 4)
        turn = torch.linalg.qr(normal(4, 4, seed=1))[0]
        error = metric_error(mu, torch.full_like(mu, CERTAIN), apart(mu / mu.std(0) @ turn))
        assert error.item() == pytest.approx(0.0, abs=1e-5)

    def test_distances_where_there_should_be_none_are_all_wrong(self) -> None:
        # The pairs are (0, 2) and (1, 3): only the first differs in latent space, only the second in the targets.
        mu = torch.tensor([[0.0], [0.0], [1.0], [0.0]])
        targets = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
        # Nothing is explained, and the variance of (0, 1) is half its mean square.
        assert metric_error(mu, torch.full_like(mu, CERTAIN), apart(targets)).item() == pytest.approx(2.0, abs=1e-3)

    def test_distances_that_are_all_the_same_explain_nothing(self) -> None:
        # The corners of a square against the middle of its sides: all pairs (0, 2) and (1, 3) are a diameter apart.
        mu = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
        error = metric_error(mu, torch.full_like(mu, CERTAIN), torch.tensor([1.0, 5.0]))
        assert error.item() == pytest.approx(1.0, abs=1e-3)

    def test_unrelated_geometry_has_what_distributions_of_distances_have_in_common(self) -> None:
        # Of independent normal numbers the differences are normal: E|x|^4 / E[x^2]^2 = (2 / pi)^2 is explained, and
        # var|x| = (1 - 2 / pi) E[x^2], so the error is (1 - (2 / pi)^2) / (1 - 2 / pi).
        mu, targets = normal(40_000, 1, seed=1), normal(40_000, 1, seed=2)
        error = metric_error(mu, torch.full_like(mu, CERTAIN), apart(targets)).item()
        assert error == pytest.approx(1 + 2 / np.pi, abs=0.04)

    def test_it_has_finite_gradients_where_points_coincide(self) -> None:
        mu = torch.zeros(8, 2).requires_grad_()
        metric_error(mu, torch.zeros(8, 2), apart(normal(8, 3))).backward()
        assert mu.grad is not None
        assert torch.isfinite(mu.grad).all()


def test_a_space_may_ask_for_a_recipe_and_a_latent_dimension_of_its_own() -> None:
    enas = Space.load("enas")
    assert Recipe.for_space(SPACE) == Recipe()
    assert Recipe.for_space(enas) == Recipe(edits=1.0, places=3.0)
    assert CellAutoencoder.for_space(enas).cell_dim == 56
    assert CellAutoencoder.for_space(enas, latent_dim=8).cell_dim == 8


@pytest.mark.parametrize("warm", [0.0, 1.0])
def test_the_loss_is_the_weighted_sum_of_its_terms(warm: float) -> None:
    model = CellAutoencoder.for_space(SPACE, latent_dim=6, seed=0)
    model.add_performance_head()
    cells = model.training_cells(SPACE.sample(10, np.random.default_rng(0)))
    recipe = Recipe(beta=0.3, auxiliary=2.0, metric=5.0, reconstruction=0.7, performance=1.5)
    torch.manual_seed(0)
    objective = Objective(model, recipe, 4)
    labelled = cells.take(torch.arange(3))
    found = objective(
        cells, normal(10, 4), normal(10, 6), torch.tensor(warm), labelled=labelled, labels=torch.arange(3.0)
    )
    terms = dict(zip(TERMS, found.tolist(), strict=True))
    bound = terms["reconstruction_nats"] + 0.3 * warm * terms["kl_nats"]
    bound += 2.0 * terms["auxiliary_error"] + 5.0 * terms["metric_error"]
    assert terms["loss"] == pytest.approx(0.7 * bound + 1.5 * terms["performance_loss"], rel=1e-5)
    mu, logvar = model.encode(SPACE.sample(10, np.random.default_rng(0)))
    assert terms["kl_nats"] == pytest.approx(kl_to_standard_normal(mu, logvar).sum(1).mean().item(), rel=1e-4)


def test_edit_distances_take_their_share_of_the_metric_term() -> None:
    model = CellAutoencoder.for_space(SPACE, latent_dim=6, seed=0)
    cells = model.training_cells(SPACE.sample(10, np.random.default_rng(0)))
    mu = model.encoder(cells.ops.long(), cells.adjacency.float())[0].detach()
    logvar = model.encoder(cells.ops.long(), cells.adjacency.float())[1].detach()
    targets, edits = normal(10, 4), torch.arange(1.0, 6.0)
    found = {}
    for share in (0.0, 1.0):
        objective = Objective(model, Recipe(edits=share), 4)
        terms = objective(cells, targets, normal(10, 6), torch.tensor(1.0), edits)
        found[share] = terms[TERMS.index("metric_error")].item()
    assert found[0.0] == pytest.approx(metric_error(mu, logvar, apart(targets)).item(), rel=1e-4)
    assert found[1.0] == pytest.approx(metric_error(mu, logvar, edits.sqrt()).item(), rel=1e-4)


def test_targets_are_predicted_by_a_linear_map_from_the_noisy_point() -> None:
    model = CellAutoencoder.for_space(SPACE, latent_dim=6, seed=0)
    cells = model.training_cells(SPACE.sample(10, np.random.default_rng(0)))
    objective = Objective(model, Recipe(), 4)
    assert isinstance(objective.head, torch.nn.Linear)
    noise = normal(10, 6)
    with torch.no_grad():
        mu, logvar = model.encoder(cells.ops.long(), cells.adjacency.float())
        targets = objective.head(mu + noise * (logvar / 2).exp())
        found = objective(cells, targets, noise, torch.tensor(1.0))
    assert found[TERMS.index("auxiliary_error")].item() == pytest.approx(0.0, abs=1e-9)


def test_the_published_recipe_of_svge() -> None:
    assert (SVGE.batch_size, SVGE.learning_rate, SVGE.noise, SVGE.auxiliary, SVGE.metric) == (32, 1e-4, 0.01, 0, 0)
    assert (SVGE_FINE_TUNING.reconstruction, SVGE_FINE_TUNING.performance) == (0.1, 0.9)
    # 0.005 times a sum over the batch, as a weight of the mean.
    assert SVGE.beta == SVGE_FINE_TUNING.beta == 0.16
