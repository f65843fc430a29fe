"""`graphnas bench`: compare search methods on benchmark tables."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.console import (
    BadData,
    JsonOption,
    console,
    print_json,
    print_table,
    progress_lines,
    set_threads,
    writing,
)

if TYPE_CHECKING:
    from graphnas.bench import Protocol, Run

_METHODS = "latent-bo,evolution,random"


def bench(
    protocols: Annotated[
        list[str], typer.Argument(metavar="PROTOCOL...", help="p101-full, p101-val, p201 or enas; one or more.")
    ],
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            help="Names with commas between, each with its settings, as in "
            "latent-bo:acquisition=log-ei; the first is what others are compared with.",
        ),
    ] = _METHODS,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Searches of each method.")] = 10,
    first_seed: Annotated[int, typer.Option("--first-seed", min=0, help="Seed of the first search.")] = 0,
    queries: Annotated[
        int | None, typer.Option("--queries", min=1, help="Queries of a search; the protocol's if not given.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Proposals at a time; the protocol's if not given.")
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option("--encoder", metavar="SPACE=ENCODER", help="Encoder of a space; that of its name if not given."),
    ] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Searches at a time, one thread each.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder of results; what it holds is not repeated.")] = (
        Path("results/bench")
    ),
    as_json: JsonOption = False,
) -> None:
    """Compare search methods on tables: every proposal is looked up, and every class of architectures counts once.

    The folder then holds results.json (equal for equal seeds), timings.json, curves and mean ranks as SVG, and the
    checklist of best practices. Where the table knows how long every training took, there is a curve over that time
    as well. A comparison that was stopped goes on when the same command is typed again, and one with more seeds or
    methods searches what is missing; these files are always those of the last command.

    [bold]Example[/bold]

      graphnas bench p101-full p201 --methods latent-bo,bananas,evolution,random --seeds 20 --processes 2
    """
    set_threads(1)
    from graphnas import studies
    from graphnas.bench import compare

    names = [name.strip() for name in methods.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter(f"--methods: expected names out of {', '.join(studies.SAMPLERS)}")
    try:
        for name in names:
            kind = studies.split_sampler(name)[0]
            if kind == "latent-pareto":
                raise ValueError("latent-pareto needs several objectives, and a protocol has one")
            if kind == "latent-joint":
                raise ValueError("latent-joint searches hyperparameters, which a table has none of")
        chosen = compare.named(list(dict.fromkeys(protocols)), queries=queries, batch=batch)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    names = list(dict.fromkeys(names))
    encoders = _encoders(encoder, {protocol.space for protocol in chosen})
    numbers = range(first_seed, first_seed + seeds)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    try:
        optima = {protocol.name: _optimum(protocol) for protocol in chosen}
        with progress_lines(_line) as progress:
            runs = compare.compare(
                chosen, names, numbers, out, encoders=encoders, processes=processes, progress=progress
            )
    except (FileNotFoundError, ValueError) as error:
        raise BadData(str(error)) from None
    report = compare.report(runs, chosen, optima)
    command = shlex.join(studies.environment(first_seed)["command"])
    with writing(out):
        _write(out, runs, chosen, names, numbers, report, optima, command)
    if as_json:
        print_json({"folder": str(out), **report})
        return
    _print(report, runs)
    typer.echo(f"Written to {out}/")


def _encoders(given: Sequence[str] | None, spaces: Collection[str]) -> dict[str, str]:
    found = {}
    for text in given or ():
        space, sign, name = text.partition("=")
        if not (space and sign and name):
            raise typer.BadParameter(f"--encoder {text!r}: expected SPACE=ENCODER, such as nasbench101=mine")
        if space not in spaces:
            raise typer.BadParameter(f"--encoder {text!r}: expected a space of {', '.join(sorted(spaces))}")
        # Workers have a folder of their own.
        found[space] = str(Path(name).absolute()) if Path(name).is_dir() else name
    return found


def _optimum(protocol: Protocol) -> float:
    import numpy as np

    from graphnas.evaluate import open_table

    return float(np.nanmax(open_table(protocol.space).column(protocol.query)))


def _line(run: Run) -> str:
    return f"{run.protocol}  {run.method}  seed {run.seed}  {100 * run.best[-1]:.3f}"


def _write(
    out: Path,
    runs: Sequence[Run],
    protocols: Sequence[Protocol],
    methods: Sequence[str],
    seeds: Sequence[int],
    report: dict[str, Any],
    optima: dict[str, float],
    command: str,
) -> None:
    from graphnas import studies
    from graphnas.bench.checklist import checklist
    from graphnas.bench.statistics import curves
    from graphnas.report.bench_figures import clock_curves, critical_differences, search_curves

    studies.write_text(out / "results.json", json.dumps(report, indent=1) + "\n")
    timings = {
        "command": command,
        "environment": studies.environment(seeds[0]),
        "cpu_seconds": {
            protocol.name: {
                method: [run.seconds for run in runs if (run.protocol, run.method) == (protocol.name, method)]
                for method in methods
            }
            for protocol in protocols
        },
    }
    studies.write_text(out / "timings.json", json.dumps(timings, indent=1) + "\n")
    for protocol in protocols:
        by_method = {
            method: 100 * curves([run for run in runs if (run.protocol, run.method) == (protocol.name, method)])
            for method in methods
        }
        axes: dict[str, Any] = {"ylabel": f"{protocol.query}, %", "optimum": 100 * optima[protocol.name]}
        studies.write_text(out / f"{protocol.name}.svg", search_curves(by_method, **axes))
        simulated = report["protocols"][protocol.name].get("simulated_hours")
        if simulated is not None:
            studies.write_text(out / f"{protocol.name}-hours.svg", clock_curves(simulated, **axes))
    if "ranks" in report:
        ranks = report["ranks"]
        drawn = critical_differences(ranks["mean"], ranks["critical_difference"], ranks["cliques"])
        studies.write_text(out / "ranks.svg", drawn)
    studies.write_text(out / "checklist.md", checklist(protocols, methods, seeds, command))


def _print(report: dict[str, Any], runs: Sequence[Run]) -> None:
    for name, protocol in report["protocols"].items():
        rows = []
        for method, one in protocol["methods"].items():
            figures = zip(one["mean"], one["standard_error"], strict=True)
            optimum = one["at_optimum"][-1]
            costs = [run.seconds_a_proposal for run in runs if (run.protocol, run.method) == (name, method)]
            cost = f"{sum(costs) / len(costs):.3f}"
            rows.append((method, len(one["seeds"]), *(_figure(*pair) for pair in figures), f"{optimum:.0%}", cost))
        columns = ("method", "seeds", *map(str, protocol["places"]), "at optimum", "CPU s a proposal")
        print_table(f"{protocol['title']}: best queried, %, mean ± standard error", columns, rows, right="seeds")
        titles = dict.fromkeys(title for one in protocol["methods"].values() for title in one["further"])
        for title in titles:
            found = {method: one["further"][title] for method, one in protocol["methods"].items()}
            if any(None in one["mean"] for one in found.values()):
                continue  # the table does not know it
            rows = [(method, *map(_figure, one["mean"], one["standard_error"])) for method, one in found.items()]
            print_table(f"{title[0].upper()}{title[1:]}, %", ("method", *map(str, protocol["places"])), rows)
        first = next(iter(protocol["methods"]))
        rows = [
            (
                f"{first} - {method}",
                *(
                    f"{_figure(gap, error, signed=True)}{'' if p is None else f'  p {p:.2g}'}"
                    for gap, error, p in zip(one["difference"], one["standard_error"], one["p"], strict=True)
                ),
            )
            for method, one in protocol["paired"].items()
        ]
        if rows:
            print_table("Paired by seed", ("", *map(str, protocol["places"])), rows)
    if "ranks" in report:
        ranks = report["ranks"]
        console().print(
            f"Mean ranks over {ranks['blocks']} seeds of protocols: "
            + ", ".join(f"{method} {rank:.2f}" for method, rank in ranks["mean"].items())
            + f"; they differ where more than {ranks['critical_difference']:.2f} apart",
            highlight=False,
            soft_wrap=True,
        )


def _figure(mean: float, error: float | None, *, signed: bool = False) -> str:
    """Percent with error."""
    text = f"{100 * mean:{'+' if signed else ''}.3f}"
    return text if error is None else f"{text} ± {100 * error:.3f}"
