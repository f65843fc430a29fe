"""What each part of the encoder of NAS-Bench-101 is worth: fits that lack it, or have more or less of it.

Every row is fitted for `--minutes` of CPU time with each of `--seeds` seeds on one thread and differs from the default
in what its name says. Without a part there is more time for the others, as in use.

All rows are measured on the same 42,000 held-out cells: reconstruction on the first 20,000, validity and uniqueness of
10,000 points of the prior, smoothness on 10,000 pairs and as many walks, and the ranking of 5,000 cells by a Gaussian
process that knows 100 or 1,000 others, the mean of ten draws. Spreads are over the seeds of the training.

`not-canonical` sees every cell in a random topological order, when it is fitted (one order a cell) and when it is
measured, as a program without canonical forms would; `reconstruction_of_canonical` is that of canonical forms instead.
`no-masks` is fitted and decodes with every label and every edge allowed at every step; only the last place is always
the output.

Rows that `--out` holds are not measured again, so the recipe can be run in pieces:

    python runs/ablations_nasbench101.py --minutes 3 --seeds 3 --rows default no-targets
    python runs/ablations_nasbench101.py --minutes 3 --seeds 3
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from records import Record, training_speed
from rich.console import Console

from graphnas.analysis import (
    EditPairs,
    LabelDraw,
    LabelledCells,
    TrainingSplit,
    draw_pairs,
    gp_ranking,
    label_draws,
    labelled_cells,
    smoothness,
    training_split,
)
from graphnas.analysis.latent_smoothness import latent_means
from graphnas.cell import Architecture, BoolArray, CellArrays, reorder_arrays
from graphnas.encoders import CellAutoencoder, fit, quality
from graphnas.encoders.decoder import TrainingCells, decision_masks
from graphnas.encoders.objective import SVGE, Recipe
from graphnas.encoders.prior import CollapseError
from graphnas.networks import log_costs
from graphnas.spaces import Space
from graphnas.spaces.dag import DagDerivation, DagTopology

HELD_OUT = 42_000
LABELS = (100, 1_000)

COLUMNS = {
    "reconstruction": "reconstruction",
    "sampled_reconstruction": "from a posterior sample",
    "validity": "validity",
    "uniqueness": "uniqueness",
    "active_units": "active units",
    "kl": "KL, nats",
    "spearman_100": "GP Spearman, 100 labels",
    "spearman_1000": "GP Spearman, 1,000 labels",
    "random_pairs": "smoothness, random pairs",
    "walks": "smoothness, walks",
    "pooled": "smoothness, pooled",
    "training_cells_per_cpu_second": "training cells per CPU-s",
}


class FreeDerivation(DagDerivation):
    """Derivations without look-ahead: any label and any edges until the output, which the last place always is."""

    def legal(self) -> BoolArray:
        """All choices of cells that have not ended."""
        decision = self.topology.decisions[self.step]
        ended = (self.cells.size > 1) & (self.cells.size <= decision.vertex)
        legal = np.ones((len(ended), len(decision.choices)), dtype=bool)
        forced = decision.kind == "operation" and decision.vertex == self.topology.max_vertices - 1
        legal[:, 1:] = ~ended[:, None] & ~np.bool_(forced)
        return legal

    def take(self, rows: Any) -> FreeDerivation:
        """Copies of the derivations at the given rows."""
        return FreeDerivation(**vars(super().take(rows)))


class FreeTopology(DagTopology):
    """The same cells are legal, but derivations are not kept to them."""

    def start(self, n: int) -> FreeDerivation:
        """`n` derivations that hold the input vertex alone."""
        return FreeDerivation.empty(self, n)


def without_masks(space: Space) -> Space:
    """The space with `FreeTopology`."""
    free = copy.copy(space)
    free.topology = FreeTopology(space.vocabulary[2:], **space.topology.settings)
    return free


def random_order(arrays: CellArrays, rng: np.random.Generator) -> CellArrays:
    """Renumber the vertices of simplified cells at random such that edges still run forward."""
    n, v = arrays.ops.shape
    rows, score = np.arange(n), rng.random((n, v)) + 1
    order, placed = np.empty((n, v), dtype=np.int64), np.zeros((n, v), dtype=bool)
    for place in range(v):
        waiting = (arrays.adjacency & ~placed[:, :, None]).any(1)
        # Padding has no predecessors but comes last; the input precedes every vertex and every one the output.
        rank = np.where(placed | waiting, -1.0, np.where(arrays.ops < 0, 0.0, score))
        order[:, place] = rank.argmax(1)
        placed[rows, order[:, place]] = True
    return reorder_arrays(arrays, order)


class RelabelledAutoencoder(CellAutoencoder):
    """Knows no canonical form: cells are encoded, and decoded to, in random topological order."""

    rng = np.random.default_rng(0)
    """Source of the orders."""
    relabels = True
    """Whether cells are renumbered; otherwise they are given in canonical order."""

    def arrays(self, architectures: Sequence[Architecture] | CellArrays) -> CellArrays:
        """Cells as arrays in random order."""
        canonical = super().arrays(architectures)
        return random_order(canonical, self.rng) if self.relabels else canonical

    def training_cells(self, architectures: Sequence[Architecture] | CellArrays) -> TrainingCells:
        """Architectures in random order, arrays in their own, with masks."""
        given = architectures if isinstance(architectures, CellArrays) else self.arrays(architectures)
        arrays = given.padded(self.space.topology.max_vertices)
        masks = decision_masks(self.space.topology, arrays)
        graphs = torch.from_numpy(arrays.ops), torch.from_numpy(arrays.adjacency)
        return TrainingCells(*graphs, *graphs, *masks)


@dataclass(frozen=True)
class Row:
    """One way to fit."""

    about: str
    """What differs from the default."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """Fields of the recipe."""
    model: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of `CellAutoencoder.for_space`."""
    autoencoder: type[CellAutoencoder] = CellAutoencoder
    space: Callable[[Space], Space] = lambda space: space
    """From the space to the one that the model is of."""


ROWS = {
    "default": Row("as `graphnas train` fits it"),
    "no-targets": Row(
        "no label-free targets: neither predicted nor compared distances", {"auxiliary": 0.0, "metric": 0.0}
    ),
    "auxiliary-only": Row("targets are predicted, but no distances between cells are learnt", {"metric": 0.0}),
    "metric-only": Row("distances between cells are learnt, but no targets are predicted", {"auxiliary": 0.0}),
    "no-edits": Row("distances between cells are those between targets alone, without edit distance", {"edits": 0.0}),
    "not-canonical": Row("every cell in a random topological order", autoencoder=RelabelledAutoencoder),
    "little-noise": Row("noise 0.01 and beta 0.16, as in SVGe", {"noise": SVGE.noise, "beta": SVGE.beta}),
    "little-noise-no-targets": Row(
        "noise 0.01, beta 0.16 and no label-free targets: SVGe's objective",
        {"noise": SVGE.noise, "beta": SVGE.beta, "auxiliary": 0.0, "metric": 0.0},
    ),
    "beta-0.005": Row("a quarter of the KL's weight", {"beta": 0.005}),
    "beta-0.1": Row("five times the KL's weight", {"beta": 0.1}),
    "latent-16": Row("16 latent dimensions", model={"latent_dim": 16}),
    "latent-56": Row("56 latent dimensions", model={"latent_dim": 56}),
    "message-passing": Row("the encoder without its sum over places", model={"encoder": {"places": 0}}),
    "places": Row("the encoder without message passing", model={"encoder": {"readout": 0}}),
    "dvae": Row("D-VAE's encoder, also with 32 latent dimensions", model={"kind": "dvae", "latent_dim": 32}),
    "no-masks": Row("no masks in training and decoding", space=without_masks),
}


class Yardstick(NamedTuple):
    """What all rows are measured on."""

    space: Space
    split: TrainingSplit
    costs: np.ndarray[Any, np.dtype[np.float64]] | None
    """`n x 2` logarithms of parameters and multiply-adds of the training cells."""
    known: LabelledCells
    draws: dict[int, list[LabelDraw]]
    pairs: EditPairs
    reconstructed: int
    samples: int

    @classmethod
    def read(cls, *, draws: int, pairs: int, reconstructed: int, samples: int) -> Yardstick:
        """List and split the space, look up the labels and draw the pairs."""
        space = Space.load("nasbench101")
        split = training_split(space, held_out=HELD_OUT, seed=0)
        known = labelled_cells(space, split.held_out)
        return cls(
            space,
            split,
            log_costs(space, split.train),
            known,
            label_draws(known.rows, LABELS, range(draws), test=known.test),
            draw_pairs(space, split.held_out, seed=0, pairs=pairs),
            reconstructed,
            samples,
        )


def fitted(
    row: Row, yardstick: Yardstick, seed: int, *, minutes: float | None = None, steps: int = 10**6
) -> tuple[CellAutoencoder, dict[str, float]]:
    """A model of a row, fitted for so many CPU minutes or steps, and its training speed."""
    model = row.autoencoder.for_space(row.space(yardstick.space), seed=seed, **row.model)
    if isinstance(model, RelabelledAutoencoder):
        model.rng = np.random.default_rng(seed)
    history = fit(
        model,
        yardstick.split.train,
        targets=yardstick.costs,
        seed=seed,
        minutes=minutes,
        steps=steps,
        recipe=dataclasses.replace(Recipe.for_space(yardstick.space), **row.recipe),
    )
    return model, training_speed(history)


def measured(model: CellAutoencoder, yardstick: Yardstick, seed: int) -> dict[str, float]:
    """All measures of a fitted model but its speed."""
    some = yardstick.split.held_out.take(slice(yardstick.reconstructed))
    # Novelty is no column: next to no cell is novel where nine tenths of them were fitted.
    values = quality(model, some, train=some.take(slice(1)), seed=seed, prior_samples=yardstick.samples)
    del values["novelty"]
    encoding, known = latent_means(model), yardstick.known
    points = encoding(known.cells)
    for count, draws in yardstick.draws.items():
        scores = [gp_ranking(points, known.labels, draw.train, draw.test, seed=draw.seed) for draw in draws]
        values[f"spearman_{count}"] = float(np.mean([score["spearman"] for score in scores]))
    values |= smoothness(encoding, yardstick.pairs)
    if isinstance(model, RelabelledAutoencoder):
        model.relabels = False
        canonical = quality(model, some, train=some.take(slice(1)), seed=seed, prior_samples=1)
        values["reconstruction_of_canonical"] = canonical["reconstruction"]
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0, help="CPU minutes of each fit")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the training")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--draws", type=int, default=10, help="draws of labelled cells")
    parser.add_argument("--pairs", type=int, default=10_000, help="pairs, and walks, for smoothness")
    parser.add_argument("--reconstructed", type=int, default=20_000, help="held-out cells to reconstruct")
    parser.add_argument("--samples", type=int, default=10_000, help="points of the prior")
    parser.add_argument("--out", type=Path, default=Path("runs/results/ablations_nasbench101.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    sizes = {name: getattr(args, name) for name in ("draws", "pairs", "reconstructed", "samples")}
    record = Record(
        args.out,
        name="ablations_nasbench101",
        figure=f"Parts of the encoder of NAS-Bench-101, {args.minutes:g} CPU minutes a fit",
        settings={
            "minutes": args.minutes,
            "held_out": HELD_OUT,
            "split_seed": 0,
            "recipe": dataclasses.asdict(Recipe.for_space(Space.load("nasbench101"))),
            **sizes,
        },
        columns=COLUMNS,
        rows={name: row.about for name, row in ROWS.items()},
    )
    screen, yardstick = Console(stderr=True), None
    # All rows with one seed before any with the next, so that a run which was stopped has compared them all.
    for seed in range(args.seeds):
        for name in (name for name in args.rows if record.seeds(name) <= seed):
            yardstick = yardstick or Yardstick.read(**sizes)
            screen.print(f"{name}, seed {seed}")
            clock = time.process_time()
            try:
                model, speed = fitted(ROWS[name], yardstick, seed, minutes=args.minutes)
                values, failed = measured(model, yardstick, seed) | speed, ""
            except CollapseError as error:
                values, failed = {}, f"seed {seed}: {error}"
            record.add(name, values, time.process_time() - clock, failed)
    record.show()


if __name__ == "__main__":
    main()
