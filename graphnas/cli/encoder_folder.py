"""The folder of a trained encoder: where it is, and what its files tell of its training."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from graphnas.cli.console import BadData

if TYPE_CHECKING:
    from graphnas.analysis import TrainingSplit
    from graphnas.spaces import Space


@dataclass(frozen=True)
class Training:
    """What `metrics.json` tells of the training; the defaults of `graphnas train` where it tells nothing."""

    seed: int = 0
    held_out: int = 5_000
    drawn: int = 200_000
    """Architectures drawn from a large space."""
    share: float = 1.0
    """Share of the architectures not held out that it was fitted to."""
    limits: dict[str, Any] = field(default_factory=dict)
    """Settings of `--limit`."""
    labelled: bool = False
    """Whether it was fitted to performances too."""
    only: bool = False
    """Whether it was fitted to labelled architectures alone."""
    added: frozenset[str] = frozenset()
    """Hashes of labelled architectures that it was fitted to although the split keeps them apart."""
    cells: int | None = None
    """Cells that the encoder was fitted to; None if not known."""

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Training:
        """Fields of the record and of the settings in it."""
        settings = record.get("settings")
        settings = settings if isinstance(settings, dict) else {}
        found: dict[str, tuple[Any, type]] = {
            "seed": (record.get("seed"), int),
            "cells": (record.get("cells"), int),
            "held_out": (settings.get("held_out"), int),
            "drawn": (settings.get("cells"), int),
            "share": (settings.get("share"), float),
            "limits": (settings.get("limit"), dict),
        }
        values: dict[str, Any] = {name: value for name, (value, kind) in found.items() if isinstance(value, kind)}
        labels = record.get("labels")
        added = labels.get("added") if isinstance(labels, dict) else None
        return cls(
            **values,
            labelled=labels is not None,
            only=isinstance(labels, dict) and labels.get("only") is True,
            added=frozenset(map(str, added)) if isinstance(added, list) else frozenset(),
        )

    def without_added(self, split: TrainingSplit, space: Space) -> TrainingSplit:
        """The split with those labelled architectures on the training side too."""
        import numpy as np

        from graphnas.analysis import TrainingSplit
        from graphnas.cell import stack_arrays

        moved = np.array([key in self.added for key in space.hashes(split.held_out)])
        if not moved.any():
            return split
        held_out, further = (space.take(split.held_out, np.flatnonzero(part)) for part in (~moved, moved))
        return TrainingSplit(held_out, stack_arrays([split.train, further]))

    def differences(self, other: Training, *, listed: bool) -> list[str]:
        """Settings in which another training keeps other architectures apart, each with both values.

        Args:
            other: The other training.
            listed: Whether the space is listed, where it does not matter how many architectures would be drawn.
        """
        pairs = {
            "--seed": (self.seed, other.seed),
            "--held-out": (self.held_out, other.held_out),
            "--cells": (0, 0) if listed else (self.drawn, other.drawn),
            "--share": (self.share, other.share),
            "--limit": (self.limits, other.limits),
        }
        return [f"{option} {mine} and {its}" for option, (mine, its) in pairs.items() if mine != its]


def encoder_and_space(encoder: str) -> tuple[str, str | None]:
    """A name or folder, and the space behind it, as in `universal:darts`; None if there is none."""
    from graphnas.spaces import Space

    name, sign, space = encoder.rpartition(":")
    return (name, space) if sign and space in Space.names() else (encoder, None)


def encoder_folder(encoder: str) -> Path:
    """The folder of an encoder, by path or by name."""
    from graphnas.content import content_folder

    known = content_folder("encoders")
    for folder in (Path(encoder), known / encoder):
        if (folder / "config.toml").is_file():
            return folder
    names = ", ".join(sorted(path.parent.name for path in known.glob("*/config.toml")))
    raise typer.BadParameter(f"{encoder!r} is no trained encoder; known: {names}, or a folder that holds one")


def config_of(folder: Path) -> dict[str, Any]:
    """What `config.toml` holds."""
    path = folder / "config.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadData(f"{path}: {error}") from None


def record_of(folder: Path) -> dict[str, Any]:
    """What `metrics.json` holds; nothing if there is none."""
    path = folder / "metrics.json"
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadData(f"{path}: {error}") from None
    if not isinstance(record, dict):
        raise BadData(f"{path}: expected an object, but got {record!r:.80}")
    return record


def quality_of(record: Mapping[str, Any]) -> dict[str, float]:
    """The measures of quality in a record that are numbers."""
    measured = record.get("quality")
    if not isinstance(measured, dict):
        return {}
    return {name: value for name, value in measured.items() if isinstance(value, int | float)}


def summary(folder: Path) -> dict[str, Any]:
    """The line of an encoder in a list of them."""
    config, weights = config_of(folder), folder / "model.safetensors"
    settings, vocabulary = config.get("encoder", {}), config.get("vocabulary", [])
    if not isinstance(vocabulary, list) or not all(isinstance(label, str) for label in vocabulary):
        raise BadData(f"{folder / 'config.toml'}: vocabulary: expected a list of names, but got {vocabulary!r:.80}")
    return {
        "name": folder.name,
        "space": config.get("space"),
        "latent_dim": settings.get("latent_dim") if isinstance(settings, dict) else None,
        "bytes": weights.stat().st_size if weights.is_file() else 0,
        "vocabulary": vocabulary,
        "reconstruction": quality_of(record_of(folder)).get("reconstruction"),
        "folder": str(folder),
    }
