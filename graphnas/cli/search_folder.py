"""How a search begins: its settings, its folder, and the architectures that come first."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from graphnas.cli.console import BadData, Failed, complain
from graphnas.cli.engine import EngineName
from graphnas.cli.goals import Goals

if TYPE_CHECKING:
    import optuna

    from graphnas.cli.architectures import Candidate
    from graphnas.evaluate import Evaluator
    from graphnas.spaces import HyperparameterSpace, Space

_COVERAGE = 0.01  # least share of a space that a table must hold to be searched
_KNOWN = 0.9  # least share of a table's architectures that must have a metric which every candidate needs


def check_coverage(evaluator: Evaluator, space: Space, goals: Goals, budgets: Sequence[int] = ()) -> None:
    """Refuse a table of so few architectures, or so few with some metric, that a search would hardly ever meet one.

    Args:
        evaluator: The table's.
        space: The space that is searched.
        goals: Metrics that every candidate needs.
        budgets: Epochs after which candidates are compared as well.
    """
    import numpy as np

    from graphnas.evaluate import TableEvaluator

    if not isinstance(evaluator, TableEvaluator):
        return
    table = evaluator.table
    for name in (*goals.metrics, *(evaluator.budgets[budget] for budget in budgets)):
        if name == evaluator.query and name in goals.objectives:
            raise typer.BadParameter(f"{name!r} is what the search maximises already, under the name value")
        known = int((~np.isnan(table.column(name).astype(float))).sum())
        if known < _KNOWN * len(table):
            raise typer.BadParameter(
                f"{name!r} is known of {known:,} of the {len(table):,} architectures of {table.path.name}, so most "
                "candidates would fail"
            )
    if space.size is not None and len(table) < _COVERAGE * space.size:
        raise typer.BadParameter(
            f"{table.path.name} holds {len(table):,} of the {space.size:,} architectures of {space.name}, so a search "
            "would hardly ever meet one; `graphnas evaluate` looks given ones up"
        )


def encoder_name(space: Space, kind: str, encoder: str | None, *, instead: str) -> str | None:
    """The encoder that a search keeps in its settings; None where there is none and the sampler needs none.

    Raises:
        BadData: if the sampler needs one.
    """
    from graphnas import studies
    from graphnas.content import content_folder

    if encoder is None:
        own = space.pretrained
        if not (content_folder("encoders") / own / "config.toml").is_file():
            if kind in studies.LATENT_SAMPLERS:
                raise BadData(
                    f"There is no trained encoder for {space.name}: fit one with `graphnas train` and give its folder "
                    f"as --encoder, or choose --sampler {instead}"
                )
            return None
        return own
    return str(Path(encoder).absolute()) if Path(encoder).is_dir() else encoder


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of a search that this command has begun.

    Raises:
        StudyError: naming the one that is missing or wrong.
    """
    from graphnas import studies

    settings = studies.read_config(folder)
    check = partial(studies.setting, folder, settings)
    check("search.trials", int, least=1)
    check("search.workers", int, least=0, optional=True)
    engine = check("search.engine", str, optional=True)
    if engine not in (None, *EngineName):
        known = ", ".join(EngineName)
        raise studies.StudyError(f"{folder / studies.CONFIG}: search.engine: expected {known}, but got {engine!r:.200}")
    check("search.address", str, optional=True)
    check("search.gpus_per_trial", float, least=0, optional=True)
    check("search.timeout", float, least=1, optional=True)
    check("search.keep", int, least=1, optional=True)
    check("search.fidelity", str, optional=True)
    check("evaluator.objective", str)
    check("evaluator.metric", str, optional=True)
    check("evaluator.epochs", int, least=1, optional=True)
    check("evaluator.recipe", dict, optional=True)
    check("evaluator.predictions", bool, optional=True)
    check("sampler.kind", str)
    return settings


def _new_folder(space: Space, objective: str) -> Path:
    """Make a folder for results that no other search has."""
    kind, _, what = objective.partition(":")
    # A folder of images is named by its last part, without its size.
    what = kind if kind == "table" else Path(what.rpartition("@")[0] or what).name
    name = f"{date.today().isoformat()}-{space.name}-{what}"
    for number in itertools.count(1):
        folder = Path("results") / (name if number == 1 else f"{name}-{number}")
        # Not looked for beforehand: of searches that start at the same moment each gets its own.
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def create_search(
    out: Path | None,
    objective: str,
    space: Space,
    evaluator: Evaluator,
    settings: dict[str, Any],
    goals: Goals,
    *,
    hyperparameters: HyperparameterSpace | None,
    init: Path | None,
    among: Path | None,
    storage: str | None,
) -> tuple[Path, optuna.Study]:
    """Make the folder and the study of a search.

    Args:
        out: The folder; one of its own in results/ if None.
        objective: Word of the evaluator.
        space: Space to search.
        evaluator: What will judge candidates.
        settings: For `config.toml`.
        goals: Objectives and bounds.
        hyperparameters: What is searched beside architectures.
        init: File of architectures that come first.
        among: File of the only architectures.
        storage: URL of a database server; None for a file in the folder.
    """
    from graphnas import studies

    begun = [] if init is None else _read_first(init, space)
    first = [one.architecture for one in begun]
    candidates = None if among is None else [one.architecture for one in _read_first(among, space)]
    kind = studies.split_sampler(settings["sampler"]["kind"])[0]
    if candidates is not None and kind in studies.OPTUNA_SAMPLERS:
        raise typer.BadParameter(f"--among: {kind} is Optuna's own sampler, which proposes any architecture")
    if candidates is not None and not {*space.hashes(first)} <= {*space.hashes(candidates)}:
        raise typer.BadParameter("--init has architectures that are not --among those of the search")
    encoder = None
    if settings["sampler"]["encoder"] is not None:
        from graphnas.encoders import CellAutoencoder

        encoder = CellAutoencoder.from_pretrained(settings["sampler"]["encoder"], space=space)
    try:
        sampler = studies.make_sampler(
            settings["sampler"]["kind"],
            space,
            encoder=encoder,
            candidates=candidates,
            hyperparameters=hyperparameters,
            seed=settings["sampler"]["seed"],
        )
    except ImportError as error:
        raise Failed(str(error)) from None
    except ValueError as error:
        raise typer.BadParameter(f"--sampler: {error}") from None
    if storage is not None:
        try:
            studies.check_server(storage)
        except ValueError as error:
            raise typer.BadParameter(f"--storage: {error}") from None
    folder = _new_folder(space, objective) if out is None else out
    study = studies.create(
        folder,
        space,
        evaluator,
        sampler,
        directions=goals.directions,
        objectives=goals.objectives,
        at_most=goals.at_most,
        at_least=goals.at_least,
        hyperparameters=hyperparameters,
        candidates=candidates,
        first=[space.parameters(one.architecture) | _given(one, hyperparameters) for one in begun],
        storage=storage,
        config=settings,
    )
    return folder, study


def _given(candidate: Candidate, hyperparameters: HyperparameterSpace | None) -> dict[str, Any]:
    """Settings of a file that are searched here, where they are within their ranges."""
    if hyperparameters is None:
        return {}
    known = {one.name: one for one in hyperparameters.parameters}
    return {name: value for name, value in candidate.settings.items() if name in known and known[name].contains(value)}


def _read_first(path: Path, space: Space) -> list[Candidate]:
    """The candidates of a file, of equal architectures the first."""
    from graphnas.cli.architectures import read_candidates

    found = read_candidates(path, space)
    once: dict[str, Candidate] = {}
    for key, one in zip(space.hashes([one.architecture for one in found]), found, strict=True):
        once.setdefault(key, one)
    if len(once) < len(found):
        complain(f"{path}: {len(found) - len(once)} of {len(found)} architectures repeat another and are left out")
    return list(once.values())
