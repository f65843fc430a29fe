"""Search on a shipped surrogate: does it tell the same story as the table it was fitted to a part of?

- nasbench101: `surrogate-nb101` saw a random twentieth of the 423,624 trainings; the same methods with the same seeds
  search it and the whole table. Beside what a search believes to have found stands what the table says of that cell.
- darts: `surrogate-darts`, of which there is no whole table.

Methods are compared after so many queries, and after so many hours of the trainings that the queries stand for. The
hours are those that the surrogate predicts, since the table has them of few cells.

    python runs/surrogate_searches.py nasbench101 --seeds 20
    python runs/surrogate_searches.py darts --seeds 20

Rows that `--out` holds are not measured again.
"""

from __future__ import annotations

import argparse
import functools
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import torch
from records import Record
from rich.console import Console

from graphnas.bench import Benchmark, Protocol, Run, run_search
from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import Result, TableEvaluator, open_table
from graphnas.spaces import Space
from graphnas.studies import LATENT_SAMPLERS
from graphnas.surrogates import Surrogate, SurrogateEvaluator

FIRST = "latent-bo"
METHODS = (FIRST, "evolution", "random")
PLACES = (25, 50, 100, 150)
FIRST_SEED = 30_000
SURROGATES = {"nasbench101": "surrogate-nb101", "darts": "surrogate-darts"}
HOURS = {"nasbench101": (10, 25, 50), "darts": (50, 100, 200)}
TABLE_QUERY = "test_acc_run0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", choices=SURROGATES)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="as in graphnas bench")
    parser.add_argument("--surrogate", help="name or folder; the shipped one of the space if not given")
    parser.add_argument("--out", type=Path, help="runs/results/surrogate_searches_SPACE.json if not given")
    args = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, name = Space.load(args.space), args.surrogate or SURROGATES[args.space]
    surrogate = SurrogateEvaluator(Surrogate.load(name))
    benchmarks = {"surrogate": benchmark(space, surrogate)}
    if args.space == "nasbench101":
        table = TableEvaluator(open_table("nasbench101"), TABLE_QUERY)
        benchmarks["table"] = benchmark(space, TimedTable(table, surrogate))
    truth = benchmarks.get("table")
    columns = {f"best_{place}": f"{place} queries" for place in PLACES}
    columns |= {f"after_{hours}": f"{hours} hours" for hours in HOURS[args.space]}
    columns |= {f"true_{place}": f"table's value, {place}" for place in PLACES} if truth else {}
    record = Record(
        args.out or Path(f"runs/results/surrogate_searches_{args.space}.json"),
        name=f"surrogate_searches_{args.space}",
        figure=f"Searches of {name}"
        + (", and of the table: " if truth else ": ")
        + "accuracy of the best cell queried",
        settings={"surrogate": name, "first_seed": FIRST_SEED},
        columns=columns | {f"below_{place}": f"below {FIRST}, {place}" for place in PLACES},
        rows={f"{where}, {method}": f"{method} on the {where}" for where in benchmarks for method in args.methods},
    )
    encoder = functools.cache(lambda: CellAutoencoder.from_pretrained(args.space))
    screen = Console(stderr=True)
    for where, one in benchmarks.items():
        for method in dict.fromkeys((FIRST, *args.methods)):  # the others are compared with its seeds
            row = f"{where}, {method}"
            for number in range(record.seeds(row), args.seeds):
                clock, seed = time.process_time(), FIRST_SEED + number
                needed = encoder() if method.split(":")[0] in LATENT_SAMPLERS else None
                run = run_search(one, method, seed, encoder=needed)
                found = {f"best_{place}": run.best[place - 1] for place in PLACES}
                if method != FIRST:
                    found |= record.below(f"{where}, {FIRST}", number, found)
                found |= {f"after_{hours}": after(run, hours) for hours in HOURS[args.space]}
                if truth:
                    found |= {f"true_{place}": truth.value(incumbent(run, place)) for place in PLACES}
                record.add(row, found, time.process_time() - clock)
                screen.print(f"{row}, seed {seed}: {run.best[-1]:.4f}")
    record.show()


class TimedTable:
    """A table's values, at a surrogate's costs."""

    def __init__(self, table: TableEvaluator, surrogate: SurrogateEvaluator) -> None:
        self.table, self.surrogate = table, surrogate

    def evaluate(self, architecture: Architecture) -> Result:
        """What both say of an architecture."""
        return replace(self.table.evaluate(architecture), cost=self.surrogate.evaluate(architecture).cost)


def benchmark(space: Space, evaluator: SurrogateEvaluator | TimedTable) -> Benchmark:
    """Searches of a whole space."""
    protocol = Protocol("surrogate", "accuracy", space.name, "value", places=PLACES)
    return Benchmark(protocol, space, evaluator, None, 1.0)  # type: ignore[arg-type]


def after(run: Run, hours: float) -> float:
    """The best value after so many hours of trainings, at least one of which is waited for."""
    spent = np.cumsum([np.nan if cost is None else cost for cost in run.cost]) / 3600
    return run.best[max(int((spent <= hours).sum()), 1) - 1]


def incumbent(run: Run, queries: int) -> Architecture:
    """The architecture that was the best after so many queries."""
    return Architecture.from_json([text for query, text in run.records if query <= queries][-1])


if __name__ == "__main__":
    main()
