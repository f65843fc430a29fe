from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler

from graphnas.cell import Architecture, Cell
from graphnas.search import (
    BananasSampler,
    CandidateList,
    CellSampler,
    FeatureBOSampler,
    GradientSearchSampler,
    LatentBOSampler,
    LocalSearchSampler,
    NPENASSampler,
    RandomCellSampler,
    RegularizedEvolutionSampler,
    TreeEnsembleSampler,
)
from graphnas.spaces import Space
from tests.search.conftest import NearestCell, score

Make = Callable[[int], CellSampler]


MAKERS: dict[str, Callable[..., CellSampler]] = {
    "random": lambda space, encoder, **options: RandomCellSampler(space, **options),
    "evolution": lambda space, encoder, **options: RegularizedEvolutionSampler(space, population=6, **options),
    "local-search": lambda space, encoder, **options: LocalSearchSampler(space, n_startup_trials=4, **options),
    "latent-bo": lambda space, encoder, **options: LatentBOSampler(space, encoder, n_startup_trials=4, **options),
    "gradient": lambda space, encoder, **options: GradientSearchSampler(space, encoder, n_startup_trials=4, **options),
    "feature-bo": lambda space, encoder, **options: FeatureBOSampler(space, n_startup_trials=4, **options),
    "bananas": lambda space, encoder, **options: BananasSampler(space, n_startup_trials=4, **options),
    "npenas": lambda space, encoder, **options: NPENASSampler(space, n_startup_trials=4, **options),
    "forest": lambda space, encoder, **options: TreeEnsembleSampler(space, n_startup_trials=4, **options),
}


# Those that fit networks take longest.
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name in ("bananas", "npenas") else []) for name in MAKERS]


@pytest.fixture(params=NAMES)
def make(request: pytest.FixtureRequest, space: Space, encoder: NearestCell) -> Make:
    """The samplers that every test of this module runs for."""
    return lambda seed: MAKERS[request.param](space, encoder, seed=seed)


def search(
    space: Space, sampler: BaseSampler, n: int, *, batch: int = 1, study: optuna.Study | None = None
) -> optuna.Study:
    study = study or optuna.create_study(direction="maximize")
    study.sampler = sampler
    for _ in range(n // batch):
        trials = [study.ask() for _ in range(batch)]
        architectures = [space.suggest(trial) for trial in trials]
        for trial, architecture in zip(trials, architectures, strict=True):
            study.tell(trial, score(architecture))
    return study


def attributes(study: optuna.Study, name: str) -> list[str]:
    return [trial.user_attrs[f"graphnas:{name}"] for trial in study.trials]


@pytest.mark.parametrize("batch", [1, 4])
def test_proposals_are_legal_new_and_say_their_source(make: Make, space: Space, batch: int) -> None:
    study = search(space, make(0), 12, batch=batch)
    hashes = attributes(study, "hash")
    assert len(set(hashes)) == 12
    for text, key, trial in zip(attributes(study, "architecture"), hashes, study.trials, strict=True):
        architecture = Architecture.from_json(text)
        space.validate(architecture)
        assert space.hash(architecture) == key
        assert space.parameters(architecture) == trial.params
    allowed = {"random", "gradient", "mutation", "neighbour", "acquisition", "sample", "edit"}
    assert set(attributes(study, "source")) <= allowed


def test_same_seed_same_proposals_whatever_the_cache(make: Make, space: Space) -> None:
    whole = search(space, make(3), 9)
    resumed = search(space, make(3), 6)
    resumed = search(space, pickle.loads(pickle.dumps(make(3))), 3, study=resumed)
    assert attributes(whole, "hash") == attributes(resumed, "hash")
    assert attributes(whole, "hash") != attributes(search(space, make(4), 9), "hash")


def test_parallel_trials_repeat_nothing(make: Make, space: Space) -> None:
    study = optuna.create_study(direction="maximize", sampler=make(0))
    study.optimize(lambda trial: score(space.suggest(trial)), n_trials=12, n_jobs=2)
    assert len(set(attributes(study, "hash"))) == 12


def test_works_beside_trials_of_tpe(make: Make, space: Space) -> None:
    study = search(space, optuna.samplers.TPESampler(seed=0, n_startup_trials=2), 5)
    study.add_trial(optuna.create_trial(value=0.5))  # knows nothing of architectures
    search(space, make(0), 6, study=study)
    with_architecture = [trial for trial in study.trials if "graphnas:hash" in trial.user_attrs]
    before = {trial.user_attrs["graphnas:hash"] for trial in with_architecture[:5]}
    ours = [trial.user_attrs["graphnas:hash"] for trial in with_architecture[5:]]
    assert len(set(ours)) == 6
    assert not before & set(ours)
    search(space, optuna.samplers.TPESampler(seed=0, n_startup_trials=2), 2, study=study)


def test_works_on_sqlite_from_two_study_objects(make: Make, space: Space, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    storages = [optuna.storages.RDBStorage(url) for _ in range(2)]
    studies = [
        optuna.create_study(storage=storage, study_name="s", direction="maximize", load_if_exists=True)
        for storage in storages
    ]
    for _ in range(4):
        trials = []
        for study in studies:
            study.sampler = make(0)
            trials.append(study.ask())
        for study, trial in zip(studies, trials, strict=True):
            study.tell(trial, score(space.suggest(trial)))
    assert len(set(attributes(studies[0], "hash"))) == 8
    for storage in storages:
        storage.engine.dispose()
        storage.remove_session()


def test_failed_pruned_and_lost_trials_are_survived_and_not_repeated(make: Make, space: Space) -> None:
    def objective(trial: optuna.Trial) -> float:
        value = score(space.suggest(trial))
        if trial.number % 4 == 1:
            raise optuna.TrialPruned
        if trial.number % 4 == 2:
            raise RuntimeError("diverged")
        return float("nan") if trial.number % 4 == 3 else value

    study = optuna.create_study(direction="maximize", sampler=make(0))
    space.suggest(study.ask())  # never told
    with np.errstate(all="raise"):
        study.optimize(objective, n_trials=15, catch=(RuntimeError,))
    assert len(set(attributes(study, "hash"))) == 16


def test_a_sparse_list_has_the_nearest_for_neighbours(space: Space) -> None:
    listed = CandidateList(space, space.sample(40, np.random.default_rng(0)))
    sampler = RegularizedEvolutionSampler(space, candidates=listed, seed=0)
    for key, architecture in listed.architectures.items():
        others = [other for _, other in sampler.neighbours(architecture, key)]
        edits = set(space.hashes(space.neighbours(architecture))) & set(listed.hashes)
        if edits - {key}:
            assert set(others) == edits - {key}
            continue
        differ = {
            other: int((space.decisions(architecture) != space.decisions(one)).sum())
            for other, one in listed.architectures.items()
            if other != key
        }
        assert len(others) == 24
        assert [differ[other] for other in others] == sorted(differ.values())[:24]
        assert next(listed.nearest(architecture)) == key


def test_exhausted_space_repeats_and_says_so(small: Space) -> None:
    encoder = NearestCell(small, 50)
    for sampler in (
        RandomCellSampler(small, seed=0),
        RegularizedEvolutionSampler(small, population=3, seed=0),
        LatentBOSampler(small, encoder, n_startup_trials=3, seed=0),
    ):
        study = search(small, sampler, 8)
        assert len(set(attributes(study, "hash"))) == 7
        assert len(set(attributes(study, "hash")[:7])) == 7
        assert attributes(study, "source")[7:] == ["fallback: no new architecture"]


def test_other_parameters_are_drawn_beside_the_architecture(make: Make, space: Space) -> None:
    def rates(seed: int) -> list[float]:
        study = optuna.create_study(direction="maximize", sampler=make(seed))
        for _ in range(6):
            trial = study.ask()
            space.suggest(trial)
            study.tell(trial, trial.suggest_float("lr", 1e-4, 1e-1, log=True))
        return [trial.params["lr"] for trial in study.trials]

    first = rates(0)
    assert len(set(first)) == 6
    assert all(1e-4 <= rate <= 1e-1 for rate in first)
    assert rates(0) == first != rates(1)


def test_foreign_and_broken_trials_are_passed_over(make: Make, space: Space) -> None:
    study = optuna.create_study(direction="maximize", sampler=make(0))
    other = Architecture(space.name, (Cell(("input", "conv9x9", "output"), frozenset({(0, 1), (1, 2)})),))
    for text in ("no JSON", other.to_json()):
        study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs={"graphnas:architecture": text}))
    study.optimize(lambda trial: score(space.suggest(trial)), n_trials=8)
    assert len({trial.user_attrs["graphnas:hash"] for trial in study.trials[2:]}) == 8


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_decisions_fixed_by_a_sampler_around_ours_stay_fixed(make: Make, space: Space) -> None:
    fixed = optuna.samplers.PartialFixedSampler({"cell.op1": "conv1x1"}, make(0))
    study = optuna.create_study(direction="maximize", sampler=fixed)
    for _ in range(6):
        trial = study.ask()
        assert space.suggest(trial).cells[0].ops[1] == "conv1x1"
        study.tell(trial, 0.5)


def test_enqueued_architectures_come_first_and_are_named(make: Make, space: Space) -> None:
    (architecture,) = space.sample(1, np.random.default_rng(5))
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial(space.parameters(architecture))
    search(space, make(0), 2, study=study)
    assert space.hash(Architecture.from_json(attributes(study, "architecture")[0])) == space.hash(architecture)
    assert attributes(study, "source")[1] == "random"


def test_the_objective_sees_the_source(make: Make, space: Space) -> None:
    trial = optuna.create_study(direction="maximize", sampler=make(0)).ask()
    space.suggest(trial)
    assert trial.user_attrs["graphnas:source"] == "random"


def test_two_processes_that_claim_one_architecture_end_with_two(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(direction="maximize", sampler=RandomCellSampler(space, seed=0))
    trials = [study.ask(), study.ask()]
    # What the first would propose is claimed by the second after the first has read the study.
    (rival,) = space.sample(16, np.random.default_rng((0, 0)))[:1]
    read = RandomCellSampler._read
    calls = []

    def late(self: RandomCellSampler, study: optuna.Study, number: int) -> object:
        history = read(self, study, number)
        if not calls:
            trials[1].set_user_attr("graphnas:architecture", rival.to_json())
            trials[1].set_user_attr("graphnas:hash", space.hash(rival))
        calls.append(number)
        return history

    monkeypatch.setattr(RandomCellSampler, "_read", late)
    assert space.hash(space.suggest(trials[0])) != space.hash(rival)


def test_minimising_is_maximising_the_negative(space: Space, encoder: NearestCell) -> None:
    for make in (
        lambda: RegularizedEvolutionSampler(space, population=4, seed=0),
        lambda: LatentBOSampler(space, encoder, n_startup_trials=4, seed=0),
    ):
        up = search(space, make(), 8)
        down = optuna.create_study(direction="minimize", sampler=make())
        down.optimize(lambda trial: -score(space.suggest(trial)), n_trials=8)
        assert attributes(up, "hash") == attributes(down, "hash")


def test_several_objectives_are_refused_where_values_are_read(space: Space) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=RandomCellSampler(space, seed=0))
    study.tell(trial := study.ask(), [score(space.suggest(trial)), 1.0])
    space.suggest(study.ask())
    study.sampler = RegularizedEvolutionSampler(space, seed=0)
    with pytest.raises(ValueError, match="one objective for RegularizedEvolutionSampler, but got 2"):
        study.ask()


def test_arguments_are_checked(space: Space, encoder: NearestCell) -> None:
    with pytest.raises(ValueError, match="seed"):
        RandomCellSampler(space, seed=-1)
    with pytest.raises(ValueError, match="sample_size 30, population 20"):
        RegularizedEvolutionSampler(space, sample_size=30)
    with pytest.raises(ValueError, match="n_startup_trials"):
        LatentBOSampler(space, encoder, n_startup_trials=-1)
    with pytest.raises(ValueError, match="candidates"):
        LatentBOSampler(space, encoder, candidates=[])
    assert RandomCellSampler(space).seed != RandomCellSampler(space).seed


@pytest.mark.parametrize("name", [one for one in NAMES if one.values != ("gradient",)])
def test_a_list_of_candidates_is_all_that_is_proposed(space: Space, encoder: NearestCell, name: str) -> None:
    given = space.sample(9, np.random.default_rng(3))
    listed = CandidateList(space, [*given, *given])
    assert listed.hashes == tuple(dict.fromkeys(space.hashes(given)))
    study = search(space, MAKERS[name](space, encoder, candidates=listed, seed=0), 10)
    assert set(attributes(study, "hash")) == set(listed.hashes)
    assert attributes(study, "source")[-1] == "fallback: no new architecture"


def test_candidates_beyond_the_space_are_refused(space: Space, small: Space) -> None:
    beyond = [one for one in space.sample(20, np.random.default_rng(0)) if len(one.cells[0].ops) > 3]
    with pytest.raises(ValueError, match="cell: "):
        RandomCellSampler(small, candidates=beyond)
    with pytest.raises(ValueError, match="Expected candidates to be None or at least one architecture"):
        RandomCellSampler(space, candidates=[])


@pytest.mark.parametrize("name", NAMES)
def test_failed_equal_and_few_values_do_not_stop_a_search(space: Space, encoder: NearestCell, name: str) -> None:
    study = optuna.create_study(direction="maximize", sampler=MAKERS[name](space, encoder, seed=0))
    told = [None, None, None, None, None, float("nan"), 0.5, 0.5, 0.5, None, 0.7, 0.6]
    for value in told:
        trial = study.ask()
        space.suggest(trial)
        if value is None or value != value:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, value)
    assert len(set(attributes(study, "hash"))) == len(told)
