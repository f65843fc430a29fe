"""Regressors that know how sure they are: Bayesian linear models, on given features and on those of a network."""

from __future__ import annotations

import itertools
import math
from typing import Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import BayesianRidge
from torch import Tensor, nn

from graphnas.predictors.protocol import FloatArray

_UNITS = 50
_NOISE = 1e-2  # variance that a network's samples are expected to be off, for standardised targets
_FRICTION = 0.05


class BayesianLinear(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Bayesian linear regression with fixed precisions (Bishop 2006, Eqs. 3.53 and 3.59).

    Args:
        alpha: Precision of the weights' prior.
        beta: Precision of the noise, for standardised targets.
    """

    def __init__(self, alpha: float = 1.0, beta: float = 100.0) -> None:
        self.alpha = alpha
        self.beta = beta

    def fit(self, X: FloatArray, y: FloatArray) -> Self:
        """Fit to `n x f` features and `n` standardised targets."""
        design = _with_one(X)
        # In the space of the fewer of rows and columns; both are exact (Woodbury).
        if len(design) < design.shape[1]:
            gram = np.eye(len(design)) * self.alpha / self.beta + design @ design.T
            self.weights_ = design.T @ np.linalg.solve(gram, y)
            self.covariance_ = None
            self._design, self._gram = design, gram
        else:
            precision = self.alpha * np.eye(design.shape[1]) + self.beta * design.T @ design
            self.covariance_ = np.linalg.inv(precision)
            self.weights_ = self.beta * self.covariance_ @ design.T @ y
        return self

    def predict(self, X: FloatArray, return_std: bool = False) -> FloatArray | tuple[FloatArray, FloatArray]:
        """`n` means, and standard deviations if asked for."""
        design = _with_one(X)
        mean = design @ self.weights_
        if not return_std:
            return mean
        if self.covariance_ is None:
            cross = design @ self._design.T
            known = np.einsum("nm,nm->n", cross, np.linalg.solve(self._gram, cross.T).T)
            variance = ((design**2).sum(1) - known) / self.alpha
        else:
            variance = np.einsum("nf,fg,ng->n", design, self.covariance_, design)
        return mean, np.sqrt(np.maximum(variance, 0) + 1 / self.beta)


class DNGO(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Bayesian linear regression on the last layer of a network (Snoek et al. 2015, arXiv 1502.05700).

    Three layers of 50 tanh units; the precisions of the linear model are those of the largest evidence, where the paper
    averages over samples of them.

    Args:
        epochs: Of the network's training.
        learning_rate: Of Adam, which falls by ten twice.
        batch_size: Rows of a step.
        random_state: Seed of weights and order.
    """

    def __init__(
        self, epochs: int = 500, learning_rate: float = 0.01, batch_size: int = 10, random_state: int = 0
    ) -> None:
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X: FloatArray, y: FloatArray) -> Self:
        """Fit to `n x f` features and `n` standardised targets."""
        generator = torch.Generator().manual_seed(self.random_state)
        x, target = _float(X), _float(y)
        self.body_ = _perceptron([X.shape[1], _UNITS, _UNITS, _UNITS], generator)
        head = _perceptron([_UNITS, 1], generator)[:1]
        optimizer = torch.optim.Adam([*self.body_.parameters(), *head.parameters()], lr=self.learning_rate)
        batch = min(self.batch_size, len(x))
        steps = max(math.ceil(len(x) / batch) * self.epochs, 1)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [steps // 2, 3 * steps // 4])
        for rows in _batches(len(x), batch, steps, generator):
            optimizer.zero_grad()
            (head(self.body_(x[rows]))[:, 0] - target[rows]).square().mean().backward()
            optimizer.step()
            scheduler.step()
        self.head_ = BayesianRidge().fit(self._basis(X), y)
        return self

    def predict(self, X: FloatArray, return_std: bool = False) -> FloatArray | tuple[FloatArray, FloatArray]:
        """`n` means, and standard deviations if asked for."""
        found: FloatArray | tuple[FloatArray, FloatArray] = self.head_.predict(self._basis(X), return_std=return_std)
        return found

    @torch.no_grad()
    def _basis(self, X: FloatArray) -> FloatArray:
        basis: FloatArray = self.body_(_float(X)).double().numpy()
        return basis


class BOHAMIANN(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A Bayesian network sampled by adaptive stochastic gradient Hamiltonian Monte Carlo (Springenberg et al. 2016).

    Three layers of 50 tanh units with a standard normal prior of precision one, and one noise; the step sizes follow
    the gradients' second moments during the burn-in (Eqs. 9 and 10). It burns in for longer, and keeps networks further
    apart, than the 10 and 5 steps of White et al. 2021, whose networks are far from the posterior.

    Args:
        burn_in: Steps before the first sample.
        samples: Networks kept.
        keep_every: Steps from one to the next.
        learning_rate: Step size.
        batch_size: Rows of a step.
        random_state: Seed of weights, order and noise.
    """

    def __init__(
        self,
        burn_in: int = 2_000,
        samples: int = 40,
        keep_every: int = 50,
        learning_rate: float = 0.01,
        batch_size: int = 20,
        random_state: int = 0,
    ) -> None:
        self.burn_in = burn_in
        self.samples = samples
        self.keep_every = keep_every
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X: FloatArray, y: FloatArray) -> Self:
        """Sample networks given `n x f` features and `n` standardised targets."""
        generator = torch.Generator().manual_seed(self.random_state)
        x, target, n = _float(X), _float(y), len(y)
        layers = [*_perceptron([X.shape[1], _UNITS, _UNITS, _UNITS], generator), *_perceptron([_UNITS, 1], generator)]
        network = nn.Sequential(*layers[:-1])
        log_noise = nn.Parameter(torch.tensor(math.log(_NOISE)))
        parameters = [*network.parameters(), log_noise]
        momentum = [torch.zeros_like(one) for one in parameters]
        # Windows, means of gradients and of their squares, which adapt the steps during the burn-in.
        tau, g, v = ([torch.ones_like(one) for one in parameters] for _ in range(3))
        step, batch = self.learning_rate, min(self.batch_size, n)
        total = self.burn_in + self.samples * self.keep_every
        self.kept_: list[dict[str, Tensor]] = []
        for number, rows in enumerate(_batches(n, batch, total, generator)):
            error = network(x[rows])[:, 0] - target[rows]
            noise = log_noise.clamp(-10.0, 2.0)
            likelihood = (error.square() / (2 * noise.exp()) + noise / 2).mean()
            weights = torch.cat([one.flatten() for one in network.parameters()]).square().sum() / 2
            prior = (weights + (log_noise - math.log(_NOISE)).square() / 0.2) / n
            # Of the energy of one row, so that steps do not shrink with their number; the noise does.
            gradients = torch.autograd.grad(likelihood + prior, parameters)
            with torch.no_grad():
                for i, (one, slope) in enumerate(zip(parameters, gradients, strict=True)):
                    if number < self.burn_in:
                        rate = 1 / (tau[i] + 1)
                        tau[i] += 1 - tau[i] * (g[i].square() / v[i].clamp_min(1e-16))
                        g[i] += rate * (slope - g[i])
                        v[i] += rate * (slope.square() - v[i])
                    scale = v[i].clamp_min(1e-16).rsqrt()
                    variance = (2 * step**2 * _FRICTION * scale / n - step**4).clamp_min(1e-16)
                    drawn = torch.randn(one.shape, generator=generator) * variance.sqrt()
                    momentum[i] += drawn - step**2 * scale * slope - _FRICTION * momentum[i]
                    one.add_(momentum[i])
            if number >= self.burn_in and (number - self.burn_in) % self.keep_every == self.keep_every - 1:
                state = {key: value.clone() for key, value in network.state_dict().items()}
                if all(bool(value.isfinite().all()) for value in state.values()):
                    self.kept_.append(state)
        self.network_ = network
        self.noise_ = float(log_noise.detach().clamp(-10.0, 2.0).exp())
        return self

    @torch.no_grad()
    def predict(self, X: FloatArray, return_std: bool = False) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Mean and spread of the sampled networks' predictions; NaN if all diverged."""
        if not self.kept_:
            nothing = np.full(len(X), np.nan)
            return (nothing, nothing) if return_std else nothing
        x, each = _float(X), []
        for state in self.kept_:
            self.network_.load_state_dict(state)
            each.append(self.network_(x)[:, 0].double().numpy())
        mean: FloatArray = np.mean(each, axis=0)
        return (mean, np.sqrt(np.var(each, axis=0) + self.noise_)) if return_std else mean


def _perceptron(widths: list[int], generator: torch.Generator) -> nn.Sequential:
    """Dense layers, each with a tanh, with weights drawn from the generator."""
    layers: list[nn.Module] = []
    for wide, narrow in itertools.pairwise(widths):
        layer = nn.Linear(wide, narrow, device="meta").to_empty(device="cpu")
        nn.init.normal_(layer.weight, std=wide**-0.5, generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers)


def _batches(n: int, batch: int, steps: int, generator: torch.Generator) -> list[Tensor]:
    """So many batches of rows, each row once before any comes again."""
    each = math.ceil(n / batch)
    orders = [torch.randperm(n, generator=generator) for _ in range(math.ceil(steps / each))]
    return [part for order in orders for part in torch.split(order, batch)][:steps]


def _float(values: FloatArray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def _with_one(X: FloatArray) -> FloatArray:
    return np.column_stack([X, np.ones(len(X))])
