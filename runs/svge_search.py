"""The search of the paper that graphnas follows (Lukasik et al. 2020, arXiv 2010.04683), as its program does it.

A sparse Gaussian process (500 inducing points, RBF kernel, 100 steps of Adam at 5e-4) is fitted to latent means; in ten
rounds of 50 points expected improvement is maximised on 10,000 uniform points of the box around the training latents,
the best refined by gradient, and points chosen before count as observed at their predictions. Every point is decoded
500 times, the most frequent legal architecture is evaluated, and a point without any has the worst value. `random`
draws the same number of points uniformly from the box.

- nasbench101: starts from the latents of 1,000 random cells; the value is `test_acc_run0` of the table.
- enas: starts from nine tenths of the measured architectures. The program evaluates others with the shared weights of a
  trained supernet; here a Gaussian process on the one-hot graph, fitted to 1,000 measured architectures and given
  5,000, stands in for these weights, so values are predictions.

The bound of the sparse process is maximised over at most 1,000 random points (Titsias 2009), where the program takes
minibatches; what is predicted follows from all points.

    graphnas train nasbench101 --model svge --minutes 30 --out svge
    python runs/svge_search.py nasbench101 --encoder svge --seeds 3
    python runs/svge_search.py nasbench101 --encoder nasbench101 --seeds 3

Rows that `--out` holds are not measured again.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import gpytorch
import numpy as np
import torch
from botorch.models import SingleTaskGP
from gpytorch.kernels import InducingPointKernel, RBFKernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from numpy.typing import NDArray
from records import Record
from rich.console import Console
from torch import Tensor

from graphnas.analysis import labelled_cells
from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.encoders.svge_protocol import most_frequent
from graphnas.evaluate import open_table
from graphnas.predictors import encoding
from graphnas.predictors.gaussian_process import fit_gaussian_process
from graphnas.predictors.posterior import Posterior
from graphnas.search.acquisition import log_expected_improvement
from graphnas.spaces import Space

ROUNDS, BATCH = 10, 50
INDUCING, STEPS, STEP_SIZE = 500, 100, 5e-4
BOUND = 1_000  # points that the bound is maximised over
GRID, REFINEMENTS = 10_000, 20
DECODINGS = 500
START = 1_000  # random cells of NAS-Bench-101
ORACLE, FITTED = 5_000, 1_000  # measured architectures of ENAS behind the values, and behind hyperparameters
PLACES = (50, 250, 500)
METHODS = ("bo", "random")

Value = Callable[[Sequence[Architecture]], list[float]]


class SparseProcess:
    """A sparse Gaussian process whose hyperparameters stay as they were fitted while points are added."""

    def __init__(self, z: Tensor, y: Tensor, seed: int) -> None:
        self.z, self.mean, self.scale = z, y.mean(), y.std()
        self.y = (y - self.mean) / self.scale
        rows = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))[:BOUND]
        self.inducing = z[rows[:INDUCING]].clone()
        self.likelihood, self.base = GaussianLikelihood(), ScaleKernel(RBFKernel())
        self.base.base_kernel.lengthscale = torch.pdist(self.inducing).median()
        # The inducing points stay: in a hundred such small steps they would hardly move.
        kernel = InducingPointKernel(self.base, inducing_points=self.inducing, likelihood=self.likelihood)
        kernel.inducing_points.requires_grad_(False)
        self.model = SingleTaskGP(
            z[rows], self.y[rows, None], likelihood=self.likelihood, covar_module=kernel, outcome_transform=None
        ).double()
        bound = ExactMarginalLogLikelihood(self.likelihood, self.model)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=STEP_SIZE)
        self.model.train()
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = -bound(self.model(*self.model.train_inputs), self.model.train_targets)
            loss.backward()
            optimizer.step()
        self._condense()

    def _condense(self) -> None:
        """Sums over the points, in terms of the inducing ones, which predictions need (Titsias 2009, Eq. 6)."""
        with torch.no_grad():
            self.noise = self.likelihood.noise.item()
            self.constant = self.model.mean_module.constant.item()
            self.root = torch.linalg.cholesky(
                self._kernel(self.inducing) + 1e-6 * torch.eye(len(self.inducing)).double()
            )
            a = self._whitened(self.z)
            self.gram = torch.eye(len(self.inducing)).double() + a @ a.mT / self.noise
            self.sums = a @ (self.y - self.constant) / self.noise
            self._prepare()

    def _prepare(self) -> None:
        """Weights of kernel values in the mean, and of their products in the variance."""
        identity = torch.eye(len(self.inducing)).double()
        whitening = torch.linalg.solve_triangular(self.root, identity, upper=False)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(self.gram))
        self.weights = whitening.mT @ (inverse @ self.sums)
        self.explained = whitening.mT @ (identity - inverse) @ whitening

    def _kernel(self, z: Tensor) -> Tensor:
        """`m x n` covariances of the inducing points with others."""
        distance = torch.cdist(self.inducing, z) / self.base.base_kernel.lengthscale.detach()
        covariance: Tensor = self.base.outputscale.detach() * torch.exp(-0.5 * distance.square())
        return covariance

    def _whitened(self, z: Tensor) -> Tensor:
        whitened: Tensor = torch.linalg.solve_triangular(self.root, self._kernel(z), upper=False)
        return whitened

    def moments(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """`n` predicted means and standard deviations of the function."""
        kernel = self._kernel(z)
        variance = self.base.outputscale.detach() - (kernel * (self.explained @ kernel)).sum(0)
        return self.constant + kernel.mT @ self.weights, variance.clamp_min(1e-12).sqrt()

    def believe(self, point: Tensor) -> None:
        """Count a point as observed at its predicted mean."""
        with torch.no_grad():
            mean, _ = self.moments(point)
            a = self._whitened(point)
            self.gram += a @ a.mT / self.noise
            self.sums += a[:, 0] * (mean - self.constant) / self.noise
            self._prepare()

    def promising(self, low: Tensor, high: Tensor, generator: torch.Generator) -> Tensor:
        """`1 x d` maximum of expected improvement over a random grid, refined by gradient in the box."""
        grid = low + (high - low) * torch.rand(GRID, len(low), generator=generator, dtype=low.dtype)
        best = self.y.max()
        with torch.no_grad():
            at = grid[log_expected_improvement(*self.moments(grid), best).argmax()][None]
        at = at.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([at], lr=float((high - low).mean()) / 50)
        for _ in range(REFINEMENTS):
            optimizer.zero_grad()
            (-log_expected_improvement(*self.moments(at), best)).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                at.copy_(torch.minimum(torch.maximum(at, low), high))
        return at.detach()


def search(
    method: str,
    encoder: CellAutoencoder,
    start: Sequence[Architecture],
    values: NDArray[np.float64],
    value: Value,
    seed: int,
) -> dict[str, float]:
    """One search of 500 points."""
    with torch.no_grad():
        z = encoder.encode(start)[0].double()
    y = torch.from_numpy(values.copy())
    known = set(encoder.space.hashes(list(start)))
    generator = torch.Generator().manual_seed(seed)
    low, high = z.amin(0), z.amax(0)
    found: list[float] = []
    legal = fresh = 0
    for number in range(ROUNDS):
        if method == "bo":
            process, chosen = SparseProcess(z, y, seed), []
            for _ in range(BATCH):
                point = process.promising(low, high, generator)
                process.believe(point)
                chosen.append(point)
            points = torch.cat(chosen)
        else:
            points = low + (high - low) * torch.rand(BATCH, len(low), generator=generator, dtype=low.dtype)
        decoded = most_frequent(encoder, points.float(), decodings=DECODINGS, seed=seed * ROUNDS + number)
        there = [architecture for architecture in decoded if architecture is not None]
        worst = float(y.min())
        told = iter(value(there))
        got = [worst if architecture is None else next(told) for architecture in decoded]
        hashes = set(encoder.space.hashes(there))
        legal, fresh = legal + len(there), fresh + len(hashes - known)
        known |= hashes
        z, y = torch.cat([z, points]), torch.cat([y, torch.tensor(got, dtype=y.dtype)])
        found += got
    best = np.maximum.accumulate(found)
    return {f"best_{place}": 100 * float(best[place - 1]) for place in PLACES} | {
        "start": 100 * float(values.max()),
        "legal": legal / len(found),
        "new": fresh / len(found),
    }


def of_nasbench101(space: Space, seed: int) -> tuple[list[Architecture], NDArray[np.float64], Value]:
    """Random cells with their accuracies, and the table."""
    table = open_table("nasbench101")
    column = table.column("test_acc_run0").astype(np.float64)
    rows = np.random.default_rng(seed).permutation(len(table))[:START]

    def value(cells: Sequence[Architecture]) -> list[float]:
        return [float(column[row]) for cell in cells if (row := table.row(cell)) is not None]

    return table.architectures(rows.tolist()), column[rows], value


def of_enas(space: Space, seed: int) -> tuple[list[Architecture], NDArray[np.float64], Value]:
    """Nine tenths of the measured architectures, and a process that predicts the accuracy of others."""
    labelled = labelled_cells(space, space.to_arrays(space.sample(1, np.random.default_rng(0))))
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(labelled.labels))
    one_hot = encoding(space, "adjacency")
    points = one_hot(labelled.cells)
    centre, scale = points.mean(0), points.std()
    oracle, labels = rows[:ORACLE], labelled.labels
    mean, deviation = labels[oracle].mean(), labels[oracle].std()
    X = torch.from_numpy((points[oracle] - centre) / scale)
    Y = torch.from_numpy((labels[oracle] - mean) / deviation)
    model = fit_gaussian_process(X[:FITTED], Y[:FITTED, None])
    model.set_train_data(X, Y, strict=False)  # type: ignore[operator]
    posterior = Posterior(model)

    def value(architectures: Sequence[Architecture]) -> list[float]:
        if not architectures:
            return []
        at = torch.from_numpy((one_hot(architectures) - centre) / scale)
        with torch.no_grad():
            predicted: list[float] = (posterior.mean(at) * deviation + mean).tolist()
        return predicted

    chosen = rows[: int(0.9 * len(rows))]
    return space.from_arrays(space.take(labelled.cells, chosen)), labels[chosen], value


SPACES = {"nasbench101": of_nasbench101, "enas": of_enas}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", choices=SPACES)
    parser.add_argument("--encoder", required=True, help="folder or name of an encoder; a row is named after it")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, help="runs/results/svge_search_SPACE.json if not given")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    space = Space.load(args.space)
    encoder = CellAutoencoder.from_pretrained(args.encoder, space=space)
    label = Path(args.encoder).name
    rows = {f"{label}, {method}": f"{method} in the latent space of {label}" for method in METHODS}
    record = Record(
        args.out or Path(f"runs/results/svge_search_{args.space}.json"),
        name=f"svge_search_{args.space}",
        figure=f"The paper's search of {args.space}: best value of the points decoded, %",
        settings={"rounds": ROUNDS, "batch": BATCH, "decodings": DECODINGS, "inducing": INDUCING},
        columns={"start": "best at the start"}
        | {f"best_{place}": f"{place} points" for place in PLACES}
        | {"legal": "share legal", "new": "share new"},
        rows=rows,
    )
    screen = Console(stderr=True)
    for method in args.methods:
        name = f"{label}, {method}"
        for seed in range(record.seeds(name), args.seeds):
            clock = time.process_time()
            start, values, value = SPACES[args.space](space, seed)
            with gpytorch.settings.cholesky_jitter(double_value=1e-5):
                found = search(method, encoder, start, values, value, seed)
            record.add(name, found, time.process_time() - clock)
            screen.print(f"{name}, seed {seed}: {found['best_500']:.3f}")
    record.show()


if __name__ == "__main__":
    main()
