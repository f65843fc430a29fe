"""TensorBoard's event files: scalars of a run, and latent points for its projector."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.console import Failed, writing

if TYPE_CHECKING:
    import numpy as np
    import optuna
    from numpy.typing import NDArray

    from graphnas.encoders import CellAutoencoder
    from graphnas.studies import Event

BoardOption = Annotated[
    Path | None, typer.Option("--tensorboard", metavar="DIR", help="Folder of TensorBoard's event files.")
]


def check_board() -> None:
    """Refuse to begin without TensorBoard.

    Raises:
        Failed: if it is not installed.
    """
    try:
        importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        raise Failed("--tensorboard needs a package that is not there: pip install 'graphnas[tensorboard]'") from None


@contextlib.contextmanager
def open_board(folder: Path, *, step: int) -> Iterator[Any]:
    """A writer of event files, in which what an earlier run wrote from a step on is written anew.

    Raises:
        Failed: if TensorBoard is not installed.
    """
    check_board()
    from torch.utils.tensorboard import SummaryWriter

    with writing(folder), SummaryWriter(str(folder), purge_step=step) as writer:
        yield writer


class SearchBoard:
    """Scalars of a search, one step a trial.

    Args:
        writer: From `open_board`.
        study: The search.
    """

    def __init__(self, writer: Any, study: optuna.Study) -> None:
        self.writer, self.study = writer, study

    def __call__(self, event: Event) -> None:
        """Write what a trial has reached."""
        from graphnas import studies

        if event.kind != "finished":
            return
        names = studies.labels(self.study, "value")
        for name, value in zip(names, event.values, strict=True):
            self.writer.add_scalar(f"trials/{name}", value, event.number)
        for name, figure in event.metrics.items():
            if name not in names:
                self.writer.add_scalar(f"metrics/{name}", figure, event.number)
        best = studies.best(self.study)
        if best and len(names) == 1:
            self.writer.add_scalar("best/value", best[0].values[0], event.number)

    def project(self, encoder: CellAutoencoder) -> None:
        """Write the latent points of all finished trials, with what is known of each."""
        from graphnas import studies
        from graphnas.report.page import compact

        trials = [trial for trial in studies.finished(self.study) if trial.values]
        if not trials:
            return
        architectures = [studies.architecture(trial) for trial in trials]
        points = encoder.encode(architectures)[0].double().cpu().numpy()
        project(
            self.writer,
            points,
            {
                "trial": [trial.number for trial in trials],
                "value": [trial.values[0] for trial in trials],
                "source": [trial.user_attrs.get("graphnas:source", "") for trial in trials],
                "cell": [compact(one) for one in architectures],
            },
            step=len(trials),
        )


def project(writer: Any, points: NDArray[np.float64], about: Mapping[str, Sequence[Any]], *, step: int = 0) -> None:
    """Write `n x d` points for the embedding projector.

    Args:
        writer: From `open_board`.
        points: The points.
        about: Columns of what is known of each, of which the projector takes its labels and colours.
        step: Number under which they are kept.
    """
    rows = [[str(value) for value in row] for row in zip(*about.values(), strict=True)]
    # What it has to say of a folder that is there is no part of a command's output.
    with contextlib.redirect_stdout(sys.stderr):
        writer.add_embedding(points, metadata=rows, metadata_header=list(about), global_step=step, tag="latent")
