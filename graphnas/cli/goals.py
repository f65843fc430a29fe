"""What a search is after beside the evaluator's value: further objectives, and bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

MaximizeOption = Annotated[
    list[str] | None,
    typer.Option("--maximize", metavar="METRIC", help="A further objective; may be repeated."),
]
MinimizeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--minimize",
        metavar="METRIC",
        help="A further objective, such as parameters, macs or a table's latency; may be repeated.",
    ),
]
AtMostOption = Annotated[
    list[str] | None,
    typer.Option("--at-most", metavar="METRIC=NUMBER", help="Bound that the best cell must keep; may be repeated."),
]
AtLeastOption = Annotated[
    list[str] | None, typer.Option("--at-least", metavar="METRIC=NUMBER", help="The same from below.")
]


@dataclass(frozen=True)
class Goals:
    """Objectives and bounds of a search, as `studies.create` takes them."""

    directions: tuple[str, ...] = ("maximize",)
    objectives: tuple[str, ...] = ("value",)
    at_most: Mapping[str, float] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_options(
        cls,
        maximize: Sequence[str] | None,
        minimize: Sequence[str] | None,
        at_most: Sequence[str] | None,
        at_least: Sequence[str] | None,
    ) -> Goals:
        """Goals from what was typed.

        Raises:
            typer.BadParameter: if an objective or a bound is given twice, or no value keeps both bounds of a metric.
        """
        names = [*(maximize or ()), *(minimize or ())]
        for name in names:
            if name == "value" or names.count(name) > 1:
                raise typer.BadParameter(f"--maximize and --minimize: {name!r} is an objective already")
        upper, lower = _bounds("--at-most", at_most), _bounds("--at-least", at_least)
        for name in upper.keys() & lower.keys():
            if lower[name] > upper[name]:
                raise typer.BadParameter(f"no {name} is at least {lower[name]:g} and at most {upper[name]:g}")
        directions = ["maximize", *("maximize" for _ in maximize or ()), *("minimize" for _ in minimize or ())]
        return cls(tuple(directions), ("value", *names), upper, lower)

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> Goals:
        """Goals of a search that was begun, from its `config.toml`."""
        return cls(
            tuple(settings["directions"]),
            tuple(settings.get("objectives", ("value",))),
            settings.get("at_most") or {},
            settings.get("at_least") or {},
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that results have to hold, beside the value."""
        names = dict.fromkeys((*self.objectives, *self.at_most, *self.at_least))
        return tuple(name for name in names if name != "value")

    def sampler(self, word: str | None, *, joint: bool = False) -> str:
        """The word of the sampler, or that of the default one.

        Args:
            word: See `studies.split_sampler`.
            joint: Whether hyperparameters are searched too.

        Raises:
            typer.BadParameter: if there is no such sampler, or it does not fit the number of objectives or `joint`.
        """
        from graphnas import studies

        several = len(self.objectives) > 1
        if word is None:
            if joint:
                return "tpe" if several else "latent-joint"
            return "latent-pareto" if several else "latent-bo"
        try:
            kind, settings = studies.split_sampler(word)
        except ValueError as error:
            raise typer.BadParameter(f"--sampler: {error}") from None
        if joint and kind not in studies.JOINT_SAMPLERS:
            names = ", ".join(studies.JOINT_SAMPLERS)
            raise typer.BadParameter(f"--sampler {kind} searches no hyperparameters; with --joint choose {names}")
        if kind == "latent-joint" and not joint:
            raise typer.BadParameter("--sampler latent-joint searches hyperparameters too: add --joint")
        if several and kind not in studies.SEVERAL_OBJECTIVES:
            names = ", ".join(studies.SEVERAL_OBJECTIVES)
            raise typer.BadParameter(f"--sampler {kind} takes one objective; {names} take several")
        if not several and kind == "latent-pareto":
            raise typer.BadParameter("--sampler latent-pareto needs several objectives: add --minimize or --maximize")
        reference = settings.get("reference_point")
        if reference is not None and len(reference) != len(self.objectives):
            raise typer.BadParameter(
                f"--sampler {word}: expected a reference_point of {len(self.objectives)} numbers, one for each "
                "objective, with + between them"
            )
        return word


def _bounds(option: str, texts: Sequence[str] | None) -> dict[str, float]:
    """Bounds by metric from the texts `METRIC=NUMBER` of an option."""
    found: dict[str, float] = {}
    for text in texts or ():
        name, _, number = text.partition("=")
        try:
            bound = float(number)
        except ValueError:
            bound = math.nan
        if not name or not math.isfinite(bound):
            raise typer.BadParameter(f"{option} {text!r}: expected METRIC=NUMBER, such as parameters=2e6")
        if name in found:
            raise typer.BadParameter(f"{option}: {name} has a bound already, {found[name]:g}")
        found[name] = bound
    return found
