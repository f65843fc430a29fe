"""What the parts of the latent search are worth: NAS-Bench-101's table, one part left out or replaced at a time.

Protocol `p101-full` of `graphnas bench`, up to `--queries` queries; every row has the same seeds, so that differences
to the default are taken seed by seed. Rows without an encoder of their own use the one that comes with the library.

- sources: candidates of one or two of the three sources only; `decoded` is what decoding proposes, without edits;
- points: latent means as they are in place of the metric; those of an encoder with random weights; of SVGe
  (`--svge`, a folder of `graphnas train nasbench101 --model svge`); and hand-made features in place of the latent,
  with which only edits can be proposed, so `edit` is the row to compare them with;
- acquisitions, noise of the inputs, retraining.

    graphnas train nasbench101 --model svge --minutes 30 --out svge
    python runs/ablations_search.py --seeds 30 --svge svge

Rows that `--out` holds are not measured again.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from records import Record
from rich.console import Console
from torch import Tensor

from graphnas.bench import PROTOCOLS, open_benchmark, run_search
from graphnas.cell import Architecture, CellArrays
from graphnas.encoders import CellAutoencoder
from graphnas.predictors.encodings import encoding
from graphnas.search import LatentBOSampler
from graphnas.spaces import Space

DEFAULT = "default"
PLACES = (25, 50, 100)
FIRST_SEED = 1000

ROWS = {
    DEFAULT: "the default",
    "decoded": "no edits among the candidates",
    "no acquisition": "no ascent of the acquisition",
    "no samples": "no samples around the best",
    "edit": "edits alone",
    "raw latent": "latent means without the metric",
    "random weights": "an encoder with random weights, in its metric",
    "random weights, raw": "an encoder with random weights, without the metric",
    "svge": "SVGe's latent means, without the metric",
    "adjacency": "one-hot in place of the latent, edits alone",
    "statistics": "graph statistics in place of the latent, edits alone",
    "structure": "32 principal components of statistics, paths and WL in place of the latent, edits alone",
    "log-ei": "log expected improvement",
    "log-nei": "noisy log expected improvement",
    "thompson": "Thompson sampling",
    "input noise": "noise of the inputs from the encoder's variance",
    "retrained": "the encoder fitted anew to the best every 25 trials",
}

SETTINGS: dict[str, dict[str, Any]] = {
    "decoded": {"sources": ("acquisition", "sample")},
    "no acquisition": {"sources": ("sample", "edit")},
    "no samples": {"sources": ("acquisition", "edit")},
    "edit": {"sources": ("edit",)},
    "raw latent": {"metric": False},
    "random weights, raw": {"metric": False},
    "svge": {"metric": False},
    "log-ei": {"acquisition": "log-ei"},
    "log-nei": {"acquisition": "log-nei"},
    "thompson": {"acquisition": "thompson"},
    "input noise": {"input_noise": True},
    "retrained": {"retrain_every": 25},
    **{name: {"metric": False, "sources": ("edit",)} for name in ("adjacency", "statistics", "structure")},
}


class Features:
    """Hand-made features as if they were latent means; nothing can be decoded."""

    def __init__(self, space: Space, name: str) -> None:
        self.space, self._encoding = space, encoding(space, name)
        self.latent_dim = self._encoding(space.sample_arrays(1, np.random.default_rng(0))).shape[1]

    def encode(self, architectures: Sequence[Architecture] | CellArrays) -> tuple[Tensor, Tensor]:
        cells = architectures if isinstance(architectures, CellArrays) else self.space.to_arrays(architectures)
        points = torch.from_numpy(self._encoding(cells))
        return points, torch.full_like(points, -torch.inf)

    def decode_arrays(self, z: Tensor, *, space: Space | None = None) -> CellArrays:
        raise NotImplementedError("features cannot be decoded")


def make_encoder(row: str, space: Space, seed: int, svge: str | None, shipped: Callable[[], Any]) -> Any:
    """What a row takes for an encoder."""
    if row in ("adjacency", "statistics", "structure"):
        return Features(space, row)
    if row.startswith("random weights"):
        return CellAutoencoder.for_space(space, seed=seed).eval()
    if row == "svge":
        if svge is None:
            raise SystemExit("the row svge needs --svge FOLDER")
        return CellAutoencoder.from_pretrained(svge)
    return shipped()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--queries", type=int, default=PLACES[-1])
    parser.add_argument("--svge", help="folder of an encoder of the model svge; its row is left out if not given")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--out", type=Path, default=Path("runs/results/ablations_search.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    places = (*(place for place in PLACES if place < args.queries), args.queries)
    record = Record(
        args.out,
        name="ablations_search",
        figure=f"Parts of the latent search: best of {args.queries} queries of NAS-Bench-101, %",
        settings={"queries": args.queries, "first_seed": FIRST_SEED},
        columns={f"best_{place}": f"{place} queries" for place in places}
        | {f"below_{place}": f"below the default, {place}" for place in places},
        rows=ROWS,
    )
    benchmark = open_benchmark(replace(PROTOCOLS["p101-full"], places=places))
    shipped = functools.cache(lambda: CellAutoencoder.from_pretrained("nasbench101"))
    screen = Console(stderr=True)
    for row in dict.fromkeys((DEFAULT, *args.rows)):  # other rows are compared with its seeds
        if row == "svge" and args.svge is None:
            continue
        for number in range(record.seeds(row), args.seeds):
            clock, seed = time.process_time(), FIRST_SEED + number
            encoder = make_encoder(row, benchmark.space, seed, args.svge, shipped)
            sampler = LatentBOSampler(benchmark.space, encoder, seed=seed, **SETTINGS.get(row, {}))
            best = run_search(benchmark, row, seed, sampler=sampler).best
            found = {f"best_{place}": 100 * best[place - 1] for place in places}
            if row != DEFAULT:
                found |= record.below(DEFAULT, number, found)
            record.add(row, found, time.process_time() - clock)
            screen.print(f"{row}, seed {seed}: {100 * best[-1]:.3f}")
    record.show()


if __name__ == "__main__":
    main()
