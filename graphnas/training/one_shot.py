"""One-shot training: the weights that a space's architectures share, fitted along random paths.

Each step trains one architecture on one batch. Architectures are drawn uniformly (Li & Talwalkar 2019, arXiv
1902.07638, RSWS), or from a distribution that is learned beside the weights, on images that these do not see: what one
path reaches on a batch there makes its decisions likelier or less likely (Pham et al. 2018, Sec. 2.2, with free
logits of all decisions in place of a recurrent controller).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from graphnas.cell import Architecture, stack_arrays
from graphnas.networks import SharedWeights
from graphnas.spaces import Space
from graphnas.tasks import Split, Task
from graphnas.training.augmentation import augmented
from graphnas.training.config import TrainingConfig
from graphnas.training.seeds import check_seed

_MOMENTUM, _WEIGHT_DECAY, _CLIP_NORM = 0.9, 3e-4, 5.0  # of DARTS (Liu et al. 2019, Sec. 3.1)
_LOGITS_RATE = 0.003  # of Adam; with ten times as much it settles on one path at once
_BASELINE = 0.9  # decay of the average accuracy that a path is compared with
_ENTROPY = 1e-3  # weight of the entropy of the decisions taken


class PathDistribution:
    """A distribution over the architectures of a space: each decision by its own logits, among its legal choices.

    Args:
        space: Its derivation gives the decisions.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        decisions = space.topology.decisions
        widest = max(len(decision.choices) for decision in decisions)
        self.logits = torch.zeros(len(space.cell_names), len(decisions), widest, requires_grad=True)
        """`cells x decisions x choices`; at first every legal choice is as likely as the others."""

    def draw(self, generator: torch.Generator) -> tuple[Architecture, Tensor, Tensor]:
        """An architecture, its log-probability, and the entropy of the decisions that led to it, in nats."""
        likely, entropy, cells = torch.zeros(()), torch.zeros(()), []
        for logits in self.logits:
            derivation = self.space.topology.start(1)
            for row in logits:
                legal = torch.from_numpy(derivation.legal()[0])
                shares = row[: len(legal)].masked_fill(~legal, -torch.inf).log_softmax(0)
                choice = int(torch.multinomial(shares.detach().exp(), 1, generator=generator))
                derivation.choose(np.array([choice]))
                likely = likely + shares[choice]
                entropy = entropy - (shares[legal].exp() * shares[legal]).sum()
            cells.append(derivation.cells)
        (architecture,) = self.space.from_arrays(stack_arrays(cells))
        return architecture, likely, entropy


def train_shared_weights(
    weights: SharedWeights,
    space: Space,
    task: Task,
    *,
    steps: int,
    learned: bool = False,
    batch_size: int = 64,
    learning_rate: float = 0.1,
    seed: int = 0,
) -> PathDistribution:
    """Fit shared weights in place, by stochastic gradient descent with a cosine schedule of the learning rate.

    Args:
        weights: Of the space's architectures, for the task's images.
        space: Where architectures are drawn from.
        task: Its training split is used, halved if the distribution is learned.
        steps: Batches.
        learned: Whether the distribution is learned after each step on a batch of the other half; `Space.sample` draws
            otherwise, uniformly over classes where it does.
        batch_size: Images in a step.
        learning_rate: At the first step; it falls to 1/25 of it by half a cosine.
        seed: Of the order of the images, their changes, and the architectures.

    Returns:
        The distribution, as it was made if it was not learned.

    Raises:
        ValueError: if `steps` or `batch_size` is below 1, or the seed is out of range.
    """
    if steps < 1 or batch_size < 1:
        raise ValueError(f"Expected steps and batch_size to be at least 1, but got {steps} and {batch_size}")
    rng, generator = np.random.default_rng(check_seed(seed)), torch.Generator().manual_seed(seed)
    order = torch.randperm(len(task.train.labels), generator=generator)
    middle = len(order) // 2 if learned else len(order)
    fitted, judged = _Batches(order[:middle], batch_size), _Batches(order[middle:], batch_size)
    config = TrainingConfig(batch_size=batch_size)
    distribution, average = PathDistribution(space), 1 / task.classes
    adam = torch.optim.Adam([distribution.logits], lr=_LOGITS_RATE)
    optimizer: torch.optim.SGD | None = None
    known = 0
    for step in range(steps):
        architecture = distribution.draw(generator)[0] if learned else space.sample(1, rng)[0]
        network = weights.network(architecture).train()
        if len(weights.parameters) > known:
            group = {"params": weights.parameters[known:]}
            if optimizer is None:
                optimizer = torch.optim.SGD([group], lr=learning_rate, momentum=_MOMENTUM, weight_decay=_WEIGHT_DECAY)
            else:
                optimizer.add_param_group(group)
            known = len(weights.parameters)
        assert optimizer is not None
        for one in optimizer.param_groups:
            one["lr"] = learning_rate * (0.04 + 0.96 * (1 + math.cos(math.pi * step / steps)) / 2)
        rows = fitted.next(generator)
        images = augmented(task.train.images[rows], task, config, generator)
        optimizer.zero_grad()
        task.loss(network(images), task.train.labels[rows]).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP_NORM)
        optimizer.step()
        if learned:
            architecture, likely, entropy = distribution.draw(generator)
            rows = judged.next(generator)
            split = Split(task.train.images[rows], task.train.labels[rows])
            reached = path_accuracy(weights, architecture, task, split)
            adam.zero_grad()
            (-(reached - average) * likely - _ENTROPY * entropy).backward()  # type: ignore[no-untyped-call]
            adam.step()
            average = _BASELINE * average + (1 - _BASELINE) * reached
    return distribution


def path_accuracy(weights: SharedWeights, architecture: Architecture, task: Task, split: Split) -> float:
    """Share of images, all of them one batch, that an architecture classifies correctly with shared weights.

    Args:
        weights: Trained along paths.
        architecture: Of the same space.
        task: Says how images are standardised.
        split: The images.

    Raises:
        ValueError: as `SharedWeights.network`.
    """
    network = weights.network(architecture)
    with torch.no_grad():
        logits = network(task.standardised(split.images))
    return float(task.correct(logits, split.labels).double().mean())


class _Batches:
    """Rows in random order, over and over."""

    def __init__(self, rows: Tensor, size: int) -> None:
        self.rows, self.size, self.left = rows, min(size, len(rows)), rows[:0]

    def next(self, generator: torch.Generator) -> Tensor:
        """The next batch; too few at the end of a pass are left out."""
        if len(self.left) < self.size:
            self.left = self.rows[torch.randperm(len(self.rows), generator=generator)]
        batch, self.left = self.left[: self.size], self.left[self.size :]
        return batch
