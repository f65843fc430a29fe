"""`graphnas search`: propose, evaluate, record, and end with the best cell as a network."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.console import (
    BadData,
    Device,
    DeviceOption,
    Failed,
    JsonOption,
    LimitOption,
    choose_device,
    complain,
    console,
    open_space,
    print_json,
    print_table,
    read_limits,
    set_threads,
)
from graphnas.cli.objectives import (
    EpochsOption,
    MetricOption,
    ObjectiveOption,
    SizeOption,
    TaskOption,
    make_evaluator,
    objective_word,
    test_best,
    value_label,
)
from graphnas.cli.samplers import Sampler

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from graphnas.cell import Architecture
    from graphnas.evaluate import Evaluator
    from graphnas.spaces import Space

_COVERAGE = 0.01  # least share of a space that a table must hold to be searched


def search(
    space: Annotated[
        str | None, typer.Argument(metavar="SPACE", help="Name of a space, or path of a space file.")
    ] = None,
    limit: LimitOption = None,
    task: TaskOption = None,
    size: SizeOption = None,
    objective: ObjectiveOption = None,
    metric: MetricOption = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Finished trials at the end; 40 if not given.")
    ] = None,
    sampler: Annotated[
        Sampler | None, typer.Option("--sampler", help="What proposes cells; latent-bo if not given.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", help="Name of a trained encoder, or its folder; the space's own if not given."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of everything random; 0 if not given.")
    ] = None,
    epochs: EpochsOption = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, help="Worker processes; 0 evaluates in this one. 2 by default.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=1, help="Seconds after which a candidate is killed.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Minutes after which no further candidate starts.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of results; results/DATE-NAME if not given.")
    ] = None,
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on with the search of this folder.")] = None,
    init: Annotated[Path | None, typer.Option("--init", help="File of architectures to evaluate first.")] = None,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Search a space for the best cell.

    Everything is kept in one folder: the study, figures, the report, and the best cell as a drawing and as a network
    in plain PyTorch. A search that was killed goes on with --resume FOLDER and loses nothing that had finished.

    [bold]Examples[/bold]

      graphnas search nasbench101 --task digits --trials 40

      graphnas search nasbench101 --objective table --sampler evolution --trials 150 --workers 0

      graphnas search --resume results/2025-01-31-nasbench101-digits
    """
    set_threads(1)
    import optuna

    from graphnas import studies

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if resume is not None:
        given = {
            "SPACE": space, "--limit": limit, "--task": task, "--size": size, "--objective": objective,
            "--metric": metric, "--sampler": sampler, "--encoder": encoder, "--seed": seed, "--epochs": epochs,
            "--out": out, "--init": init,
        }  # fmt: skip
        for name, value in given.items():
            if value is not None:
                raise typer.BadParameter(
                    f"{name} is a setting of the search in {resume} and cannot be changed by --resume"
                )
        folder = resume
        settings = _read_settings(folder)
        study = studies.resume(folder)
        loaded = studies.load_space(folder)
    else:
        if space is None:
            raise typer.BadParameter("SPACE is missing; `graphnas spaces list` shows what there is")
        loaded = open_space(space, limit)
        word = objective_word(task, objective, size)
        settings = {
            "space": {"name": loaded.name, "file": "space.toml" if space.endswith(".toml") else None}
            | read_limits(limit),
            "sampler": {
                "kind": (sampler or Sampler.latent_bo).value,
                "seed": seed or 0,
                "encoder": _encoder_name(loaded, sampler, encoder),
            },
            "evaluator": {"objective": word, "metric": metric, "epochs": epochs},
            "search": {"trials": trials or 40, "workers": 2 if workers is None else workers},
        }
        study = None
    table = settings["search"]
    n_trials = trials or int(table["trials"])
    workers = int(table["workers"]) if workers is None else workers
    timeout = table.get("timeout") if timeout is None else timeout
    objective = settings["evaluator"]["objective"]
    prepare = partial(
        make_evaluator,
        objective,
        loaded,
        metric=settings["evaluator"].get("metric"),
        epochs=settings["evaluator"].get("epochs"),
        # A table answers without computing; asking torch for devices would only cost time.
        device=choose_device(device) if objective.startswith("task") else "cpu",
    )
    if study is not None:
        try:
            evaluator = prepare()
        except (typer.BadParameter, ValueError) as error:
            # Nobody has typed these words now.
            reason = error.message if isinstance(error, typer.BadParameter) else error
            raise BadData(f"{folder / studies.CONFIG}: evaluator: {reason}") from None
    else:
        evaluator = prepare()
        _check_coverage(evaluator, loaded)
        # The table's own choice is written down too: another file may choose another metric.
        settings["evaluator"]["metric"] = getattr(evaluator, "query", None)
        settings["search"]["timeout"] = timeout
        folder, study = _create(out, word, loaded, evaluator, settings, init)
    screen = console()
    try:
        with _terminable() as check:
            try:
                _run(study, loaded, evaluator, n_trials, workers, timeout, minutes, None if as_json else screen, check)
            except studies.TooManyFailures as error:
                report = _report(folder, study, loaded, evaluator)
                raise Failed(f"{error}; see {report}; graphnas search --resume {folder} goes on") from None
            _conclude(folder, study, loaded, evaluator, screen, as_json)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; graphnas search --resume {folder} goes on") from None


def _check_coverage(evaluator: Evaluator, space: Space) -> None:
    """Refuse a table of so few architectures that a search would hardly ever meet one."""
    table = getattr(evaluator, "table", None)
    if table is not None and space.size is not None and len(table) < _COVERAGE * space.size:
        raise typer.BadParameter(
            f"{table.path.name} holds {len(table):,} of the {space.size:,} architectures of {space.name}, so a search "
            "would hardly ever meet one; `graphnas evaluate` looks given ones up"
        )


def _encoder_name(space: Space, sampler: Sampler | None, encoder: str | None) -> str | None:
    from graphnas.content import content_folder

    if encoder is None:
        shipped = content_folder("encoders") / space.name / "config.toml"
        if not shipped.is_file():
            if sampler in (None, Sampler.latent_bo, Sampler.gradient):
                raise BadData(
                    f"There is no trained encoder for {space.name}: fit one with `graphnas train` and give its folder "
                    "as --encoder, or choose --sampler evolution"
                )
            return None
        return space.name
    return str(Path(encoder).absolute()) if Path(encoder).is_dir() else encoder


def _read_settings(folder: Path) -> dict[str, Any]:
    """The settings of a search that this command has begun.

    Raises:
        StudyError: naming the one that is missing or wrong.
    """
    from graphnas import studies

    settings = studies.read_config(folder)
    check = partial(studies.setting, folder, settings)
    check("search.trials", int, least=1)
    check("search.workers", int, least=0)
    check("search.timeout", float, least=1, optional=True)
    check("evaluator.objective", str)
    check("evaluator.metric", str, optional=True)
    check("evaluator.epochs", int, least=1, optional=True)
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


def _create(
    out: Path | None,
    objective: str,
    space: Space,
    evaluator: Evaluator,
    settings: dict[str, Any],
    init: Path | None,
) -> tuple[Path, optuna.Study]:
    from graphnas import studies

    first = [] if init is None else _read_first(init, space)
    encoder = None
    if settings["sampler"]["encoder"] is not None:
        from graphnas.encoders import CellAutoencoder

        encoder = CellAutoencoder.from_pretrained(settings["sampler"]["encoder"], space=space)
    try:
        sampler = studies.make_sampler(
            settings["sampler"]["kind"], space, encoder=encoder, seed=settings["sampler"]["seed"]
        )
    except ImportError as error:
        raise Failed(str(error)) from None
    folder = _new_folder(space, objective) if out is None else out
    study = studies.create(folder, space, evaluator, sampler, config=settings)
    for architecture in first:
        study.enqueue_trial(space.parameters(architecture))
    return folder, study


def _read_first(path: Path, space: Space) -> list[Architecture]:
    """The architectures of a file, of equal ones the first."""
    from graphnas.cli.architectures import read_architectures

    found = read_architectures(path, space)
    once: dict[str, Architecture] = {}
    for key, architecture in zip(space.hashes(found), found, strict=True):
        once.setdefault(key, architecture)
    if len(once) < len(found):
        complain(f"{path}: {len(found) - len(once)} of {len(found)} architectures repeat another and are left out")
    return list(once.values())


def _run(
    study: optuna.Study,
    space: Space,
    evaluator: Evaluator,
    n_trials: int,
    workers: int,
    timeout: float | None,
    minutes: float | None,
    screen: Any,
    check: Callable[[], None],
) -> None:
    from graphnas import studies
    from graphnas.cli.live import SearchDisplay
    from graphnas.engines import LocalProcesses

    with contextlib.ExitStack() as stack:
        display = None
        if screen is not None:
            best = studies.best(study)
            display = stack.enter_context(
                SearchDisplay(
                    screen,
                    n_trials,
                    len(studies.finished(study)),
                    best=best[0].values[0] if best else None,
                    label=value_label(evaluator),
                )
            )
        # No more workers than there are trials to do; one that a killed search has begun is done in any case.
        workers = min(workers, max(1, n_trials - len(studies.finished(study))))
        engine = stack.enter_context(LocalProcesses(workers, 1, timeout)) if workers else None

        def on_event(event: studies.Event) -> None:
            check()
            if display is not None:
                display(event)

        studies.run(
            study,
            space,
            evaluator,
            n_trials=n_trials,
            executor=engine,
            timeout=None if minutes is None else minutes * 60,
            on_event=on_event,
            seed=studies.read_config(studies.folder_of(study) or Path())["sampler"].get("seed", 0),
        )


def _conclude(
    folder: Path, study: optuna.Study, space: Space, evaluator: Evaluator, screen: Any, as_json: bool
) -> None:
    """Judge the best cell on test data, once, and write everything that a search leaves."""
    from graphnas import studies
    from graphnas.report import page

    best = studies.best(study, 5)
    finished = studies.finished(study)
    if not best:
        reasons = [trial.user_attrs.get("graphnas:reason", "") for trial in finished]
        report = _report(folder, study, space, evaluator)
        raise Failed(
            f"no candidate could be evaluated; the last reason: {reasons[-1] if reasons else 'no trial'}; see {report}"
        )
    winner = best[0]
    try:
        test, network = _test(evaluator, winner, folder)
        if network is not None:
            from graphnas.networks import export_source

            export_source(
                network,
                folder,
                title=f"The best cell of a search of {space.name}: trial {winner.number}.",
            )
    except Exception:
        # Whatever keeps the best cell from its test, what was found before is worth a report.
        _report(folder, study, space, evaluator)
        raise
    report = _report(folder, study, space, evaluator, test)
    label = value_label(evaluator)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "trials": len(finished),
                "failed": len(finished) - len(study.get_trials(deepcopy=False, states=(_complete(),))),
                "sources": page.sources(finished),
                "best": [_record(rank, trial) for rank, trial in enumerate(best, start=1)],
                "test": test,
                "report": str(report),
            }
        )
        return
    print_table(
        f"Best {len(best)} of {len(finished)} trials",
        ("rank", "trial", "cell", label, "parameters", "source", "seconds"),
        [_row(rank, trial) for rank, trial in enumerate(best, start=1)],
        right=f"rank trial parameters seconds {label}" if " " not in label else "rank trial parameters seconds",
    )
    counts = ", ".join(f"{count} {source}" for source, count in page.sources(finished).items())
    screen.print(f"\nSources of the proposals: {counts}", highlight=False)
    if "test_accuracy" in test:
        screen.print(f"Test accuracy of the best cell: [bold]{test['test_accuracy']:.4f}[/bold]", highlight=False)
    screen.print(f"Results: {folder}/ (open {report.name})", highlight=False, soft_wrap=True)


def _test(evaluator: Evaluator, winner: FrozenTrial, folder: Path) -> tuple[dict[str, float], Any]:
    """Test metrics and network of the best trial; what its training left is set aside where it is of no use."""
    from graphnas import studies
    from graphnas.evaluate import EvaluationFailed

    place = folder / "trials" / str(winner.number)
    test = partial(
        test_best,
        evaluator,
        studies.architecture(winner),
        seed=winner.user_attrs["graphnas:seed"],
        budget=winner.user_attrs["graphnas:budget"],
        folder=place,
    )
    try:
        return test()
    except (ValueError, LookupError, TypeError, AttributeError, EvaluationFailed) as error:
        checkpoints = sorted(place.glob("*.safetensors"))
        if not checkpoints:
            raise
        for path in checkpoints:
            path.replace(path.with_name(f"{path.name}.damaged"))
        names = " and ".join(f"{path} to {path.name}.damaged" for path in checkpoints)
        complain(f"{error}; renamed {names}, and the network is trained again")
    return test()


def _report(
    folder: Path, study: optuna.Study, space: Space, evaluator: Evaluator, test: dict[str, float] | None = None
) -> Path:
    from graphnas import studies
    from graphnas.report import page

    encoder = studies.load_encoder(folder)
    return page.write_report(folder, study, space, encoder=encoder, test=test, label=value_label(evaluator))


def _complete() -> Any:
    from optuna.trial import TrialState

    return TrialState.COMPLETE


def _row(rank: int, trial: FrozenTrial) -> Sequence[Any]:
    from graphnas import studies
    from graphnas.report import page

    count = page.parameters(trial)
    return (
        rank,
        trial.number,
        page.compact(studies.architecture(trial), width=110),
        f"{trial.values[0]:.4f}",
        None if count is None else f"{count:,}",
        trial.user_attrs.get("graphnas:source", ""),
        f"{trial.user_attrs.get('graphnas:seconds') or 0:.1f}",
    )


def _record(rank: int, trial: FrozenTrial) -> dict[str, Any]:
    from graphnas.report import page

    return {
        "rank": rank,
        "trial": trial.number,
        "value": trial.values[0],
        "parameters": page.parameters(trial),
        "source": trial.user_attrs.get("graphnas:source", ""),
        "seconds": trial.user_attrs.get("graphnas:seconds"),
        "architecture": json.loads(trial.user_attrs["graphnas:architecture"]),
    }


@contextlib.contextmanager
def _terminable() -> Iterator[Callable[[], None]]:
    """Let a request to terminate end the search as an interrupt does.

    Yields:
        What raises an interrupt that was lost: one that comes while a callback of a library runs may be swallowed.
    """
    lost = False

    def interrupt(number: int, frame: object) -> None:
        nonlocal lost
        lost = True
        raise KeyboardInterrupt

    def check() -> None:
        if lost:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
