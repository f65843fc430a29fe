"""`graphnas search`: propose, evaluate, record, and end with the best cell as a network."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.board import BoardOption, SearchBoard, check_board, open_board
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
    read_limits,
    set_threads,
)
from graphnas.cli.engine import (
    AddressOption,
    EngineChoice,
    EngineOption,
    GpusOption,
    TimeoutOption,
    WorkersOption,
)
from graphnas.cli.goals import AtLeastOption, AtMostOption, Goals, MaximizeOption, MinimizeOption
from graphnas.cli.joint import AmongOption, JointOption, check_joint, read_joint
from graphnas.cli.objectives import (
    EpochsOption,
    ImagesOption,
    MetricOption,
    ObjectiveOption,
    PredictionsOption,
    RecipeOption,
    SizeOption,
    TaskOption,
    computes,
    make_evaluator,
    objective_word,
    recipe_table,
    value_label,
)
from graphnas.cli.search_folder import check_coverage, create_search, encoder_name, read_settings
from graphnas.cli.search_result import conclude, write_report

if TYPE_CHECKING:
    import optuna

    from graphnas.evaluate import Evaluator
    from graphnas.spaces import HyperparameterSpace, Space
    from graphnas.studies import Fidelity


def search(
    space: Annotated[
        str | None, typer.Argument(metavar="SPACE", help="Name of a space, or path of a space file.")
    ] = None,
    limit: LimitOption = None,
    task: TaskOption = None,
    size: SizeOption = None,
    images: ImagesOption = None,
    objective: ObjectiveOption = None,
    metric: MetricOption = None,
    maximize: MaximizeOption = None,
    minimize: MinimizeOption = None,
    at_most: AtMostOption = None,
    at_least: AtLeastOption = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Finished trials at the end; 40 if not given.")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            "--sampler",
            help="What proposes cells: latent-bo (latent-pareto for several objectives, latent-joint with --joint) if "
            "not given, gradient, random, evolution, local-search, feature-bo, bananas, npenas, guided, forest, "
            "xgboost, bohb, tpe or nsga2; settings follow, as in latent-bo:acquisition=log-ei.",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", help="Name of a trained encoder, or its folder; the space's own if not given."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of everything random; 0 if not given.")
    ] = None,
    epochs: EpochsOption = None,
    recipe: RecipeOption = None,
    predictions: PredictionsOption = False,
    fidelity: Annotated[
        str | None,
        typer.Option(
            "--fidelity",
            help="End candidates that fall behind at few epochs: hyperband or halving; settings follow, as in "
            "hyperband:least=3:factor=3:restarted=true.",
        ),
    ] = None,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, help="Networks that are kept, those of the best; 5 if not given.")
    ] = None,
    workers: WorkersOption = None,
    timeout: TimeoutOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    gpus: GpusOption = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Minutes after which no further candidate starts.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of results; results/DATE-NAME if not given.")
    ] = None,
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on with the search of this folder.")] = None,
    init: Annotated[Path | None, typer.Option("--init", help="File of architectures to evaluate first.")] = None,
    among: AmongOption = None,
    joint: JointOption = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="Database server that keeps the trials, as in postgresql+psycopg://me@host/searches; a file in the "
            "folder if not given.",
        ),
    ] = None,
    tensorboard: BoardOption = None,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Search a space for the best cell.

    Everything is kept in one folder: the study, figures, the report, and the best cell as a drawing and as a network
    in plain PyTorch. A search that was killed goes on with --resume FOLDER and loses nothing that had finished.

    [bold]Examples[/bold]

      graphnas search nasbench101 --task digits --trials 40

      graphnas search nasbench101 --objective table --sampler evolution --trials 150 --workers 0

      graphnas search nasbench201 --objective table --minimize lat_ms_pixel3 --at-most params_m_c100=1 --trials 100

      graphnas search nasbench101 --task digits --joint sgd-small --epochs 27 --fidelity hyperband --trials 100

      graphnas search --resume results/2025-01-31-nasbench101-digits
    """
    set_threads(1)
    import optuna

    from graphnas import studies
    from graphnas.evaluate import TrainingEvaluator

    if tensorboard is not None:
        check_board()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if resume is not None:
        given = {
            "SPACE": space, "--limit": limit, "--task": task, "--size": size, "--images": images,
            "--objective": objective, "--metric": metric, "--maximize": maximize, "--minimize": minimize,
            "--at-most": at_most, "--at-least": at_least, "--sampler": sampler, "--encoder": encoder, "--seed": seed,
            "--epochs": epochs, "--fidelity": fidelity, "--recipe": recipe, "--predictions": predictions or None,
            "--out": out, "--init": init, "--among": among, "--joint": joint,
            "--storage": storage,
        }  # fmt: skip
        for name, value in given.items():
            if value is not None:
                raise typer.BadParameter(
                    f"{name} is a setting of the search in {resume} and cannot be changed by --resume"
                )
        folder = resume
        settings = read_settings(folder)
        study = studies.resume(folder)
        goals = Goals.of_settings(settings)
        loaded = studies.load_space(folder)
        hyperparameters = studies.load_hyperparameters(folder)
    else:
        if space is None:
            raise typer.BadParameter("SPACE is missing; `graphnas spaces list` shows what there is")
        loaded = open_space(space, limit)
        word = objective_word(task, objective, size, images)
        goals = Goals.of_options(maximize, minimize, at_most, at_least)
        hyperparameters = None if joint is None else read_joint(joint)
        kind = goals.sampler(sampler, joint=joint is not None)
        settings = {
            "space": {"name": loaded.name, "file": "space.toml" if space.endswith(".toml") else None}
            | read_limits(limit),
            "sampler": {
                "kind": kind,
                "seed": seed or 0,
                "encoder": encoder_name(
                    loaded,
                    studies.split_sampler(kind)[0],
                    encoder,
                    instead="bohb" if joint is not None else "nsga2" if len(goals.directions) > 1 else "evolution",
                ),
            },
            "evaluator": {
                "objective": word,
                "metric": metric,
                "epochs": epochs,
                "recipe": recipe_table(recipe),
                "predictions": predictions or None,
            },
            "search": {
                "trials": trials or 40,
                "keep": keep or 5,
                "fidelity": fidelity,
            },
        }
        study = None
    table = settings["search"]
    n_trials = trials or int(table["trials"])
    where = EngineChoice.of(table, kind=engine, workers=workers, timeout=timeout, address=address, gpus=gpus)
    keep = keep or int(table.get("keep", 5))
    objective = settings["evaluator"]["objective"]
    prepare = partial(
        make_evaluator,
        objective,
        loaded,
        metric=settings["evaluator"].get("metric"),
        epochs=settings["evaluator"].get("epochs"),
        recipe=settings["evaluator"].get("recipe"),
        predictions=bool(settings["evaluator"].get("predictions")),
        further=goals.metrics,
        # A table answers without computing; asking torch for devices would only cost time.
        device=where.device(device) if computes(objective) else "cpu",
    )
    rungs = None
    if study is not None:
        part = "evaluator"
        try:
            evaluator = prepare()
            part = "search.fidelity"
            if table.get("fidelity") is not None:
                rungs = studies.Fidelity.of(table["fidelity"], evaluator)
        except (typer.BadParameter, ValueError) as error:
            # Nobody has typed these words now.
            reason = error.message if isinstance(error, typer.BadParameter) else error
            raise BadData(f"{folder / studies.CONFIG}: {part}: {reason}") from None
    else:
        evaluator = prepare()
        if fidelity is not None:
            if len(goals.directions) > 1:
                raise typer.BadParameter("--fidelity compares candidates by one objective; it excludes several")
            if goals.at_most or goals.at_least:
                raise typer.BadParameter("--fidelity compares candidates by their values alone; it excludes bounds")
            given = studies.split_sampler(kind)[1]
            if given.get("acquisition") == "thompson":
                raise typer.BadParameter("--fidelity: Thompson sampling learns from one budget only")
            if "predictor" in given:
                raise typer.BadParameter("--fidelity: a predictor that judges candidates learns from one budget only")
            try:
                rungs = studies.Fidelity.of(fidelity, evaluator)
            except ValueError as error:
                raise typer.BadParameter(f"--fidelity: {error}") from None
        if hyperparameters is not None:
            check_joint(hyperparameters, evaluator)
        check_coverage(evaluator, loaded, goals, () if rungs is None else rungs.budgets)
        heeded = studies.split_sampler(kind)[0] in studies.HEED_BOUNDS
        if (goals.at_most or goals.at_least) and not heeded:
            complain(f"{kind} proposes without regard to the bounds; {', '.join(studies.HEED_BOUNDS)} heed them")
        # The table's own choice is written down too: another file may choose another metric.
        settings["evaluator"]["metric"] = getattr(evaluator, "query", None)
        settings["search"] |= where.settings
        folder, study = create_search(
            out,
            word,
            loaded,
            evaluator,
            settings,
            goals,
            hyperparameters=hyperparameters,
            init=init,
            among=among,
            storage=storage,
        )
    screen = console()
    try:
        with _terminable() as check:
            try:
                _run(
                    study,
                    loaded,
                    evaluator,
                    None if as_json else screen,
                    check,
                    n_trials=n_trials,
                    where=where,
                    minutes=minutes,
                    keep=keep,
                    fidelity=rungs,
                    hyperparameters=hyperparameters,
                    tensorboard=tensorboard,
                )
            except studies.TooManyFailures as error:
                report = write_report(folder, study, loaded, evaluator)
                raise Failed(f"{error}; see {report}; graphnas search --resume {folder} goes on") from None
            if isinstance(evaluator, TrainingEvaluator):
                # Tasks of a cluster may have had a GPU where this machine has none.
                evaluator.device = choose_device(Device.auto if device is Device.cuda else device)
            conclude(folder, study, loaded, evaluator, screen, as_json)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; graphnas search --resume {folder} goes on") from None


def _run(
    study: optuna.Study,
    space: Space,
    evaluator: Evaluator,
    screen: Any,
    check: Callable[[], None],
    *,
    n_trials: int,
    where: EngineChoice,
    minutes: float | None,
    keep: int,
    fidelity: Fidelity | None,
    hyperparameters: HyperparameterSpace | None,
    tensorboard: Path | None,
) -> None:
    from graphnas import studies
    from graphnas.cli.live import SearchDisplay
    from graphnas.engines import EngineError

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
                    label=" / ".join(studies.labels(study, value_label(evaluator))),
                )
            )
        try:
            left = n_trials - len(studies.finished(study))
            executor = stack.enter_context(where.start(left, getattr(evaluator, "device", "cpu")))
        except (ImportError, EngineError) as error:
            folder = studies.folder_of(study)
            raise Failed(f"{error}; graphnas search --resume {folder} goes on, also with another engine") from None

        board = None
        if tensorboard is not None:
            writer = stack.enter_context(open_board(tensorboard, step=len(study.trials)))
            board = SearchBoard(writer, study)

        def on_event(event: studies.Event) -> None:
            check()
            for listener in (display, board):
                if listener is not None:
                    listener(event)

        studies.run(
            study,
            space,
            evaluator,
            n_trials=n_trials,
            executor=executor,
            timeout=None if minutes is None else minutes * 60,
            fidelity=fidelity,
            hyperparameters=hyperparameters,
            keep=keep,
            on_event=on_event,
            seed=studies.read_config(studies.folder_of(study) or Path())["sampler"].get("seed", 0),
        )
        encoder = None if board is None else studies.load_encoder(studies.folder_of(study) or Path())
        if board is not None and encoder is not None:
            board.project(encoder)


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
