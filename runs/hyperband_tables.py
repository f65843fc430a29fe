"""Several budgets against one on published trainings: the time until a search has found the best hundredth.

Two benchmarks, in which a trial costs what its trainings took:

- `nasbench101`: the 30,001 cells with accuracies after 4, 12, 36 and 108 epochs, each budget a training of its own; a
  shorter one costs its share of the recorded seconds of 108 epochs. Proposals are restricted to these cells, but for
  those of Optuna's TPE, of which most are other cells: such trials fail and cost nothing.
- `spikenas`: 15,625 spiking networks of NAS-Bench-201's graph with curves of 100 epochs (SpikeNAS-Bench), of which the
  budgets 3, 11, 33 and 100 are read: a training goes on. Its five operations stand for those of NAS-Bench-201 in the
  order zero, identity, then the three spiking convolutions, so the encoder's names of them mean nothing.

Found is what a trial of the largest budget has shown, so what was seen after a few epochs alone does not count. A
search that has not found any of them counts with its whole length, so means are lower bounds where not all seeds have.

    python runs/hyperband_tables.py --seeds 20

Rows that `--out` holds are not measured again.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from records import Record
from rich.console import Console

from graphnas import studies
from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import Result, TableEvaluator, data_folder, open_table
from graphnas.formats.nasbench201 import to_string
from graphnas.search import CandidateList, LatentBOSampler, RandomCellSampler
from graphnas.spaces import Space
from graphnas.studies import Event, Fidelity

QUERY = "val_acc_max3_e108"
TOP = 0.01  # share of the architectures that count as found
METHODS = ("latent-bo", "latent-bo + hyperband", "random", "random + hyperband", "tpe + hyperband")
PLACES = (10, 20, 30)  # mean trainings of the largest budget
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


@dataclass(frozen=True)
class Benchmark:
    """What is searched, and what counts."""

    space: Space
    evaluator: Any
    candidates: CandidateList | None
    fidelity: Fidelity
    threshold: float
    """Least value of the best hundredth."""
    hours: float
    """Mean hours of a training of the largest budget."""


class Curves:
    """Published curves as an evaluator: validation accuracy after each epoch."""

    name = "curves:spikenas"
    epochs = 100

    def __init__(self, space: Space) -> None:
        self.space = space
        table = pq.read_table(data_folder() / "spikenas_cifar10.parquet").sort_by("index")
        curves = [np.asarray(row[: self.epochs]) / 100 for row in table["val_acc"].to_pylist()]
        self.values: NDArray[np.float64] = np.stack(curves)
        # Of a run of 200 epochs the recorded time is that of all of them.
        epochs = np.array([len(row) for row in table["val_acc"].to_pylist()])
        self.seconds = table["elapsed_s"].to_numpy() / epochs * self.epochs

    def row(self, architecture: Architecture) -> int:
        """Operations of the edges in the table's order are the digits of a row's number, the first the smallest."""
        edges = [name for node in to_string(architecture.cells[0]).strip("|").split("|+|") for name in node.split("|")]
        # From (0,1), (0,2), (1,2), (0,3), (1,3), (2,3) to (0,1), (0,2), (0,3), (1,2), (1,3), (2,3).
        digits = [OPERATIONS.index(edges[place].partition("~")[0]) for place in (0, 1, 3, 2, 4, 5)]
        return sum(digit * len(OPERATIONS) ** place for place, digit in enumerate(digits))

    def evaluate(self, architecture: Architecture, *, until: int | None = None, **settings: Any) -> Result:
        """Accuracy after `until` epochs, or all."""
        row, epochs = self.row(architecture), until or self.epochs
        value = float(self.values[row, epochs - 1])
        seconds = float(self.seconds[row] * epochs / self.epochs)
        return Result(value, seconds=seconds, cost=seconds, budget=epochs, evaluator=self.name)


def nasbench101() -> Benchmark:
    space, table = Space.load("nasbench101"), open_table("nasbench101")
    rows = np.flatnonzero(~np.isnan(table.column(QUERY).astype(np.float64)))
    evaluator = TableEvaluator(table, QUERY)
    values = table.column(QUERY)[rows]
    seconds = [table.cost(int(row), 108) or 0.0 for row in rows]
    return Benchmark(
        space,
        evaluator,
        CandidateList(space, table.architectures(rows.tolist())),
        Fidelity.of("hyperband", evaluator),
        float(np.quantile(values, 1 - TOP)),
        float(np.mean(seconds)) / 3600,
    )


def spikenas() -> Benchmark:
    space = Space.load("nasbench201")
    curves = Curves(space)
    return Benchmark(
        space,
        curves,
        None,
        Fidelity.of("hyperband:least=3", curves),
        float(np.quantile(curves.values[:, -1], 1 - TOP)),
        float(curves.seconds.mean()) / 3600,
    )


BENCHMARKS = {"nasbench101": nasbench101, "spikenas": spikenas}


class _Spent(Exception):
    """A search has used up its time."""


def search(
    benchmark: Benchmark, method: str, encoder: CellAutoencoder, seed: int, trainings: float
) -> dict[str, float]:
    """One search over so many mean trainings of the largest budget."""
    kind, _, fidelity = method.partition(" + ")
    sampler: optuna.samplers.BaseSampler
    if kind == "tpe":
        sampler = optuna.samplers.TPESampler(seed=seed)
    elif kind == "random":
        sampler = RandomCellSampler(benchmark.space, candidates=benchmark.candidates, seed=seed)
    else:
        sampler = LatentBOSampler(benchmark.space, encoder, candidates=benchmark.candidates, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    limit, spent, found = trainings * benchmark.hours, 0.0, []

    def watch(event: Event) -> None:
        nonlocal spent
        if event.kind not in ("finished", "pruned", "failed"):
            return
        trial = study.trials[event.number]
        spent += (trial.user_attrs.get("graphnas:cost") or 0.0) / 3600
        if event.kind == "finished":
            found.append((spent, event.values[0]))
        if spent >= limit:
            raise _Spent

    with contextlib.suppress(_Spent):
        studies.run(
            study,
            benchmark.space,
            benchmark.evaluator,
            n_trials=10**6,
            fidelity=benchmark.fidelity if fidelity else None,
            on_event=watch,
            seed=seed,
            max_failure_rate=1.0,
        )
    reached = [when for when, value in found if value >= benchmark.threshold]
    best = {
        f"best_{place}": 100 * max((value for when, value in found if when <= place * benchmark.hours), default=0.0)
        for place in PLACES
    }
    hours = reached[0] if reached else limit
    return {
        "hours_to_top": hours,
        "trainings_to_top": hours / benchmark.hours,
        "found_top": float(bool(reached)),
        **best,
        "trials": float(len(study.trials)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmarks", nargs="+", default=list(BENCHMARKS), choices=BENCHMARKS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trainings", type=float, default=30.0, help="length of a search in mean full trainings")
    parser.add_argument("--out", type=Path, default=Path("runs/results/hyperband_tables.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    record = Record(
        args.out,
        name="hyperband_tables",
        figure="Time until the best hundredth is found, by several budgets and by one",
        settings={"top": TOP, "trainings": args.trainings, "query": QUERY},
        columns={
            "hours_to_top": "hours to the top, or in all",
            "trainings_to_top": "in full trainings",
            "found_top": "share of seeds that got there",
            **{f"best_{place}": f"best, %, after {place} full trainings" for place in PLACES},
            "trials": "trials",
        },
        rows={f"{name}: {method}": f"{method} on {name}" for name in BENCHMARKS for method in METHODS},
    )
    console = Console()
    for name in args.benchmarks:
        benchmark = BENCHMARKS[name]()
        encoder = CellAutoencoder.from_pretrained(benchmark.space.name)
        for seed in range(args.seeds):
            for method in args.methods:
                row = f"{name}: {method}"
                if record.seeds(row) > seed:
                    continue
                clock = time.process_time()
                measured = search(benchmark, method, encoder, seed, args.trainings)
                record.add(row, measured, time.process_time() - clock)
                console.print(f"{row}, seed {seed}: {measured['trainings_to_top']:.1f} trainings to the top")
    record.show()


if __name__ == "__main__":
    main()
