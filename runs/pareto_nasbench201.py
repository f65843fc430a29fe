"""Accuracy against latency on NAS-Bench-201: latent search of the Pareto set, NSGA-II and random search.

CIFAR-10 validation accuracy is maximised and the measured latency of each of `--devices` minimised. The figure is the
hypervolume of what was queried as a share of that of the whole table, above the table's median accuracy and below its
largest latency. Queries are told in batches of 10; a class that was queried before is answered again and uses up no
query. The latent search knows the reference point; NSGA-II is Optuna's, with a population of 20, over the decisions of
the space.

    python runs/pareto_nasbench201.py --seeds 20

Rows that `--out` holds are not measured again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import optuna
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume
from botorch.utils.multi_objective.pareto import is_non_dominated
from numpy.typing import NDArray
from records import Record
from rich.console import Console

from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import Table, open_table
from graphnas.search import LatentParetoSampler, RandomCellSampler
from graphnas.spaces import Space

DEVICES = ("1080ti_1", "pixel3", "raspi4")
METHODS = ("latent-pareto", "nsga2", "random")
PLACES = (25, 50, 100)
ACCURACY = "c10_val_200"
BATCH = 10
REPEATS = 50  # proposals in a row that use up no query before a random architecture takes their place


class Objectives:
    """Accuracy and latency of every row of the table, and the hypervolume of some of them."""

    def __init__(self, table: Table, device: str) -> None:
        latency = f"lat_ms_{device}"
        self.values = np.column_stack([table.column(ACCURACY), table.column(latency)]).astype(np.float64)
        self.reference = (float(np.median(self.values[:, 0])), float(self.values[:, 1].max()))
        self.whole = self._volume(self.values)

    def share(self, rows: list[int]) -> float:
        """Hypervolume of rows as a share of that of the table."""
        return self._volume(self.values[rows]) / self.whole

    def _volume(self, values: NDArray[np.float64]) -> float:
        signs = torch.tensor([1.0, -1.0], dtype=torch.float64)
        points = torch.from_numpy(values) * signs
        volume = Hypervolume(signs * torch.tensor(self.reference, dtype=torch.float64))
        return float(volume.compute(points[is_non_dominated(points)]))


def make_sampler(
    method: str, space: Space, encoder: CellAutoencoder, objectives: Objectives, seed: int
) -> optuna.samplers.BaseSampler:
    if method == "latent-pareto":
        return LatentParetoSampler(space, encoder, reference_point=objectives.reference, seed=seed)
    if method == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=20, seed=seed)
    return RandomCellSampler(space, seed=seed)


def search(
    space: Space, table: Table, objectives: Objectives, sampler: optuna.samplers.BaseSampler, seed: int
) -> list[int]:
    """Rows in the order of their queries."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    rows: dict[str, int] = {}
    rng, repeats = np.random.default_rng(seed), 0
    while len(rows) < PLACES[-1]:
        asked: list[tuple[optuna.Trial, int]] = []
        while len(asked) < BATCH:
            trial = study.ask()
            architecture = space.suggest(trial)
            key = space.hash(architecture)
            repeats = repeats + 1 if key in rows else 0
            if key not in rows:
                row = table.row(architecture)
                assert row is not None
                rows[key] = row
            asked.append((trial, rows[key]))
            if repeats and repeats % REPEATS == 0:
                study.enqueue_trial(space.parameters(space.sample(1, rng)[0]))
        for trial, row in asked:
            study.tell(trial, objectives.values[row].tolist())
    return list(rows.values())[: PLACES[-1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", nargs="+", default=list(DEVICES), help="endings of the table's lat_ms columns")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("runs/results/pareto_nasbench201.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, table = Space.load("nasbench201"), open_table("nasbench201")
    encoder = CellAutoencoder.from_pretrained("nasbench201")
    record = Record(
        args.out,
        name="pareto_nasbench201",
        figure="Hypervolume of accuracy and latency on NAS-Bench-201, share of the whole table's",
        settings={"accuracy": ACCURACY, "batch": BATCH, "encoder": "nasbench201"},
        columns={f"hypervolume_{place}": f"{place} queries" for place in PLACES},
        rows={f"{device}: {method}": f"{method}, latency of {device}" for device in DEVICES for method in METHODS}
        | {f"{device}: {method}": f"{method}, latency of {device}" for device in args.devices for method in METHODS},
    )
    console = Console()
    for device in args.devices:
        objectives = Objectives(table, device)
        for method in args.methods:
            name = f"{device}: {method}"
            for seed in range(record.seeds(name), args.seeds):
                clock = time.process_time()
                found = search(space, table, objectives, make_sampler(method, space, encoder, objectives, seed), seed)
                shares = {f"hypervolume_{place}": objectives.share(found[:place]) for place in PLACES}
                record.add(name, shares, time.process_time() - clock)
                console.print(f"{name}, seed {seed}: {shares[f'hypervolume_{PLACES[-1]}']:.4f}")
    record.show()


if __name__ == "__main__":
    main()
