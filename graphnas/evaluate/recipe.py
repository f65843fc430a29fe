"""How networks are trained, as a file."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from graphnas.checked_toml import read_checked
from graphnas.content import content_folder
from graphnas.training import TrainingConfig

_KEYS = ("title", "paper", "epochs", "max_seconds", "network", "training")


@dataclass(frozen=True)
class TrainingRecipe:
    """Epochs, sizes of the skeleton and settings of a training, such as those that a paper reports.

    A TOML file holds `epochs` or `max_seconds`, `[network]` with sizes of the space's skeleton and `[training]` with
    fields of `TrainingConfig`, all of which may be missing, and for its readers `title` and `paper`.

    Example:
        >>> from graphnas.evaluate import TrainingEvaluator
        >>> from graphnas.spaces import Space
        >>> recipe = TrainingRecipe.of({"epochs": 2, "network": {"channels": 8}, "training": {"optimizer": "adamw"}})
        >>> evaluator = TrainingEvaluator(Space.load("nasbench101"), "digits", **recipe.arguments())
    """

    epochs: int | None
    """Epochs of a training without a budget."""
    max_seconds: float | None
    """Seconds of it, in place of epochs."""
    sizes: Mapping[str, int]
    """Sizes of the skeleton by name."""
    config: TrainingConfig
    """Settings of the training."""

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The recipe of `read_recipe`.

        Raises:
            ValueError: naming the file and what is wrong with it.
        """
        return cls.of(read_recipe(path))

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Self:
        """The recipe of a file's content.

        Raises:
            ValueError: naming the key, what was expected and what came.
        """
        unknown = sorted(set(table) - set(_KEYS))
        if unknown:
            raise ValueError(f"Expected the keys {', '.join(_KEYS)}, but got {', '.join(unknown)}")
        epochs = table.get("epochs")
        if epochs is not None and (type(epochs) is not int or epochs < 1):
            raise ValueError(f"Expected epochs to be a positive integer, but got {epochs!r}")
        seconds = table.get("max_seconds")
        if seconds is not None and (type(seconds) not in (int, float) or not 0 < seconds < math.inf):
            raise ValueError(f"Expected max_seconds to be a finite number above 0, but got {seconds!r}")
        if epochs is not None and seconds is not None:
            raise ValueError(f"Expected either epochs or max_seconds, but got {epochs} and {seconds}")
        for key in ("title", "paper"):
            if not isinstance(table.get(key, ""), str):
                raise ValueError(f"Expected {key} to be text, but got {table[key]!r}")
        for key in ("network", "training"):
            if not isinstance(table.get(key, {}), Mapping):
                raise ValueError(f"Expected {key} to be a table, but got {table[key]!r}")
        settings = table.get("training", {})
        known = [field.name for field in fields(TrainingConfig)]
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise ValueError(f"Expected the settings {', '.join(known)} of a training, but got {', '.join(unknown)}")
        return cls(epochs, seconds, dict(table.get("network", {})), TrainingConfig(**settings))

    def arguments(self) -> dict[str, Any]:
        """Arguments of `TrainingEvaluator`."""
        budget = {"epochs": self.epochs, "max_seconds": self.max_seconds}
        given = {name: value for name, value in budget.items() if value is not None}
        return {**given, "sizes": self.sizes, "config": self.config}


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The checked content of a recipe, which `TrainingRecipe.of` takes.

    Args:
        path: A TOML file; or the `best.json` of a joint search, whose settings of the training it is, with those of the
            recipe that the search was made with; or the name of a published recipe that comes with the library:
            nasbench101, nasbench201 or darts.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    file = Path(path)
    if file.suffix == ".json":
        return _found(file)
    shipped = content_folder("recipes") / f"{path}.toml"
    return read_checked(shipped if file.name == str(path) and not file.suffix and shipped.is_file() else file, _check)


def _found(path: Path) -> dict[str, Any]:
    """The settings that a joint search found, as a recipe."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8")).get("hyperparameters")
        if not isinstance(settings, dict) or not settings:
            raise ValueError("expected the hyperparameters of a joint search, but it has none")
        table = {"training": {**_searched_with(path.with_name("config.toml")), **settings}}
        _check(table)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from None
    return table


def _searched_with(path: Path) -> dict[str, Any]:
    """The settings of the training by a search's `config.toml`, beside those it searched; none without the file."""
    if not path.exists():
        return {}
    recipe = tomllib.loads(path.read_text(encoding="utf-8")).get("evaluator", {}).get("recipe", {})
    return dict(recipe.get("training", {}))


def _check(table: Mapping[str, Any]) -> None:
    TrainingRecipe.of(table)
