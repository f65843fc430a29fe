"""How networks are trained, as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from graphnas.checked_toml import read_checked
from graphnas.training import TrainingConfig

_KEYS = ("title", "paper", "epochs", "network", "training")


@dataclass(frozen=True)
class TrainingRecipe:
    """Epochs, sizes of the skeleton and settings of a training, such as those that a paper reports.

    A TOML file holds `epochs`, `[network]` with sizes of the space's skeleton and `[training]` with fields of
    `TrainingConfig`, all of which may be missing, and for its readers `title` and `paper`.

    Example:
        >>> from graphnas.evaluate import TrainingEvaluator
        >>> from graphnas.spaces import Space
        >>> recipe = TrainingRecipe.of({"epochs": 2, "network": {"channels": 8}, "training": {"optimizer": "adamw"}})
        >>> evaluator = TrainingEvaluator(Space.load("nasbench101"), "digits", **recipe.arguments())
    """

    epochs: int | None
    """Epochs of a training without a budget."""
    sizes: Mapping[str, int]
    """Sizes of the skeleton by name."""
    config: TrainingConfig
    """Settings of the training."""

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The recipe in a file.

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
        for key in ("network", "training"):
            if not isinstance(table.get(key, {}), Mapping):
                raise ValueError(f"Expected {key} to be a table, but got {table[key]!r}")
        settings = table.get("training", {})
        known = [field.name for field in fields(TrainingConfig)]
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise ValueError(f"Expected the settings {', '.join(known)} of a training, but got {', '.join(unknown)}")
        return cls(epochs, dict(table.get("network", {})), TrainingConfig(**settings))

    def arguments(self) -> dict[str, Any]:
        """Arguments of `TrainingEvaluator`."""
        given = {} if self.epochs is None else {"epochs": self.epochs}
        return {**given, "sizes": self.sizes, "config": self.config}


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The checked content of a recipe's file, which `TrainingRecipe.of` takes.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    return read_checked(path, TrainingRecipe.of)
