from __future__ import annotations

import numpy as np
import optuna
import pytest
import torch
from botorch.exceptions.errors import ModelFittingError
from botorch.models import SingleTaskGP
from botorch.models.model import Model
from gpytorch.kernels import MaternKernel
from torch import Tensor

from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.search import CandidateList, LatentBOSampler, RandomCellSampler
from graphnas.search.retraining import retrained
from graphnas.spaces import Space
from tests.search.conftest import NearestCell, score


def sources(study: optuna.Study) -> list[str]:
    return [trial.user_attrs["graphnas:source"] for trial in study.trials]


def search(space: Space, sampler: optuna.samplers.BaseSampler, n: int) -> optuna.Study:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: score(space.suggest(trial)), n_trials=n)
    return study


def test_finds_better_cells_than_random_search(space: Space, encoder: NearestCell) -> None:
    ours = search(space, LatentBOSampler(space, encoder, n_startup_trials=5, seed=0), 15)
    drawn = search(space, RandomCellSampler(space, seed=0), 50)
    assert ours.best_value > drawn.best_value
    assert sources(ours)[:5] == ["random"] * 5


@pytest.mark.parametrize("limits", [{"max_vertices": 5}, {"max_edges": 8}, {"max_vertices": 8}])
def test_an_encoder_serves_a_space_of_other_limits(limits: dict[str, int]) -> None:
    space = Space.load("nasbench101", **limits)
    encoder = CellAutoencoder.from_pretrained("nasbench101")
    study = search(space, LatentBOSampler(space, encoder, n_startup_trials=5, seed=0), 12)
    assert "acquisition" in sources(study)
    for trial in study.trials:
        space.validate(Architecture.from_json(trial.user_attrs["graphnas:architecture"]))


def test_an_encoder_of_another_vocabulary_is_refused(space: Space) -> None:
    with pytest.raises(ValueError, match=r"Expected an encoder of cells cell over .*maxpool3x3"):
        LatentBOSampler(space, CellAutoencoder.for_space(Space.load("enas")))
    with pytest.raises(TypeError, match="Expected encoder to encode and decode"):
        LatentBOSampler(space, None)  # type: ignore[arg-type]


def test_the_acquisition_and_edits_propose(space: Space) -> None:
    study = search(space, LatentBOSampler(space, NearestCell(space, 10000), n_startup_trials=5, seed=1), 15)
    assert {"acquisition", "edit"} <= set(sources(study)[5:])


def test_batches_differ_from_proposals_without_running_trials(space: Space, encoder: NearestCell) -> None:
    study = search(space, LatentBOSampler(space, encoder, n_startup_trials=5, seed=0), 8)
    trials = [study.ask() for _ in range(5)]
    cells = [space.suggest(trial) for trial in trials]
    assert len({space.hash(cell) for cell in cells}) == 5
    spread = torch.pdist(encoder.encode(cells)[0])
    assert spread.median() > 0.1


def test_few_values_equal_values_and_failures_fall_back(space: Space, encoder: NearestCell) -> None:
    study = optuna.create_study(
        direction="maximize", sampler=LatentBOSampler(space, encoder, n_startup_trials=2, seed=0)
    )
    for state in (optuna.trial.TrialState.FAIL, optuna.trial.TrialState.FAIL):
        trial = study.ask()
        space.suggest(trial)
        study.tell(trial, state=state)
    for value in (0.9, 0.9):
        trial = study.ask()
        space.suggest(trial)
        study.tell(trial, value)
    assert sources(study)[2:] == ["fallback: fewer than two finite values"] * 2
    constant = optuna.create_study(
        direction="maximize", sampler=LatentBOSampler(space, encoder, n_startup_trials=2, seed=0)
    )
    for _ in range(3):
        trial = constant.ask()
        space.suggest(trial)
        constant.tell(trial, 0.9)
    assert sources(constant)[2] == "fallback: all values are equal"


def test_a_model_that_cannot_be_fitted_falls_back(space: Space, encoder: NearestCell) -> None:
    def failing(X: Tensor, Y: Tensor) -> Model:
        raise ModelFittingError("no")

    study = search(space, LatentBOSampler(space, encoder, predictor=failing, n_startup_trials=3, seed=0), 4)
    assert sources(study)[3] == "fallback: the model could not be fitted"


def test_predictor_receives_latents_and_normal_scores(space: Space, encoder: NearestCell) -> None:
    seen = []

    def predictor(X: Tensor, Y: Tensor) -> Model:
        seen.append((X, Y))
        return SingleTaskGP(X, Y, covar_module=MaternKernel(), outcome_transform=None)

    sampler = LatentBOSampler(space, encoder, predictor=predictor, metric=False, n_startup_trials=3, seed=0)
    study = search(space, sampler, 4)
    (X, Y), cells = seen[0], [Architecture.from_json(t.user_attrs["graphnas:architecture"]) for t in study.trials[:3]]
    torch.testing.assert_close(X, encoder.encode(cells)[0].double())
    assert X.dtype == Y.dtype == torch.float64
    assert (X.shape, Y.shape) == ((3, 6), (3, 1))


def test_proposes_from_given_candidates_only_until_they_are_used_up(space: Space, encoder: NearestCell) -> None:
    candidates = space.sample(12, np.random.default_rng(3))
    sampler = LatentBOSampler(space, encoder, candidates=candidates, n_startup_trials=4, seed=0)
    study = search(space, sampler, 13)
    hashes = [trial.user_attrs["graphnas:hash"] for trial in study.trials]
    assert set(hashes) == set(space.hashes(candidates))
    assert sources(study) == ["random"] * 4 + ["acquisition"] * 8 + ["fallback: no new architecture"]


def test_illegal_decodings_of_a_model_without_masks_are_passed_over(space: Space) -> None:
    svge = CellAutoencoder.for_space(space, kind="svge", latent_dim=6, encoder={"hidden": 16}, decoder={"hidden": 16})
    study = search(space, LatentBOSampler(space, svge, n_startup_trials=4, seed=0), 8)
    for trial in study.trials:
        space.validate(Architecture.from_json(trial.user_attrs["graphnas:architecture"]))


@pytest.mark.parametrize("acquisition", ["log-ei", "log-nei", "thompson"])
def test_other_acquisitions_search_alike_each_time(space: Space, encoder: NearestCell, acquisition: str) -> None:
    found = []
    for _ in range(2):
        sampler = LatentBOSampler(space, encoder, acquisition=acquisition, n_startup_trials=5, seed=0)
        study = search(space, sampler, 10)
        batch = [study.ask() for _ in range(3)]
        found.append([space.hash(space.suggest(trial)) for trial in batch] + study_hashes(study))
    assert found[0] == found[1]
    assert len(set(found[0][:3])) == 3
    assert not any(source.startswith("fallback") for source in sources(study))


def study_hashes(study: optuna.Study) -> list[str]:
    return [trial.user_attrs["graphnas:hash"] for trial in study.trials]


@pytest.mark.parametrize("chosen", [("acquisition",), ("sample",), ("edit",), ("acquisition", "sample")])
def test_sources_that_are_left_out_propose_nothing(space: Space, encoder: NearestCell, chosen: tuple[str, ...]) -> None:
    study = search(space, LatentBOSampler(space, encoder, sources=chosen, n_startup_trials=5, seed=0), 12)
    assert set(sources(study)[5:]) <= {*chosen, "fallback: no new candidate"}
    assert set(sources(study)[5:]) & set(chosen)


def test_noise_of_the_latent_points_changes_proposals(space: Space, encoder: NearestCell) -> None:
    without, with_noise = (
        search(space, LatentBOSampler(space, encoder, input_noise=on, n_startup_trials=5, seed=0), 12)
        for on in (False, True)
    )
    assert study_hashes(without)[:5] == study_hashes(with_noise)[:5]
    assert study_hashes(without) != study_hashes(with_noise)
    assert not any(source.startswith("fallback") for source in sources(with_noise))


@pytest.mark.slow
def test_an_encoder_that_is_retrained_orders_what_was_observed(space: Space) -> None:
    encoder = CellAutoencoder.from_pretrained("nasbench101")
    architectures = space.sample(60, np.random.default_rng(0))
    values = [score(one) for one in architectures]
    again = retrained(encoder, space, architectures, values, seed=0)
    predicted = again.predict(again.encode(architectures)[0])[0]
    assert np.corrcoef(predicted.detach().numpy(), values)[0, 1] > 0.7
    study = search(space, LatentBOSampler(space, encoder, retrain_every=10, n_startup_trials=5, seed=0), 12)
    assert not any(source.startswith("fallback") for source in sources(study))
    assert len(set(study_hashes(study))) == 12


def test_wrong_settings_are_refused(space: Space, encoder: NearestCell) -> None:
    with pytest.raises(ValueError, match=r"Expected acquisition to be one of ucb, .*, but got 'pi'"):
        LatentBOSampler(space, encoder, acquisition="pi")
    for weight in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="Expected kappa to be a finite number above 0, but got"):
            LatentBOSampler(space, encoder, kappa=weight)
    for wrong in ("edit", (), ("edits",)):
        with pytest.raises(ValueError, match="Expected sources to be one or more of acquisition, sample, edit"):
            LatentBOSampler(space, encoder, sources=wrong)
    with pytest.raises(ValueError, match="Expected retrain_every to be None or at least 2, but got 1"):
        LatentBOSampler(space, encoder, retrain_every=1)
    with pytest.raises(TypeError, match="Expected encoder to be a CellAutoencoder to be retrained"):
        retrained(encoder, space, space.sample(3, np.random.default_rng(0)), [0.1, 0.2, 0.3], seed=0)


def test_long_lists_of_candidates_are_judged_as_a_whole(
    space: Space, encoder: NearestCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = CandidateList(space, space.sample(400, np.random.default_rng(2)))
    found = []
    for at_once in (7, 10_000):
        monkeypatch.setattr("graphnas.search.latent_bo._JUDGED", at_once)
        study = optuna.create_study(
            direction="maximize",
            sampler=LatentBOSampler(space, encoder, candidates=listed, n_startup_trials=5, seed=0),
        )
        for _ in range(4):
            batch = [study.ask() for _ in range(5)]
            for trial in batch:
                study.tell(trial, score(space.suggest(trial)))
        found.append(study_hashes(study))
    assert found[0] == found[1]
    assert set(found[0]) <= set(listed.hashes)
    assert len(set(found[0])) == 20
