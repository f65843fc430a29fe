"""Search DARTS for a hidden cell: a smooth function of the graph whose optimum is known.

DARTS has no complete table, so what is searched here is made up: the value of an architecture is the cosine of its
Weisfeiler-Leman label counts with those of a hidden random architecture, the mean over both cells. It is 1 for the
hidden architecture, falls as cells share fewer neighbourhoods with it, and does not depend on the order of vertices.
Every seed hides another architecture, the same for all methods.

    python runs/hidden_darts.py --seeds 50

Rows that `--out` holds are not measured again.
"""

from __future__ import annotations

import argparse
import functools
import time
from pathlib import Path

import numpy as np
import optuna
import torch
from records import Record
from rich.console import Console

from graphnas.bench import Benchmark, Protocol, run_search
from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.encoders.features import wl_counts
from graphnas.evaluate import Result
from graphnas.spaces import Space
from graphnas.studies import LATENT_SAMPLERS

FIRST = "latent-bo"
METHODS = (FIRST, "evolution", "tpe", "random")
PLACES = (25, 50, 100)
FIRST_SEED = 1000


class HiddenArchitecture:
    """How much an architecture looks like a hidden one.

    Args:
        space: Space of both.
        seed: Draws the hidden one.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.hidden = space.sample(1, np.random.default_rng((seed, 1)))[0]
        self._counts = self._features(self.hidden)

    def _features(self, architecture: Architecture) -> np.ndarray:
        cells = self.space.topology.canonical(self.space.to_arrays([architecture]))
        counts = wl_counts(cells, self.space.vocabulary).astype(np.float64)
        unit: np.ndarray = counts / np.linalg.norm(counts, axis=1, keepdims=True)
        return unit

    def evaluate(self, architecture: Architecture) -> Result:
        """The mean cosine over the cells."""
        return Result(float((self._features(architecture) * self._counts).sum(1).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--queries", type=int, default=PLACES[-1])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="as in graphnas bench")
    parser.add_argument("--out", type=Path, default=Path("runs/results/hidden_darts.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    places = (*(place for place in PLACES if place < args.queries), args.queries)
    record = Record(
        args.out,
        name="hidden_darts",
        figure="Search of DARTS for a hidden architecture: likeness of the best one queried",
        settings={"queries": args.queries, "first_seed": FIRST_SEED},
        columns={f"best_{place}": f"{place} queries" for place in places}
        | {f"below_{place}": f"below {FIRST}, {place}" for place in places},
        rows={method: method for method in dict.fromkeys((*METHODS, *args.methods))},
    )
    space = Space.load("darts")
    shipped = functools.cache(lambda: CellAutoencoder.from_pretrained("darts"))
    protocol = Protocol("hidden-darts", "likeness to a hidden architecture", "darts", "likeness", places=places)
    screen = Console(stderr=True)
    for method in dict.fromkeys((FIRST, *args.methods)):  # the others are compared with its seeds
        for number in range(record.seeds(method), args.seeds):
            clock, seed = time.process_time(), FIRST_SEED + number
            evaluator = HiddenArchitecture(space, seed)
            encoder = shipped() if method.split(":")[0] in LATENT_SAMPLERS else None
            benchmark = Benchmark(protocol, space, evaluator, None, 1.0)  # type: ignore[arg-type]
            best = run_search(benchmark, method, seed, encoder=encoder).best
            found = {f"best_{place}": best[place - 1] for place in places}
            if method != FIRST:
                found |= record.below(FIRST, number, found)
            record.add(method, found, time.process_time() - clock)
            screen.print(f"{method}, seed {seed}: {best[-1]:.4f}")
    record.show()


if __name__ == "__main__":
    main()
