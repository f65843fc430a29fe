"""The command line's entry: all commands under one name."""

from __future__ import annotations

from typing import Annotated

import typer

from graphnas import __version__
from graphnas.cli import (
    analyse,
    bench,
    console,
    data,
    doctor,
    encoders,
    evaluate,
    importing,
    latent,
    maps,
    predict,
    search,
    spaces,
    study,
    surrogate,
    train,
)

app = typer.Typer(
    name="graphnas",
    cls=console.Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Search neural architectures in the latent space of a variational graph autoencoder.",
    epilog="Example: graphnas search nasbench101 --task digits --trials 40",
)
app.add_typer(spaces.app, name="spaces")
app.command("train")(train.train)
app.command("search")(search.search)
app.command("embed")(latent.embed)
app.command("decode")(latent.decode)
app.command("import")(importing.import_networks)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(evaluate.export)
app.command("bench")(bench.bench)
app.add_typer(analyse.app, name="analyse")
app.command("map")(maps.draw_map)
app.add_typer(predict.app, name="predict")
app.add_typer(surrogate.app, name="surrogate")
app.add_typer(study.app, name="study")
app.add_typer(encoders.app, name="encoders")
app.add_typer(data.app, name="data")
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"graphnas {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command that was typed."""
    app()
