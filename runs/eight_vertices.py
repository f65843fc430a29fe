"""Propose cells of eight vertices from measured cells of at most seven.

The encoder that comes with the library has seen no cell of more than seven vertices, and `test_acc_run0` is known of
none. A Gaussian process on the latent means of random measured cells predicts the accuracies of others. It judges
random cells of eight vertices first; then, for some rounds, the best are improved: their latent points are ascended by
gradient and decoded under the masks of eight vertices, and their edits are encoded. The best of all are written to a
file that `graphnas evaluate` and `graphnas search --init` read. What they are worth shows when they are trained.

    python runs/eight_vertices.py --labels 1000 --cells 50 --out runs/cells/eight_vertices.json
    graphnas evaluate runs/cells/eight_vertices.json --limit max_vertices=8 --task digits
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import open_table
from graphnas.predictors.gaussian_process import fit_gaussian_process, normal_scores
from graphnas.predictors.metric import MetricEncoder
from graphnas.predictors.posterior import Posterior
from graphnas.search import gradient_search
from graphnas.spaces import Space

LABEL = "test_acc_run0"
VERTICES = 8
RANDOM = 20_000  # random cells of which the first are chosen
KEPT = 64  # cells improved in each round


class Pool:
    """Cells of eight vertices with their predictions; hashes known once are not judged again."""

    def __init__(self, space: Space, encoder: MetricEncoder, predict: Callable[[Tensor], Tensor]) -> None:
        self.space, self.encoder, self.predict = space, encoder, predict
        self.cells: dict[str, tuple[Architecture, float, Tensor, str]] = {}

    def add(self, cells: list[Architecture], source: str) -> None:
        """Judge those of eight vertices that are new."""
        large = [cell for cell in cells if cell.cells[0].size == VERTICES]
        fresh = {key: cell for key, cell in zip(self.space.hashes(large), large, strict=True) if key not in self.cells}
        if fresh:
            z = self.encoder.encode(list(fresh.values()))[0]
            for (key, cell), value, point in zip(fresh.items(), self.predict(z).tolist(), z, strict=True):
                self.cells[key] = cell, value, point, source

    def best(self, n: int) -> list[tuple[Architecture, float, Tensor, str]]:
        return sorted(self.cells.values(), key=lambda one: -one[1])[:n]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=1000, help="measured cells of at most seven vertices")
    parser.add_argument("--cells", type=int, default=50, help="cells of eight vertices to propose")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--encoder", default="nasbench101")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/cells/eight_vertices.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(args.seed)
    space, table = Space.load("nasbench101", max_vertices=VERTICES), open_table("nasbench101")
    encoder = MetricEncoder(space, CellAutoencoder.from_pretrained(args.encoder, space=space))
    rows = rng.permutation(len(table))[: args.labels].tolist()
    values = table.column(LABEL)[rows].astype(float)
    scores = normal_scores(values.tolist())
    with torch.no_grad():
        known = encoder.encode(table.architectures(rows))[0]
    posterior = Posterior(fit_gaussian_process(known, scores))
    screen = Console(stderr=True)
    with torch.no_grad():
        pool = Pool(space, encoder, posterior.mean)
        pool.add(space.sample(RANDOM, rng), "random")
    for number in range(args.rounds):
        best = pool.best(KEPT)
        screen.print(f"round {number}: {len(pool.cells):,} cells, best predicted score {best[0][1]:.3f}")
        starts = torch.stack([z for _, _, z, _ in best])
        found = gradient_search(posterior.mean, encoder, starts, space=space, n=10 * KEPT, steps=10)
        with torch.no_grad():
            pool.add([one.architecture for one in found], "gradient")
            pool.add([edit for cell, _, _, _ in best for edit in space.neighbours(cell)], "edit")
    best = pool.best(args.cells)
    with torch.no_grad():
        deviation = posterior.moments(torch.stack([z for _, _, z, _ in best]))[1].tolist()
    # What the process predicts is a normal score; the accuracy at that rank of the measured cells says it in words.
    order = np.argsort(values, kind="stable")
    text = [
        {
            "rank": rank,
            "predicted_score": round(score, 4),
            "deviation": round(deviation[rank - 1], 4),
            "predicted_accuracy": round(float(np.interp(score, scores[order, 0].numpy(), values[order])), 4),
            "source": source,
            "architecture": json.loads(cell.to_json()),
        }
        for rank, (cell, score, _, source) in enumerate(best, start=1)
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
    screen.print(f"{len(text)} cells written to {args.out}; the best has the predicted score {best[0][1]:.3f}")


if __name__ == "__main__":
    main()
