"""Does an encoder know cells larger than those it was fitted to?

A model is fitted to all 64,542 cells of NAS-Bench-101 of at most 6 vertices, under the masks of that space, and then
encodes and decodes cells of 7 vertices. No weight depends on the number of vertices, so only the masks change. The
encoder that comes with the library, fitted to cells of at most 7 vertices, does the same with random ones of 8.

Measured of the larger cells (20,000 of them; of 7 vertices, only cells that the other encoder was not fitted to
either): reconstruction; validity and uniqueness of 10,000 points of the prior, and of as many points drawn around the
latent means of the larger cells, with the share that has as many vertices; and how a Gaussian process ranks 5,000 cells
of 7 vertices by `test_acc_run0`, from the labels of others of 7 and from those of cells of at most 6 alone, the mean of
ten draws.

    python runs/extrapolation_nasbench101.py --minutes 3 --seeds 3

Rows that `--out` holds are not measured again.
"""

from __future__ import annotations

import argparse
import functools
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from records import Record, training_speed
from rich.console import Console

from graphnas.analysis import gp_ranking, hand_made_encodings, label_draws, labelled_cells, training_split
from graphnas.analysis.latent_smoothness import latent_means
from graphnas.cell import CellArrays, stack_arrays
from graphnas.encoders import CellAutoencoder, fit, quality
from graphnas.networks import log_costs
from graphnas.spaces import Space

HELD_OUT = 42_000
LABELS = (100, 1_000)
TESTED = 5_000
BY_HAND = "one-hot + statistics + paths"

ROWS = {
    "fitted to 6": "fitted to all cells of at most 6 vertices, measured on those of 7",
    "fitted to 7": "the library's encoder, fitted to cells of at most 7 vertices, measured on those of 7",
    BY_HAND: "the hand-made encoding",
    "7 to 8": "the library's encoder, fitted to cells of at most 7 vertices, measured on those of 8",
}

COLUMNS = {
    "reconstruction": "reconstruction of the larger cells",
    "sampled_reconstruction": "from a posterior sample",
    "validity": "validity",
    "uniqueness": "uniqueness",
    "larger": "share of larger cells",
    "near_validity": "validity near larger cells",
    "near_uniqueness": "uniqueness near larger cells",
    "near_larger": "share of larger cells near them",
    "same_100": "GP Spearman, 100 labels of 7 vertices",
    "same_1000": "GP Spearman, 1,000 labels of 7 vertices",
    "smaller_100": "GP Spearman, 100 labels of at most 6",
    "smaller_1000": "GP Spearman, 1,000 labels of at most 6",
    "training_cells_per_cpu_second": "training cells per CPU-s",
}


class Cells:
    """The cells that rows are fitted to and measured on."""

    def __init__(self, reconstructed: int, draws: int) -> None:
        self.space, self.reconstructed = Space.load("nasbench101"), reconstructed
        split = training_split(self.space, held_out=HELD_OUT, seed=0)
        listed = stack_arrays([split.held_out, split.train])
        self.smaller = listed.take(listed.size <= 6).padded(6)
        """All of at most 6 vertices."""
        self.larger = split.held_out.take(split.held_out.size == 7)
        """The held-out ones of 7."""
        small = self.smaller.take(np.random.default_rng(0).permutation(self.smaller.n)[:HELD_OUT])
        known = labelled_cells(self.space, self.larger), labelled_cells(self.space, small.padded(7))
        self.labelled = stack_arrays([one.cells for one in known])
        """Cells of 7 vertices, then some of at most 6."""
        self.labels = np.concatenate([one.labels for one in known])
        n = known[0].cells.n
        test = np.arange(n - TESTED, n)
        self.draws = {
            "same": label_draws(np.arange(n - TESTED), LABELS, range(draws), test=test),
            "smaller": label_draws(np.arange(n, len(self.labels)), LABELS, range(draws), test=test),
        }


def in_space(model: CellAutoencoder, space: Space) -> CellAutoencoder:
    """The model with the same weights in another space."""
    other = CellAutoencoder(model.encoder, model.decoder, space)
    other.shift.copy_(model.shift)
    other.scale.copy_(model.scale)
    return other.eval()


def fitted(cells: Cells, seed: int, minutes: float) -> tuple[CellAutoencoder, dict[str, float]]:
    """A model of the cells of at most 6 vertices and its training speed."""
    space = Space.load("nasbench101", max_vertices=6)
    model = CellAutoencoder.for_space(space, seed=seed)
    costs = log_costs(space, cells.smaller)
    history = fit(model, cells.smaller, targets=costs, seed=seed, minutes=minutes, steps=10**6)
    return model, training_speed(history)


def generation(model: CellAutoencoder, larger: CellArrays, known: CellArrays, *, seed: int, samples: int) -> Any:
    """Reconstruction of cells of one size, and what the prior and the surroundings of their latents decode to."""
    space, vertices = model.space, int(larger.size[0])
    values = quality(model, larger, train=known, seed=seed, prior_samples=samples)
    kept = {name: values[name] for name in ("reconstruction", "sampled_reconstruction", "validity", "uniqueness")}
    z = torch.randn(samples, model.latent_dim, generator=torch.Generator().manual_seed(seed))
    means = model.encode(larger)[0]
    for name, points in {"": z, "near_": means.mean(0) + z * means.std(0)}.items():
        drawn = model.decode_arrays(points)
        legal = drawn.take(space.topology.is_legal(drawn))
        kept[f"{name}larger"] = float((legal.size == vertices).sum()) / samples
        if name:
            kept |= {f"{name}validity": legal.n / samples, f"{name}uniqueness": len(set(space.hashes(legal))) / samples}
    return kept


def ranking(points: NDArray[np.float64], cells: Cells) -> dict[str, float]:
    """Spearman's correlation of a Gaussian process for both sources of labels."""
    return {
        f"{source}_{count}": float(
            np.mean(
                [gp_ranking(points, cells.labels, draw.train, draw.test, seed=draw.seed)["spearman"] for draw in drawn]
            )
        )
        for source, by_count in cells.draws.items()
        for count, drawn in by_count.items()
    }


def of_eight(n: int) -> CellArrays:
    """`n` random cells of 8 vertices."""
    space = Space.load("nasbench101", max_vertices=8)
    rng, found = np.random.default_rng(0), list[CellArrays]()
    while sum(part.n for part in found) < n:
        drawn = space.sample_arrays(n, rng)
        found.append(drawn.take(drawn.size == 8))
    return stack_arrays(found).take(slice(n))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0, help="CPU minutes of each fit")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the training; the other rows are measured once")
    parser.add_argument("--encoder", default="nasbench101", help="name or folder of an encoder of cells of 7 vertices")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--draws", type=int, default=10, help="draws of labelled cells")
    parser.add_argument("--reconstructed", type=int, default=20_000, help="larger cells to reconstruct")
    parser.add_argument("--samples", type=int, default=10_000, help="points drawn")
    parser.add_argument("--out", type=Path, default=Path("runs/results/extrapolation_nasbench101.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    record = Record(
        args.out,
        name="extrapolation_nasbench101",
        figure="Cells of more vertices than the encoder was fitted to",
        settings={name: getattr(args, name) for name in ("minutes", "encoder", "draws", "reconstructed", "samples")},
        columns=COLUMNS,
        rows=ROWS,
    )
    screen, read = Console(stderr=True), functools.cache(lambda: Cells(args.reconstructed, args.draws))
    for name in args.rows:
        for seed in range(record.seeds(name), args.seeds if name == "fitted to 6" else 1):
            cells = read()
            screen.print(f"{name}, seed {seed}")
            clock = time.process_time()
            values: dict[str, float] = {}
            larger = cells.larger.take(slice(args.reconstructed))
            if name == BY_HAND:
                values = ranking(hand_made_encodings(cells.space)[BY_HAND](cells.labelled), cells)
            elif name == "7 to 8":
                model = CellAutoencoder.from_pretrained(args.encoder)
                wide = in_space(model, Space.load("nasbench101", max_vertices=8))
                larger = of_eight(args.reconstructed)
                values = generation(wide, larger, larger, seed=seed, samples=args.samples)
            else:
                if name == "fitted to 6":
                    model, values = fitted(cells, seed, args.minutes)
                else:
                    model = CellAutoencoder.from_pretrained(args.encoder)
                wide = in_space(model, cells.space)
                values |= generation(wide, larger, larger, seed=seed, samples=args.samples)
                values |= ranking(latent_means(wide)(cells.labelled), cells)
            record.add(name, values, time.process_time() - clock)
    record.show()


if __name__ == "__main__":
    main()
