"""Samplers by the words that `config.toml` and the command line use: `latent-bo`, `evolution:population=50`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.samplers import BaseSampler

from graphnas.studies.errors import StudyError
from graphnas.studies.settings import CONFIG, load_candidates, load_encoder, load_hyperparameters, load_space

if TYPE_CHECKING:
    from graphnas.spaces import HyperparameterSpace, Space

LATENT_SAMPLERS = ("latent-bo", "latent-pareto", "latent-joint", "gradient", "guided")
"""Those that need an encoder."""

SAMPLERS = (
    *LATENT_SAMPLERS,
    "random",
    "evolution",
    "local-search",
    "feature-bo",
    "bananas",
    "npenas",
    "forest",
    "xgboost",
    "bohb",
    "tpe",
    "nsga2",
)
"""All names."""

OPTUNA_SAMPLERS = ("tpe", "nsga2")
"""Optuna's own, which know nothing of architectures."""

SEVERAL_OBJECTIVES = ("latent-pareto", "random", "tpe", "nsga2")
"""Those that serve several objectives."""

JOINT_SAMPLERS = ("latent-joint", "bohb", "random", "tpe", "nsga2")
"""Those that search hyperparameters too."""

HEED_BOUNDS = ("latent-bo", "latent-pareto", "latent-joint", "tpe", "nsga2")
"""Those that avoid what likely violates a constraint."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "feature-bo": {"features": "structure", "acquisition": "ucb"},
    "tpe": {"n_startup_trials": 10},
    "nsga2": {"population_size": 20},
}

_FIXED = {"forest": {"model": "random-forest"}, "xgboost": {"model": "xgboost"}}
"""Arguments that a name stands for."""

_KINDS: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "bool": ("true or false", bool),
    "int": ("a whole number", int),
    "float": ("a number", (int, float)),
    "str": ("text", str),
    "Predictor | str": ("the name of a predictor", str),
    "FitProcess | Predictor | str": ("the name of a predictor", str),
    "ScoreArchitectures | Predictor | str": ("the name of a zero-cost proxy or of a predictor", str),
    "Sequence[str]": ("names with + between them", str),
    "Sequence[float]": ("numbers with + between them", (int, float)),
}
"""Arguments that can be set by a word, by their annotations: what they are, for people and for the check."""


def split_sampler(word: str) -> tuple[str, dict[str, Any]]:
    """Name and settings of a sampler.

    Example:
        >>> split_sampler("latent-bo:acquisition=log-ei:sources=sample+edit:metric=false")
        ('latent-bo', {'acquisition': 'log-ei', 'sources': ('sample', 'edit'), 'metric': False})

    Args:
        word: One of `SAMPLERS`, then `:NAME=VALUE` for each argument of the sampler to set. Values are numbers, `true`,
            `false` or text; several have `+` between them.

    Raises:
        ValueError: if there is no such sampler, it has no such setting, or a value is of another kind.
    """
    kind, *texts = word.split(":")
    if kind not in SAMPLERS:
        raise ValueError(f"Expected a sampler out of {', '.join(SAMPLERS)}, but got {kind!r}")
    known = _arguments(kind)
    settings: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or name not in known:
            raise ValueError(f"Expected {kind}:NAME=VALUE with a name out of {', '.join(known)}, but got {word!r}")
        if name in settings:
            raise ValueError(f"Expected each setting once, but got {name} twice in {word!r}")
        settings[name] = _value(f"{kind}:{name}", known[name], value)
    return kind, settings


def _arguments(kind: str) -> dict[str, str]:
    """Annotations of a sampler's arguments that can be set by a word."""
    found = {}
    for name, parameter in inspect.signature(_sampler_class(kind)).parameters.items():
        annotation = str(parameter.annotation).removesuffix(" | None")
        if annotation in _KINDS and name != "seed" and name not in _FIXED.get(kind, {}):
            found[name] = annotation
    return found


def _value(name: str, annotation: str, text: str) -> Any:
    expected, kinds = _KINDS[annotation]
    parts = tuple(map(plain_value, text.split("+") if annotation.startswith("Sequence") else [text]))
    for part in parts:
        if not isinstance(part, kinds) or (isinstance(part, bool) and kinds is not bool):
            raise ValueError(f"{name}: expected {expected}, but got {text!r}")
    return parts if annotation.startswith("Sequence") else parts[0]


def plain_value(text: str) -> bool | int | float | str:
    """A truth value, a number, or the text itself."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def make_sampler(
    word: str,
    space: Space,
    *,
    encoder: Any = None,
    candidates: Any = None,
    hyperparameters: HyperparameterSpace | None = None,
    seed: int | None = None,
) -> BaseSampler:
    """The sampler of a word.

    Args:
        word: See `split_sampler`.
        space: The space to search.
        encoder: Needed by those in `LATENT_SAMPLERS`.
        candidates: A `search.CandidateList` that the search is restricted to; the whole space if None. Optuna's own
            samplers do not heed it.
        hyperparameters: What is searched beside architectures. Optuna's own samplers learn of it from their trials.
        seed: Makes proposals a function of the study's trials.

    Raises:
        ValueError: if there is no such sampler or setting, a setting is wrong, the sampler needs an encoder or
            hyperparameters, or takes no list or no hyperparameters.
        ImportError: if the sampler needs a package that is not there.
    """
    kind, settings = split_sampler(word)
    make = _sampler_class(kind)
    arguments = {**_DEFAULTS.get(kind, {}), **_FIXED.get(kind, {}), **settings, "seed": seed}
    if kind in LATENT_SAMPLERS:
        if encoder is None:
            raise ValueError(f"The sampler {kind!r} needs an encoder")
        arguments["encoder"] = encoder
    if hyperparameters is not None and kind not in JOINT_SAMPLERS:
        raise ValueError(f"The sampler {kind!r} searches no hyperparameters; {', '.join(JOINT_SAMPLERS)} do")
    if hyperparameters is None and kind == "latent-joint":
        raise ValueError("The sampler 'latent-joint' needs hyperparameters; without any it is latent-bo")
    known = inspect.signature(make).parameters
    if "space" in known:
        arguments["space"] = space
        if candidates is not None:
            if "candidates" not in known:
                raise ValueError(f"The sampler {kind!r} takes no list of candidates")
            arguments["candidates"] = candidates
        if hyperparameters is not None:
            arguments["hyperparameters"] = hyperparameters
    sampler: BaseSampler = make(**arguments)
    return sampler


def rebuild_sampler(folder: Path, settings: Mapping[str, Any]) -> BaseSampler:
    """The sampler that `config.toml` describes.

    Raises:
        StudyError: if it describes none.
    """
    table = settings.get("sampler", {})
    if "kind" not in table:
        raise StudyError(
            f"{folder / CONFIG}: sampler.kind is missing, so the {table.get('class', 'sampler')} of this search cannot "
            "be rebuilt; pass it as resume(folder, sampler=...)"
        )
    try:
        return make_sampler(
            table["kind"],
            load_space(folder),
            encoder=load_encoder(folder),
            candidates=load_candidates(folder),
            hyperparameters=load_hyperparameters(folder),
            seed=table.get("seed"),
        )
    except ValueError as error:
        raise StudyError(f"{folder / CONFIG}: sampler.kind: {error}") from None


def _sampler_class(kind: str) -> Any:
    from graphnas import search

    return {
        "latent-bo": search.LatentBOSampler,
        "latent-pareto": search.LatentParetoSampler,
        "latent-joint": search.LatentJointSampler,
        "gradient": search.GradientSearchSampler,
        "random": search.RandomCellSampler,
        "evolution": search.RegularizedEvolutionSampler,
        "local-search": search.LocalSearchSampler,
        "feature-bo": search.FeatureBOSampler,
        "bananas": search.BananasSampler,
        "npenas": search.NPENASSampler,
        "guided": search.PredictorGuidedSampler,
        "forest": search.TreeEnsembleSampler,
        "xgboost": search.TreeEnsembleSampler,
        "bohb": search.BOHBSampler,
        "tpe": optuna.samplers.TPESampler,
        "nsga2": optuna.samplers.NSGAIISampler,
    }[kind]
