"""Spaces of training hyperparameters, which a joint search looks through together with a space of architectures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from graphnas.checked_toml import read_checked
from graphnas.content import content_folder

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

HYPERPARAMETERS_KEY = "graphnas:hyperparameters"
"""Trial attribute with the settings of a joint search, a JSON object."""

Settings = Mapping[str, Any]
"""Values of active hyperparameters by name."""

FloatArray = NDArray[np.float64]

_HAMMING = 1 / math.sqrt(2)  # an indicator's value, so that two different choices are one apart
_INACTIVE = 0.5  # a number that has no meaning beside the other settings


@dataclass(frozen=True)
class Hyperparameter:
    """A number in a range, or one of several choices.

    Raises:
        ValueError: naming what is wrong.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    """A whole number if both ends are."""
    log: bool = False
    """Whether the logarithm is what is uniform."""
    choices: tuple[str | int | float | bool, ...] = ()
    """In place of a range."""
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values of earlier hyperparameters with which this one has a meaning; any if empty."""

    def __post_init__(self) -> None:
        if self.choices:
            if len(set(map(repr, self.choices))) < len(self.choices) or len(self.choices) < 2:
                raise ValueError(f"expected two or more different choices, but got {list(self.choices)!r}")
            return
        ends = (self.low, self.high)
        if not all(type(end) in (int, float) and math.isfinite(end) for end in ends) or not self.low < self.high:
            raise ValueError(f"expected numbers low < high, but got {self.low!r} and {self.high!r}")
        if self.log and self.low <= 0:
            raise ValueError(f"expected low above 0 where log is true, but got {self.low!r}")

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def width(self) -> int:
        """Columns in the unit cube: one for a number, one for each choice."""
        return len(self.choices) or 1

    def distribution(self) -> BaseDistribution:
        """As Optuna's distribution."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def row(self) -> dict[str, Any]:
        """As in a file."""
        when = {"when": {name: list(values) for name, values in self.when.items()}} if self.when else {}
        if self.choices:
            return {"choices": list(self.choices), **when}
        return {"low": self.low, "high": self.high, "log": self.log, **when}

    def contains(self, value: Any) -> bool:
        """Whether it may have a value."""
        if self.choices:
            return any(_is_same(value, one) for one in self.choices)
        kinds = (int,) if self.whole else (int, float)
        return type(value) in kinds and self.low <= value <= self.high

    def to_unit(self, value: Any) -> FloatArray:
        """`width` coordinates of a value."""
        if self.choices:
            return _HAMMING * np.array([float(_is_same(value, one)) for one in self.choices])
        low, high = self._ends()
        return np.array([((math.log(value) if self.log else value) - low) / (high - low)])

    def from_unit(self, columns: FloatArray) -> Any:
        """The value nearest to `width` coordinates."""
        if self.choices:
            return self.choices[int(columns.argmax())]
        low, high = self._ends()
        value = low + float(columns[0]) * (high - low)
        value = min(max(math.exp(value) if self.log else value, self.low), self.high)
        return min(max(round(value), int(self.low)), int(self.high)) if self.whole else float(value)

    def snap(self, points: FloatArray) -> FloatArray:
        """`n x width` coordinates of the values nearest to others."""
        if self.choices:
            indicators: FloatArray = _HAMMING * np.eye(self.width)[points.argmax(1)]
            return indicators
        points = points.clip(0.0, 1.0)
        if not self.whole:
            return points
        low, high = self._ends()
        values = low + points * (high - low)
        values = np.round(np.exp(values) if self.log else values).clip(self.low, self.high)
        snapped: FloatArray = ((np.log(values) if self.log else values) - low) / (high - low)
        return snapped

    @property
    def inactive(self) -> float:
        """Its coordinates where it has no value."""
        return 0.0 if self.choices else _INACTIVE

    def _ends(self) -> tuple[float, float]:
        return (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)


class HyperparameterSpace:
    """Hyperparameters of trainings, read from a TOML file.

    Each key of the table `[hyperparameters]` is the name of one: `{ low = 1e-3, high = 1.0, log = true }` for a number,
    a whole one if both ends are, or `{ choices = ["sgd", "adamw"] }`. With `when = { optimizer = "sgd" }` it has a
    meaning with some values of an earlier one only, and no value otherwise.

    Example:
        >>> space = HyperparameterSpace.load("sgd")
        >>> settings, = space.sample(1, np.random.default_rng(0))
        >>> space.from_unit(space.to_unit([settings])) == [settings]
        True
    """

    def __init__(self, parameters: Sequence[Hyperparameter], *, title: str = "", paper: str = "") -> None:
        self.parameters = tuple(parameters)
        """In the order in which they are chosen."""
        self.title = title
        self.paper = paper
        ends = np.cumsum([parameter.width for parameter in self.parameters]).tolist()
        self.columns = {
            parameter.name: slice(start, end)
            for parameter, start, end in zip(self.parameters, [0, *ends], ends, strict=False)
        }
        """Each one's columns in the unit cube."""
        self.width = ends[-1]
        """Columns of all."""

    @classmethod
    def load(cls, name_or_path: str | Path) -> Self:
        """Read a space that comes with the library, by name, or a file of one's own, by path.

        Raises:
            ValueError: naming the file, the hyperparameter and what is wrong.
        """
        return cls.of(read_hyperparameters(name_or_path))

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Self:
        """The space of a file's content.

        Raises:
            ValueError: naming the hyperparameter, what was expected and what came.
        """
        known = ("title", "paper", "hyperparameters")
        unknown = sorted(set(table) - set(known))
        if unknown:
            raise ValueError(f"expected the keys {', '.join(known)}, but got {', '.join(unknown)}")
        for key in ("title", "paper"):
            if not isinstance(table.get(key, ""), str):
                raise ValueError(f"{key}: expected text, but got {table[key]!r}")
        rows = table.get("hyperparameters")
        if not isinstance(rows, Mapping) or not rows:
            raise ValueError(f"hyperparameters: expected a table of one or more, but got {rows!r:.200}")
        parameters: dict[str, Hyperparameter] = {}
        for name, row in rows.items():
            try:
                parameters[name] = _parameter(name, row, parameters)
            except ValueError as error:
                raise ValueError(f"hyperparameters.{name}: {error}") from None
        return cls(tuple(parameters.values()), title=table.get("title", ""), paper=table.get("paper", ""))

    @staticmethod
    def names() -> list[str]:
        """Names of the spaces that come with the library."""
        return sorted(path.stem for path in (content_folder("spaces") / "hyperparameters").glob("*.toml"))

    def table(self) -> dict[str, Any]:
        """What `of` makes this space of."""
        rows = {parameter.name: parameter.row() for parameter in self.parameters}
        return {"title": self.title, "paper": self.paper, "hyperparameters": rows}

    def __repr__(self) -> str:
        return f"HyperparameterSpace({', '.join(self.columns)})"

    def __getitem__(self, name: str) -> Hyperparameter:
        return next(parameter for parameter in self.parameters if parameter.name == name)

    def validate(self, settings: Settings) -> None:
        """Refuse settings that are not of this space.

        Raises:
            ValueError: naming the hyperparameter, what was expected and what came.
        """
        for parameter in self.parameters:
            if not _is_active(parameter, settings):
                if parameter.name in settings:
                    raise ValueError(f"Expected no {parameter.name} unless {dict(parameter.when)}, but got one")
            elif parameter.name not in settings or not parameter.contains(settings[parameter.name]):
                what = list(parameter.choices) or f"{parameter.low!r} to {parameter.high!r}"
                raise ValueError(f"Expected {parameter.name} of {what}, but got {settings.get(parameter.name)!r}")
        unknown = sorted(set(settings) - set(self.columns))
        if unknown:
            raise ValueError(f"Expected the hyperparameters {', '.join(self.columns)}, but got {', '.join(unknown)}")

    # Drawing

    def sample(self, n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`n` random settings, independent; every number uniform, or its logarithm."""
        return self.from_unit(self.sample_unit(n, rng))

    def sample_unit(self, n: int, rng: np.random.Generator) -> FloatArray:
        """`n x width` random points, each of which stands for settings, not yet rounded to these."""
        return rng.random((n, self.width))

    # Coordinates

    def to_unit(self, settings: Sequence[Settings]) -> FloatArray:
        """`n x width` coordinates: numbers in `[0, 1]`, choices as indicators, those without a value in the middle."""
        points = np.zeros((len(settings), self.width))
        for parameter in self.parameters:
            columns = self.columns[parameter.name]
            for row, one in enumerate(settings):
                known = parameter.name in one
                points[row, columns] = parameter.to_unit(one[parameter.name]) if known else parameter.inactive
        return points

    def snap(self, points: FloatArray) -> FloatArray:
        """`to_unit(from_unit(points))` of `n x width` points, without the detour."""
        snapped = points.clip(0.0, 1.0)
        active: dict[str, NDArray[np.bool_]] = {}
        for parameter in self.parameters:
            columns = self.columns[parameter.name]
            here = np.ones(len(points), dtype=bool)
            for other, values in parameter.when.items():
                wanted = np.array([self[other].to_unit(value) for value in values])
                near = np.abs(snapped[:, None, self.columns[other]] - wanted).max(-1) < 1e-9
                here &= near.any(1) & active[other]
            active[parameter.name] = here
            snapped[:, columns] = np.where(here[:, None], parameter.snap(points[:, columns]), parameter.inactive)
        return snapped

    def from_unit(self, points: FloatArray) -> list[dict[str, Any]]:
        """The settings nearest to `n x width` points."""
        found: list[dict[str, Any]] = []
        for point in points:
            settings: dict[str, Any] = {}
            for parameter in self.parameters:
                if _is_active(parameter, settings):
                    settings[parameter.name] = parameter.from_unit(point[self.columns[parameter.name]])
            found.append(settings)
        return found

    # Optuna

    def distributions(self) -> dict[str, BaseDistribution]:
        """One Optuna distribution for each."""
        return {parameter.name: parameter.distribution() for parameter in self.parameters}

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Ask a trial for settings, which are stored on it."""
        settings: dict[str, Any] = {}
        for parameter in self.parameters:
            if not _is_active(parameter, settings):
                continue
            if parameter.choices:
                value: Any = trial.suggest_categorical(parameter.name, parameter.choices)
            elif parameter.whole:
                value = trial.suggest_int(parameter.name, int(parameter.low), int(parameter.high), log=parameter.log)
            else:
                value = trial.suggest_float(parameter.name, parameter.low, parameter.high, log=parameter.log)
            settings[parameter.name] = value
        trial.set_user_attr(HYPERPARAMETERS_KEY, settings)
        return settings


def read_hyperparameters(name_or_path: str | Path) -> dict[str, Any]:
    """The checked content of a file, which `HyperparameterSpace.of` takes.

    Raises:
        ValueError: naming the file, the hyperparameter and what is wrong.
    """
    text = str(name_or_path)
    known = HyperparameterSpace.names()
    if not text.endswith(".toml") and text not in known:
        raise ValueError(f"{text}: no such hyperparameters; known: {', '.join(known)}, or a .toml file")
    path = Path(text) if text.endswith(".toml") else content_folder("spaces") / "hyperparameters" / f"{text}.toml"
    return read_checked(path, HyperparameterSpace.of)


def _parameter(name: str, row: Any, earlier: Mapping[str, Hyperparameter]) -> Hyperparameter:
    """A hyperparameter of a row of a file.

    Raises:
        ValueError: saying what is wrong.
    """
    keys = {"low", "high", "log", "choices", "when"}
    if not name.isidentifier():
        raise ValueError("expected a name of letters, digits and underscores")
    if not isinstance(row, Mapping) or set(row) - keys or ("choices" in row) == ("low" in row or "high" in row):
        raise ValueError(f"expected low and high, or choices, and perhaps log or when, but got {row!r:.200}")
    if (
        ("low" in row) != ("high" in row)
        or type(row.get("log", False)) is not bool
        or ("choices" in row and "log" in row)
    ):
        raise ValueError(f"expected low and high, and log of true or false, but got {row!r:.200}")
    when: dict[str, tuple[Any, ...]] = {}
    conditions = row.get("when", {})
    if not isinstance(conditions, Mapping):
        raise ValueError(f"when: expected a table of values by name, but got {conditions!r:.200}")
    for other, values in conditions.items():
        when[other] = tuple(values) if isinstance(values, list) else (values,)
        if other not in earlier or not all(map(earlier[other].contains, when[other])):
            raise ValueError(f"when.{other}: expected values of an earlier hyperparameter, but got {values!r:.200}")
        if not earlier[other].choices and not earlier[other].whole:
            raise ValueError(f"when.{other}: expected one of choices or whole numbers, which {other} is not")
    choices = row.get("choices", [])
    if not isinstance(choices, list) or not all(type(one) in (str, int, float, bool) for one in choices):
        raise ValueError(f"choices: expected a list of texts, numbers or truth values, but got {choices!r:.200}")
    if "choices" in row:
        if not choices:
            raise ValueError("expected two or more different choices, but got []")
        return Hyperparameter(name, choices=tuple(choices), when=when)
    return Hyperparameter(name, row["low"], row["high"], row.get("log", False), when=when)


def _is_active(parameter: Hyperparameter, settings: Settings) -> bool:
    return all(
        other in settings and any(_is_same(settings[other], value) for value in values)
        for other, values in parameter.when.items()
    )


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of one kind; to Python true is 1."""
    return type(one) is type(other) and bool(one == other)
