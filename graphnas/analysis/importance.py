"""Which hyperparameters, and what about architectures, make the difference: functional analysis of variance."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats.qmc import LatinHypercube

from graphnas.cell import Architecture, is_input
from graphnas.encoders.statistics import graph_statistics
from graphnas.spaces import HyperparameterSpace, Space

FloatArray = NDArray[np.float64]

ARCHITECTURE = "architecture"
"""Name of the factor that is the whole architecture."""

_Predict = Callable[[FloatArray, FloatArray], FloatArray]

_TREES = 96
_VALUES = 32  # of a hyperparameter
_ARCHITECTURES = 192  # random ones that are the values of the architecture
_BACKGROUND = 24  # random settings over which effects are averaged
_MANY = 64  # random settings of each architecture that show the variance of all
_FEW = 16  # architectures over which interactions of settings are averaged


class Effect(NamedTuple):
    """Share of the variance over the space that one factor, or two together beyond each alone, account for."""

    factors: tuple[str, ...]
    """One or two names."""
    share: float


class Importance(NamedTuple):
    """An analysis of variance."""

    explained: float
    """Share of the variance of the values that the forest predicts of trials it has not seen (out of bag); effects of
    a forest that explains little say little."""
    main: tuple[Effect, ...]
    """Each hyperparameter, and the architecture as a whole; largest first."""
    aspects: tuple[Effect, ...]
    """Aspects of the architecture; they overlap, so their shares need not add up to that of the whole."""
    pairs: tuple[Effect, ...]
    """Interactions of two of `main`, and of a hyperparameter with an aspect; largest first."""


def importance(
    space: Space,
    architectures: Sequence[Architecture],
    values: Sequence[float],
    *,
    hyperparameters: HyperparameterSpace | None = None,
    settings: Sequence[dict[str, Any]] = (),
    seed: int = 0,
) -> Importance:
    """Functional analysis of variance of a random forest (Hutter et al. 2014, ICML), over the whole space.

    The forest predicts values from settings (logarithms of those that have them) and statistics of the graph. Its
    variance is taken over random architectures and uniform settings, independent of one another, so the architecture is
    one factor with as many values as there are cells, and what is legal stays legal. The share of a factor is the
    variance of the mean over all others; that of a pair is what the mean given both adds to their two effects. Aspects,
    such as the number of convolutions, are given by the architectures that have them.

    Effects say what mattered in the range that was searched. Trials of a search that has learnt where to look say
    little of the rest of it; those of a random search do.

    Args:
        space: The space of the architectures.
        architectures: `n` architectures.
        values: `n` values; those that are not finite, of failed trials, count as the worst.
        hyperparameters: The space of the settings; none if None.
        settings: `n` settings, if there are hyperparameters.
        seed: Of the forest and of what it is averaged over.

    Raises:
        ValueError: if there are fewer than ten different values, or lengths differ.
    """
    from sklearn.ensemble import RandomForestRegressor

    outcomes = np.asarray(values, dtype=np.float64)
    if len(architectures) != len(outcomes) or (hyperparameters is not None and len(settings) != len(outcomes)):
        raise ValueError(
            f"Expected as many architectures and settings as values, but got {len(architectures)}, {len(settings)} and "
            f"{len(outcomes)}"
        )
    finite = outcomes[np.isfinite(outcomes)]
    if len(set(finite.tolist())) < 10:
        raise ValueError(
            f"Expected ten or more different values of trials that were not ended early, but got "
            f"{len(set(finite.tolist()))}"
        )
    outcomes = np.where(np.isfinite(outcomes), outcomes, finite.min())
    rng = np.random.default_rng(seed)
    names, known = _aspects(space, architectures)
    width = 0 if hyperparameters is None else hyperparameters.width
    points = np.zeros((len(outcomes), 0)) if hyperparameters is None else hyperparameters.to_unit(settings)
    forest = RandomForestRegressor(
        _TREES, max_features=0.5, min_samples_leaf=2, oob_score=True, random_state=seed, n_jobs=1
    ).fit(np.column_stack([points, known]), outcomes)

    def predict(units: FloatArray, cells: FloatArray) -> FloatArray:
        found: FloatArray = forest.predict(np.column_stack([units, cells]))
        return found

    _, drawn = _aspects(space, space.sample(_ARCHITECTURES, rng))
    background = _spread(hyperparameters, _BACKGROUND, rng)
    table = _crossed(predict, background[None], drawn)[0]  # settings x architectures
    # Other settings for each architecture: as many independent ones as there are predictions.
    many = _spread(hyperparameters, _MANY * len(drawn), rng)
    total = float(predict(many, np.repeat(drawn, _MANY, axis=0)).var())
    if total == 0:
        return Importance(float(forest.oob_score_), (), (), ())
    main = {ARCHITECTURE: float(table.mean(0).var())}
    aspects = {name: _between(table.mean(0), column) for name, column in zip(names, drawn.T, strict=True)}
    pairs: dict[tuple[str, str], float] = {}
    parameters = () if hyperparameters is None else hyperparameters.parameters
    varied: dict[str, FloatArray] = {}
    for parameter in parameters:
        assert hyperparameters is not None
        varied[parameter.name] = _varied(hyperparameters, parameter.name, background)
        # values x settings x architectures
        cube = _crossed(predict, varied[parameter.name], drawn)
        by_value = cube.mean(1)
        main[parameter.name] = float(by_value.mean(1).var())
        pairs[parameter.name, ARCHITECTURE] = _interaction(by_value)
        for name, column in zip(names, drawn.T, strict=True):
            groups = _groups(column)
            means = np.stack([by_value[:, groups == group].mean(1) for group in range(groups.max() + 1)], 1)
            pairs[parameter.name, name] = _interaction(means, np.bincount(groups) / len(groups))
    for one, other in itertools.combinations([parameter.name for parameter in parameters], 2):
        assert hyperparameters is not None
        few = drawn[:: len(drawn) // _FEW]
        both = _varied(hyperparameters, other, varied[one].reshape(-1, width))  # other x (one x settings) x width
        shape = (both.shape[0], varied[one].shape[0], -1)
        means = _crossed(predict, both, few).mean(2).reshape(shape).mean(2)
        pairs[one, other] = _interaction(means)
    return Importance(
        float(forest.oob_score_),
        _effects({(name,): value for name, value in main.items()}, total),
        _effects({(name,): value for name, value in aspects.items()}, total),
        _effects(pairs, total),
    )


def _aspects(space: Space, architectures: Sequence[Architecture]) -> tuple[list[str], FloatArray]:
    """Names and `n x f` numbers of what there is to say of architectures, cell by cell."""
    arrays = space.topology.simplify(space.to_arrays(list(architectures)))
    statistics = graph_statistics(arrays, space.vocabulary).reshape(len(architectures), -1)
    inputs = [label for label in space.vocabulary if is_input(label)]
    kinds = space.vocabulary[len(inputs) + 1 :]
    names = [
        "vertices", "edges", "longest path", "shortest path", "mean path", "log paths", "edges into the output",
        *(f"edges out of {label}" for label in inputs), *(f"{label} to the output" for label in inputs),
        *kinds, *(f"{kind} on a path" for kind in kinds),
    ]  # fmt: skip
    if len(space.cell_names) > 1:
        names = [f"{cell}: {name}" for cell in space.cell_names for name in names]
    return names, statistics


def _crossed(
    predict: Callable[[FloatArray, FloatArray], FloatArray], units: FloatArray, cells: FloatArray
) -> FloatArray:
    """`k x m x n` predictions of `k x m x width` settings with each of `n x f` architectures."""
    k, m, width = units.shape
    n = len(cells)
    flat = np.repeat(units.reshape(k * m, width), n, axis=0)
    return predict(flat, np.tile(cells, (k * m, 1))).reshape(k, m, n)


def _varied(space: HyperparameterSpace, name: str, background: FloatArray) -> FloatArray:
    """`values x m x width` settings: those of the background with each value of one hyperparameter."""
    parameter, columns = space[name], space.columns[name]
    number = len(parameter.choices) or _VALUES
    units = np.repeat(background[None], number, axis=0)
    grid = np.eye(number) if parameter.choices else ((np.arange(number) + 0.5) / number)[:, None]
    units[:, :, columns] = grid[:, None]
    return space.snap(units.reshape(-1, space.width)).reshape(units.shape)


def _interaction(means: FloatArray, weights: FloatArray | None = None) -> float:
    """Variance of a table of means that neither rows nor columns account for; columns have weights."""
    weights = np.full(means.shape[1], 1 / means.shape[1]) if weights is None else weights
    rows, columns = means @ weights, means.mean(0)
    rest = means - rows[:, None] - columns + float(columns @ weights)
    return float((rest**2).mean(0) @ weights)


def _groups(column: FloatArray) -> NDArray[np.int64]:
    """Numbers of the groups of equal values, or of a few quantiles where there are many."""
    many = len(np.unique(column)) > 8
    ranks = np.searchsorted(np.quantile(column, [0.2, 0.4, 0.6, 0.8]), column) if many else column
    return np.unique(ranks, return_inverse=True)[1]


def _spread(space: HyperparameterSpace | None, n: int, rng: np.random.Generator) -> FloatArray:
    """`n x width` random settings, each hyperparameter's values evenly spread (Latin hypercube)."""
    if space is None:
        return np.zeros((n, 0))
    return space.snap(LatinHypercube(space.width, rng=rng).random(n))


def _between(values: FloatArray, column: FloatArray) -> float:
    """Variance between the means of groups."""
    groups = _groups(column)
    sizes = np.bincount(groups)
    means = np.bincount(groups, values) / sizes
    return float((sizes / len(values)) @ (means - values.mean()) ** 2)


def _effects(found: dict[Any, float], total: float) -> tuple[Effect, ...]:
    effects = [Effect(tuple(factors), value / total) for factors, value in found.items()]
    return tuple(sorted(effects, key=lambda effect: -effect.share))
