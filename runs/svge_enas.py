"""SVGe and the default model on ENAS's measured cells, with equal CPU time, by the measures of the papers.

The 17,118 architectures that were measured after the burn-in are split 90/10 by seed. SVGe has its published network
and recipe (`objective.SVGE`; its 300 epochs take hours, so it sees a part of them), the default model its own. Both are
fitted for `--minutes` of CPU time on one thread and measured by `svge_protocol`: 10 encodings by 10 stochastic
decodings of every held-out architecture, with the noise that the model was fitted with, and 1,000 points of the prior
by 10 decodings. `default, little noise` is the same default model, measured with SVGe's noise of 0.01.

Then a Gaussian process learns the weight-sharing accuracy of the training architectures from their latent means and
predicts that of the others; RMSE is in standard deviations of the training labels. `one-hot` is the hand-made encoding.

    python runs/svge_enas.py --minutes 20 --seeds 3

Rows that `--out` holds are not measured again.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from records import Record, training_speed
from rich.console import Console

from graphnas.analysis import LabelledCells, gp_ranking, hand_made_encodings, label_draws, labelled_cells
from graphnas.analysis.latent_smoothness import latent_means
from graphnas.encoders import CellAutoencoder, fit
from graphnas.encoders.objective import SVGE, Recipe
from graphnas.encoders.svge_protocol import svge_protocol
from graphnas.spaces import Space

SHARED = "default, little noise"
"""Row of the default's model, measured once more."""

ROWS = {
    "svge": "SVGe as published, noise 0.01",
    "default": "the default model, noise 1",
    SHARED: "the same, measured with noise 0.01",
    "one-hot": "hand-made encoding, for the Gaussian process alone",
}

COLUMNS = {
    "reconstruction": "reconstruction",
    "reconstruction_up_to_hash": "reconstruction up to isomorphism",
    "validity": "validity",
    "uniqueness": "uniqueness of stochastic decodings",
    "novelty": "novelty",
    "greedy_uniqueness": "uniqueness of likeliest decodings",
    "pearson": "GP on the latent, r",
    "rmse": "GP on the latent, RMSE",
    "spearman": "GP on the latent, Spearman",
    "training_cells_per_cpu_second": "training cells per CPU-s",
    "epochs": "epochs",
    "encoded_per_cpu_second": "encoded per CPU-s",
    "decoded_per_cpu_second": "decoded per CPU-s, one sample each",
    "parameters": "parameters",
}


def predicted(points: NDArray[np.float64], known: LabelledCells, seed: int) -> dict[str, float]:
    """What a Gaussian process that knows the training architectures' labels says of the others'."""
    ((draw,),) = label_draws(known.rows, [known.most], [seed]).values()
    return gp_ranking(points, known.labels, draw.train, draw.test, seed=seed)


def rate(n: int, work: Callable[[], object]) -> float:
    clock = time.process_time()
    work()
    return n / (time.process_time() - clock)


class Fits:
    """Models fitted to nine tenths of the architectures, each once."""

    def __init__(self, minutes: float) -> None:
        self.minutes, self.space = minutes, Space.load("enas")
        self.known = labelled_cells(self.space, self.space.sample_arrays(1, np.random.default_rng(0)))
        self.one = functools.lru_cache(maxsize=1)(self._fit)

    def _fit(self, kind: str, seed: int) -> tuple[CellAutoencoder, dict[str, float]]:
        ((draw,),) = label_draws(self.known.rows, [self.known.most], [seed]).values()
        train = self.known.cells.take(draw.train)
        model = CellAutoencoder.for_space(self.space, kind=kind, seed=seed)
        recipe = SVGE if kind == "svge" else Recipe.for_space(self.space)
        history = fit(model, train, seed=seed, minutes=self.minutes, steps=10**6, recipe=recipe)
        values = training_speed(history)
        if history:
            values["epochs"] = history[-1]["step"] * recipe.batch_size / train.n
        values["parameters"] = sum(weight.numel() for weight in model.parameters())
        z = torch.randn(2_000, model.latent_dim, generator=torch.Generator().manual_seed(0))
        values["encoded_per_cpu_second"] = rate(train.n, lambda: model.encode(train))
        values["decoded_per_cpu_second"] = rate(len(z), lambda: model.decode_arrays(z, sample=True))
        return model, values

    def measured(self, row: str, seed: int, *, encodings: int, decodings: int, prior_points: int) -> dict[str, float]:
        """All measures of a row."""
        known = self.known
        if row == "one-hot":
            return predicted(hand_made_encodings(self.space)["one-hot"](known.cells), known, seed)
        ((draw,),) = label_draws(known.rows, [known.most], [seed]).values()
        model, values = self.one("svge" if row == "svge" else "graph", seed)
        values = values | svge_protocol(
            model,
            known.cells.take(draw.test),
            train=known.cells.take(draw.train),
            seed=seed,
            encodings=encodings,
            decodings=decodings,
            prior_points=prior_points,
            noise=1.0 if row == "default" else SVGE.noise,
        )
        del values["invalid_decodings"]
        if row != SHARED:
            values |= predicted(latent_means(model)(known.cells), known, seed)
        return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="CPU minutes of each fit")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of split and training")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--encodings", type=int, default=10, help="points drawn around each held-out mean")
    parser.add_argument("--decodings", type=int, default=10, help="decodings of each point")
    parser.add_argument("--prior-points", type=int, default=1_000, help="points of the prior")
    parser.add_argument("--out", type=Path, default=Path("runs/results/svge_enas.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    sizes = {name: getattr(args, name) for name in ("encodings", "decodings", "prior_points")}
    record = Record(
        args.out,
        name="svge_enas",
        figure=f"SVGe and the default model on ENAS, {args.minutes:g} CPU minutes each",
        settings={"minutes": args.minutes, **sizes},
        columns=COLUMNS,
        rows=ROWS,
    )
    screen, fits = Console(stderr=True), functools.cache(lambda: Fits(args.minutes))
    # Seeds outside, rows inside: the default model is fitted once for both of its rows.
    for seed in range(args.seeds):
        for name in args.rows:
            if record.seeds(name) <= seed:
                screen.print(f"{name}, seed {seed}")
                clock = time.process_time()
                values = fits().measured(name, seed, **sizes)
                record.add(name, values, time.process_time() - clock)
    record.show()


if __name__ == "__main__":
    main()
