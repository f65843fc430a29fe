"""Measure an encoder of NAS-Bench-101: reconstruction, validity, uniqueness, and how well accuracy follows from it.

An isotropic Matern-5/2 Gaussian process on the latent mean, and the same on the one-hot graph, are fitted to a few
labels (`test_acc_run0`, clipped at 0.8: failed trainings) and rank 5,000 other held-out cells. Labels are drawn from
the cells that `graphnas train` holds out for the same `--split-seed` and `--held-out`.

    graphnas train nasbench101 --minutes 7 --held-out 42000
    python runs/encoder_nasbench101.py --seeds 10 --out runs/results/encoder_nasbench101.json
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from botorch.exceptions.warnings import BotorchWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.kernels import MaternKernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from graphnas.cell import CellArrays
from graphnas.encoders import CellAutoencoder, quality
from graphnas.evaluate import NASBench101Table
from graphnas.spaces import Space

TEST_CELLS = 5_000


def one_hot(arrays: CellArrays, vocabulary_size: int) -> torch.Tensor:
    """Operations and adjacency of canonical cells, constant columns dropped."""
    ops = arrays.ops[:, :, None] == np.arange(-1, vocabulary_size)
    edges = arrays.adjacency.reshape(arrays.n, -1)
    features = np.concatenate([ops.reshape(arrays.n, -1), edges], axis=1).astype(np.float64)
    return torch.from_numpy(features[:, features.std(0) > 0])


def gp_spearman(x: torch.Tensor, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Spearman's rank correlation of a Gaussian process's mean with the labels of the test rows."""
    d = x.shape[1]
    labels = torch.from_numpy(y[train])[:, None]
    labels = (labels - labels.mean()) / labels.std()
    kernel = ScaleKernel(MaternKernel(nu=2.5, lengthscale_prior=LogNormalPrior(1.4 + np.log(d) / 2, 1.7)))
    kernel.base_kernel.lengthscale = 2 * d**0.5
    model = SingleTaskGP(x[train], labels, covar_module=kernel, outcome_transform=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BotorchWarning)
        likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
        fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": 60}})
    with torch.no_grad():
        means = [model.posterior(x[test[start : start + 1000]]).mean[:, 0] for start in range(0, len(test), 1000)]
    return float(spearmanr(torch.cat(means), y[test]).statistic)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="nasbench101", help="name or folder of a trained encoder")
    parser.add_argument("--seeds", type=int, default=10, help="draws of the labelled cells")
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--split-seed", type=int, default=0, help="the seed of `graphnas train`")
    parser.add_argument("--held-out", type=int, default=42_000, help="as given to `graphnas train`")
    parser.add_argument("--out", type=Path, default=Path("runs/results/encoder_nasbench101.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    space, table = Space.load("nasbench101"), NASBench101Table.open()
    model = CellAutoencoder.from_pretrained(args.encoder)

    cells = space.enumerate_arrays()
    order = np.random.default_rng(args.split_seed).permutation(cells.n)
    held_out, train = cells.take(order[: args.held_out]), cells.take(order[args.held_out :])
    measured = quality(model, held_out.take(slice(20_000)), train=train)

    clock = time.process_time()
    mu, _ = model.encode(held_out)
    encoded = held_out.n / (time.process_time() - clock)
    z = torch.randn(20_000, model.latent_dim, generator=torch.Generator().manual_seed(0))
    clock = time.process_time()
    model.decode_arrays(z)
    decoded = 20_000 / (time.process_time() - clock)

    rows = [table.row(one) for one in space.from_arrays(held_out)]
    y = np.clip(table.column("test_acc_run0")[np.array(rows)].astype(np.float64), 0.8, None)
    features = {"latent mean": mu.double(), "one-hot": one_hot(held_out, len(space.vocabulary))}
    test = np.arange(held_out.n - TEST_CELLS, held_out.n)
    ranking: dict[str, dict[str, Any]] = {name: {} for name in features}
    for labels in args.labels:
        draws = [
            np.random.default_rng(seed).choice(held_out.n - TEST_CELLS, labels, replace=False)
            for seed in range(args.seeds)
        ]
        for name, x in features.items():
            values = [gp_spearman(x, y, draw, test) for draw in draws]
            ranking[name][str(labels)] = {
                "mean": round(float(np.mean(values)), 4),
                "sd": round(float(np.std(values, ddof=1)), 4) if len(values) > 1 else None,
                "by_seed": [round(value, 4) for value in values],
            }
    result = {
        "name": "encoder_nasbench101",
        "figure": "quality of the latent space; Spearman of a GP from few labels on 5,000 held-out cells",
        "settings": {
            key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items() if key != "out"
        },
        "quality": {key: round(value, 4) for key, value in measured.items()},
        "gp_spearman": ranking,
        "cells_per_cpu_second": {"encode": round(encoded), "decode": round(decoded)},
        "command": shlex.join(["python", *sys.argv]),
        "versions": {name: version(name) for name in ("graphnas", "torch", "botorch", "gpytorch", "numpy")}
        | {"python": platform.python_version()},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    console = Console()
    shown = Table(title="Encoder of NAS-Bench-101")
    shown.add_column("measure")
    shown.add_column("value", justify="right")
    for name, value in measured.items():
        shown.add_row(name.replace("_", " "), f"{value:.4f}")
    for name, by_labels in ranking.items():
        for labels, one in by_labels.items():
            shown.add_row(f"GP Spearman, {labels} labels, {name}", f"{one['mean']:.3f} (sd {one['sd'] or 0:.3f})")
    for name, speed in result["cells_per_cpu_second"].items():
        shown.add_row(f"{name}, cells per CPU second", f"{speed:,}")
    console.print(shown)


if __name__ == "__main__":
    main()
