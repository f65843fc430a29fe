"""The surrogate benchmarks that come with the library: how good each kind is, and the one that is shipped.

- darts: 545 trainings of 50 epochs, `surrogate-darts`. They are few: the published benchmark has 37,225.
- nasbench101: a random twentieth of the table's trainings (21,181 cells, test accuracy of one run), `surrogate-nb101`.

`kinds` fits every kind to nine tenths and tests it on the others, `ship` fits one to all and writes it (on darts with
settings that Optuna chose), and `noise` asks the question for which surrogates are made (Zela et al. 2022, Sec. 3):
fitted to one training of every cell of digits101, is a surrogate nearer to the mean of two other trainings than the one
training is? `samplers` lets several samplers search the table of NAS-Bench-101 and predicts what each found from what
all others did (Zela et al. 2022, Sec. 5.2). `skips` asks `surrogate-darts` about random genotypes, more and more of
whose operations are skips: it should not rate without a warning what has no parameters (their Sec. 5.4).

    python runs/surrogates.py kinds darts --seeds 5
    python runs/surrogates.py kinds nasbench101 --seeds 3
    python runs/surrogates.py ship darts
    python runs/surrogates.py ship nasbench101
    python runs/surrogates.py noise
    python runs/surrogates.py samplers --seeds 3
    python runs/surrogates.py skips --seeds 3

Rows that a result file holds are not measured again.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from records import Record
from rich.console import Console
from scipy.stats import kendalltau

from graphnas.bench import Benchmark, Protocol, run_search
from graphnas.cell import Architecture, Cell
from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import Digits101Table, Result, TableEvaluator, open_table
from graphnas.spaces import Space
from graphnas.studies import LATENT_SAMPLERS
from graphnas.surrogates import (
    ENSEMBLES,
    MEANING,
    Archive,
    Surrogate,
    fit_surrogate,
    held_out,
    leave_one_sampler_out,
    tune,
)

MEASURES = {
    "r2": "R2",
    "kendall": "Kendall",
    "sparse_kendall": "sparse Kendall",
    "kendall_top": "Kendall, best tenth",
    "rmse": "RMSE",
    "coverage": "within 2 deviations",
    "seconds_spearman": "Spearman of the seconds",
}
FOLDS = 5


class Source(NamedTuple):
    """Trainings of a space's table, and what is shipped of them."""

    query: str | None
    share: float
    surrogate: str
    kind: str
    tuning: int
    """Settings that Optuna tries first."""


SOURCES = {
    "darts": Source(None, 1.0, "surrogate-darts", "gnn", 20),
    "nasbench101": Source("test_acc_run0", 0.05, "surrogate-nb101", "gnn", 0),
}
SETTINGS: dict[str, dict[str, Any]] = {"nasbench101": {"epochs": 40, "batch_size": 128}}
"""Of graph networks, which pass over many trainings less often."""
SAMPLERS = ("random", "evolution", "local-search", "latent-bo", "tpe")
SKIPS, ASKED = (0.0, 0.25, 0.5, 0.75, 1.0), 200
"""Shares of skips, and genotypes that are asked about."""
SEARCHES, QUERIES = 4, 150
"""Of each sampler, and of each search."""


def archive_of(name: str) -> Archive:
    """The trainings that a surrogate is fitted to."""
    space, source = Space.load(name), SOURCES[name]
    table = open_table(name)
    rows = np.sort(np.random.default_rng(0).permutation(len(table))[: round(source.share * len(table))])
    return Archive.of_table(space, table, source.query, rows=rows)


def settings_of(name: str, kind: str) -> dict[str, Any]:
    return SETTINGS.get(name, {}) if kind in ("gnn", "gin") else {}


def kinds(name: str, chosen: list[str], seeds: int, out: Path | None) -> None:
    """Every kind on trainings that it was not fitted to."""
    archive = archive_of(name)
    record = Record(
        out or Path(f"runs/results/surrogates_{name}.json"),
        name=f"surrogates_{name}",
        figure=f"Surrogates of {name}: {len(archive):,} trainings, a tenth of which is predicted",
        settings={"trainings": len(archive), "members": 10},
        columns=MEASURES,
        rows={kind: f"ten members of the kind {kind}" for kind in chosen},
    )
    for kind in chosen:
        for seed in range(record.seeds(kind), seeds):
            clock = time.process_time()
            found, _ = held_out(archive, kind=kind, settings=settings_of(name, kind), seed=seed)
            measured = {one: found["all"][one] for one in MEASURES if one in found["all"]}
            record.add(kind, measured, time.process_time() - clock)
    record.show()


def ship(name: str, screen: Console) -> None:
    """Fit the surrogate that comes with the library."""
    archive, source = archive_of(name), SOURCES[name]
    settings = settings_of(name, source.kind)
    if source.tuning:
        settings = tune(archive, kind=source.kind, trials=source.tuning)
    found, told = held_out(archive, kind=source.kind, settings=settings)
    surrogate = fit_surrogate(archive, kind=source.kind, settings=settings, noise=told.noise, spread=told.spread)
    surrogate.about.update(
        {
            "held_out": found,
            "tuning": source.tuning,
            **MEANING,
            "command": shlex.join(["python", *sys.argv]),
        }
    )
    folder = Path("spaces/benchmarks") / source.surrogate
    surrogate.save(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    screen.print(f"{folder}: {len(archive):,} trainings, {size / 2**20:.1f} MiB", highlight=False)


def noise(chosen: list[str], out: Path | None) -> None:
    """One training of digits101, and surrogates fitted to one training, against the mean of the two others."""
    space, table = Space.load("digits101"), Digits101Table.open()
    values = table.column("validation_accuracy_curves")[:, :, -1].astype(np.float64)
    kinds = {kind: f"{kind} fitted to one training of every cell" for kind in chosen}
    unseen = {f"{kind}, unseen": f"{kind} fitted to one training of four fifths of the cells, asked about the others"
              for kind in chosen}  # fmt: skip
    record = Record(
        out or Path("runs/results/surrogates_noise.json"),
        name="surrogates_noise",
        figure="digits101: distance to the mean accuracy of two other trainings",
        settings={"cells": len(table), "members": 10, "folds": FOLDS},
        columns={"mae": "mean absolute error", "kendall": "Kendall", "kendall_top": "Kendall, best tenth"},
        rows={"one training": "a table of one training of every cell"} | kinds | unseen,
    )
    for row in ["one training", *kinds, *unseen]:
        for number in range(record.seeds(row), values.shape[1]):
            clock = time.process_time()
            one, others = values[:, number], np.delete(values, number, axis=1).mean(1)
            predicted = one
            if row != "one training":
                archive = Archive.of(space, table.cells(), one)
                predicted = fitted_values(archive, row.split(",")[0], unseen=row in unseen, seed=number)
            top = others >= np.quantile(others, 0.9)
            measured = {
                "mae": float(np.abs(predicted - others).mean()),
                "kendall": float(kendalltau(predicted, others).statistic),
                "kendall_top": float(kendalltau(predicted[top], others[top]).statistic),
            }
            record.add(row, measured, time.process_time() - clock)
    record.show()


class Recorded:
    """An evaluator that keeps what it was asked, and answered."""

    def __init__(self, evaluator: TableEvaluator) -> None:
        self.evaluator = evaluator
        self.answers: dict[Architecture, float] = {}

    def evaluate(self, architecture: Architecture) -> Result:
        """What the evaluator says."""
        result = self.evaluator.evaluate(architecture)
        self.answers[architecture] = result.value  # a search asks more than once, for value and cost
        return result


def searched() -> Archive:
    """What several samplers found in the table of NAS-Bench-101."""
    space = Space.load("nasbench101")
    encoder = CellAutoencoder.from_pretrained(space.name)
    protocol = Protocol("searched", "accuracy", space.name, "value", places=(QUERIES,))
    architectures: list[Architecture] = []
    values: list[float] = []
    samplers: list[str] = []
    for name in SAMPLERS:
        for seed in range(SEARCHES):
            asked = Recorded(TableEvaluator(open_table(space.name), "test_acc_run0"))
            one = Benchmark(protocol, space, asked, None, 1.0)  # type: ignore[arg-type]
            run_search(one, name, seed, encoder=encoder if name in LATENT_SAMPLERS else None)
            architectures += asked.answers
            values += asked.answers.values()
            samplers += [name] * len(asked.answers)
    return Archive.of(space, architectures, np.array(values), samplers=samplers)


def samplers(chosen: list[str], seeds: int, out: Path | None) -> None:
    """Every kind on what each sampler found, after a fit to what the others did."""
    archive = searched()
    record = Record(
        out or Path("runs/results/surrogates_samplers.json"),
        name="surrogates_samplers",
        figure=f"Surrogates of {len(archive):,} trainings of NAS-Bench-101 that searches found: those of one sampler, "
        "predicted from those of all others",
        settings={"searches": SEARCHES, "queries": QUERIES, "members": 10},
        columns={"trainings": "trainings", **MEASURES},
        rows={f"{kind}, {name}": f"{kind} without {name}" for kind in chosen for name in SAMPLERS},
    )
    for kind in chosen:
        for seed in range(min(record.seeds(f"{kind}, {name}") for name in SAMPLERS), seeds):
            clock = time.process_time()
            found = leave_one_sampler_out(archive, kind=kind, seed=seed)
            seconds = (time.process_time() - clock) / len(found)
            for name, one in found.items():
                if record.seeds(f"{kind}, {name}") == seed:
                    measured = {measure: one[measure] for measure in record.content["columns"] if measure in one}
                    record.add(f"{kind}, {name}", measured, seconds)
    record.show()


def skips(seeds: int, out: Path | None) -> None:
    """Random genotypes of which a share of the operations is skips."""
    surrogate = Surrogate.load("surrogate-darts")
    space = surrogate.space
    record = Record(
        out or Path("runs/results/surrogates_skips.json"),
        name="surrogates_skips",
        figure="surrogate-darts on random genotypes, a share of whose operations are made skips",
        settings={"asked": ASKED},
        columns={"value": "predicted accuracy", "std": "deviation of the members", "familiar": "familiar"},
        rows={str(share): f"{share:.0%} skips" for share in SKIPS},
    )
    for share in SKIPS:
        for seed in range(record.seeds(str(share)), seeds):
            clock, rng = time.process_time(), np.random.default_rng(seed)
            drawn = [_with_skips(one, set(space.operations), share, rng) for one in space.sample(ASKED, rng)]
            predicted = surrogate.predict(drawn)
            measured = {
                "value": float(predicted.mean.mean()),
                "std": float(predicted.std.mean()),
                "familiar": float(surrogate.familiar(drawn, predicted).mean()),
            }
            record.add(str(share), measured, time.process_time() - clock)
    record.show()


def _with_skips(one: Architecture, operations: set[str], share: float, rng: np.random.Generator) -> Architecture:
    def changed(cell: Cell) -> Cell:
        ops = ("skip_connect" if op in operations and rng.random() < share else op for op in cell.ops)
        return Cell(tuple(ops), cell.edges)

    return Architecture(one.space, tuple(map(changed, one.cells)))


def fitted_values(archive: Archive, kind: str, *, unseen: bool, seed: int) -> np.ndarray:
    """What a surrogate says of the architectures of its archive, or of those of each fold after a fit to the others."""
    if not unseen:
        return fit_surrogate(archive, kind=kind, seed=seed).predict(archive.cells).mean
    fold = np.random.default_rng(seed).permutation(len(archive)) % FOLDS
    predicted = np.empty(len(archive))
    for number in range(FOLDS):
        rows = np.flatnonzero(fold == number)
        surrogate = fit_surrogate(archive.take(np.flatnonzero(fold != number)), kind=kind, seed=seed)
        predicted[rows] = surrogate.predict(archive.take(rows).cells).mean
    return predicted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    options = {"choices": tuple(ENSEMBLES), "default": list(ENSEMBLES), "nargs": "+", "dest": "kinds"}
    one = commands.add_parser("kinds")
    one.add_argument("data", choices=SOURCES)
    one.add_argument("--seeds", type=int, default=5)
    two = commands.add_parser("ship")
    two.add_argument("data", choices=SOURCES)
    three = commands.add_parser("noise")
    four = commands.add_parser("samplers")
    four.add_argument("--seeds", type=int, default=3)
    five = commands.add_parser("skips")
    five.add_argument("--seeds", type=int, default=3)
    five.add_argument("--out", type=Path)
    for command in (one, three, four):
        command.add_argument("--kinds", **options)  # type: ignore[arg-type]
        command.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.command == "kinds":
        kinds(args.data, args.kinds, args.seeds, args.out)
    elif args.command == "ship":
        ship(args.data, Console())
    elif args.command == "skips":
        skips(args.seeds, args.out)
    elif args.command == "samplers":
        samplers(args.kinds, args.seeds, args.out)
    else:
        noise(args.kinds, args.out)


if __name__ == "__main__":
    main()
