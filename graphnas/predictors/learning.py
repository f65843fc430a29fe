"""What the networks among the predictors share: the loop that fits them, and how targets are standardised."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from graphnas.predictors.encodings import count
from graphnas.predictors.further import FurtherFeatures
from graphnas.predictors.protocol import Architectures, FloatArray, Info, Prediction, Predictor
from graphnas.predictors.regression import check_targets, chunks
from graphnas.spaces import Space

_SLOWER = 0.1  # learning rate of what was fitted before


@dataclass(frozen=True)
class Schedule:
    """How a network is fitted."""

    epochs: int
    batch_size: int
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's moments."""
    weight_decay: float = 0.0
    cosine: bool = False
    """Whether the learning rate falls to zero along a cosine; it stays otherwise."""
    largest_gradient: float | None = None
    """Norm to which gradients are shortened."""


def minimise(
    network: nn.Module,
    n: int,
    loss: Callable[[Tensor], Tensor],
    schedule: Schedule,
    generator: torch.Generator,
    *,
    slowly: nn.Module | None = None,
) -> None:
    """Fit a network by Adam.

    Args:
        network: Its parameters are changed; it is left in evaluation mode.
        n: Number of rows.
        loss: From the numbers of a batch's rows to a loss.
        schedule: Of the fit.
        generator: Orders the rows.
        slowly: A part of the network that was fitted before, and learns at a tenth of the rate.
    """
    fitted = set() if slowly is None else set(slowly.parameters())
    groups: list[dict[str, Any]] = [{"params": [one for one in network.parameters() if one not in fitted]}]
    if fitted:
        groups.append({"params": list(fitted), "lr": _SLOWER * schedule.learning_rate})
    optimizer = torch.optim.Adam(groups, schedule.learning_rate, schedule.betas, weight_decay=schedule.weight_decay)
    steps = -(-n // schedule.batch_size) * schedule.epochs
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) if schedule.cosine else None
    network.train()
    for _ in range(schedule.epochs):
        for rows in torch.split(torch.randperm(n, generator=generator), schedule.batch_size):
            optimizer.zero_grad()
            torch.autograd.backward(loss(rows))
            if schedule.largest_gradient is not None:
                nn.utils.clip_grad_norm_(network.parameters(), schedule.largest_gradient)
            optimizer.step()
            if decay is not None:
                decay.step()
    network.eval()


class NetworkPredictor(Predictor):
    """Base of predictors that fit a network to standardised targets; several outputs are members of an ensemble.

    Args:
        space: Space of the architectures.
        further: Scores and curves whose features follow the inputs.
        seed: Of initial weights and the order of rows.
    """

    def __init__(self, space: Space, *, further: FurtherFeatures | None = None, seed: int = 0) -> None:
        self.space, self.seed = space, seed
        self.further = further or FurtherFeatures()
        self.needs = self.further.needs
        self.network: nn.Module | None = None

    @abstractmethod
    def inputs(self, architectures: Architectures) -> Tensor:
        """`n x ...` numbers that the network takes; `n x f` where there are further features, which follow them."""

    @abstractmethod
    def learn(self, x: Tensor, y: Tensor) -> nn.Module:
        """A network fitted to `n` rows and `n` standardised targets; it maps rows to `n` or `members x n` outputs."""

    def fit(self, architectures: Architectures, targets: FloatArray, info: Info | None = None) -> Self:
        """Standardise targets and learn; the process's random state stays as it is."""
        y = check_targets(targets, count(self.space, architectures))
        self.further.fit(info, len(y))
        self._centre, self._scale = float(y.mean()), float(y.std()) or 1.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            x = self._rows(architectures, self.further(info, len(y)))
            self.network = self.learn(x, torch.from_numpy((y - self._centre) / self._scale).float()).eval()
        return self

    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """Means, and the spread of members where there are several."""
        if self.network is None:
            raise ValueError("Expected a fitted predictor, but fit was not called")
        further = self.further(info, count(self.space, architectures))
        with torch.no_grad():
            parts = [
                self.network(self._rows(part, further[rows])).double().numpy()
                for rows, part in chunks(self.space, architectures)
            ]
        each = np.concatenate(parts, axis=-1) * self._scale + self._centre
        if each.ndim == 1:
            return Prediction(each, np.full_like(each, np.nan))
        return Prediction(each.mean(0), each.std(0))

    def _rows(self, architectures: Architectures, further: FloatArray) -> Tensor:
        rows = self.inputs(architectures)
        return torch.cat([rows, torch.from_numpy(further).float()], dim=1) if further.shape[1] else rows
