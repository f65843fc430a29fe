from __future__ import annotations

import pytest

from graphnas import search, studies
from graphnas.spaces import Space


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.load("nasbench101")


def test_words_hold_a_name_and_settings() -> None:
    assert studies.split_sampler("random") == ("random", {})
    assert studies.split_sampler("evolution:population=50") == ("evolution", {"population": 50})
    kind, settings = studies.split_sampler("latent-bo:acquisition=log-ei:sources=edit:metric=false:retrain_every=25")
    assert kind == "latent-bo"
    assert settings == {"acquisition": "log-ei", "sources": ("edit",), "metric": False, "retrain_every": 25}
    _, settings = studies.split_sampler("latent-pareto:reference_point=0.9+10")
    assert settings == {"reference_point": (0.9, 10)}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("foo", "Expected a sampler out of latent-bo, .*, but got 'foo'"),
        ("random:population=3", "Expected random:NAME=VALUE with a name out of"),
        ("evolution:population", "Expected evolution:NAME=VALUE with a name out of .*population"),
        ("latent-bo:seed=3", "Expected latent-bo:NAME=VALUE"),
        ("forest:model=xgboost", "Expected forest:NAME=VALUE"),
        ("tpe:gamma=3", "Expected tpe:NAME=VALUE"),
        ("evolution:population=many", "evolution:population: expected a whole number, but got 'many'"),
        ("evolution:population=5.5", "evolution:population: expected a whole number, but got '5.5'"),
        ("latent-bo:metric=no", "latent-bo:metric: expected true or false, but got 'no'"),
        ("latent-bo:metric=1", "latent-bo:metric: expected true or false, but got '1'"),
        ("latent-bo:n_startup_trials=true", "latent-bo:n_startup_trials: expected a whole number, but got 'true'"),
        ("latent-bo:acquisition=3", "latent-bo:acquisition: expected text, but got '3'"),
        ("latent-bo:metric=true:metric=false", "Expected each setting once, but got metric twice"),
    ],
)
def test_unknown_names_and_settings_are_refused(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        studies.split_sampler(word)


def test_settings_reach_the_sampler_and_wrong_ones_are_named(space: Space) -> None:
    sampler = studies.make_sampler("evolution:population=7", space, seed=3)
    assert isinstance(sampler, search.RegularizedEvolutionSampler)
    assert (sampler.population, sampler.seed) == (7, 3)
    with pytest.raises(ValueError, match="population 0"):
        studies.make_sampler("evolution:population=0", space)
    with pytest.raises(ValueError, match="The sampler 'latent-bo' needs an encoder"):
        studies.make_sampler("latent-bo", space)


def test_defaults_of_a_name_give_way_to_settings(space: Space) -> None:
    sampler = studies.make_sampler("feature-bo:features=wl", space)
    assert isinstance(sampler, search.FeatureBOSampler)
    assert (sampler.features, sampler.acquisition) == ("wl", "ucb")
