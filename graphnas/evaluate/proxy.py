"""A zero-cost proxy as an evaluator."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from graphnas.cell import Architecture
from graphnas.evaluate.protocol import EvaluationFailed, Report, Result
from graphnas.evaluate.training import task_of
from graphnas.networks import NetworkSpace, build_network, count_macs, count_parameters, make_operations, read_skeleton
from graphnas.proxies import PROXIES, proxy_scores
from graphnas.training.seeds import check_seed


class ProxyEvaluator:
    """Builds an architecture's network and scores it on one random minibatch, without training.

    Instances are small and can be pickled: data is loaded where the evaluation runs.

    Args:
        space: Gives the operations and the skeleton.
        proxy: A name of `PROXIES`; `value` is its score.
        task: Name of the task whose training images and classes the minibatch is drawn from.
        further: More proxies, whose scores stand in `Result.metrics`.
        batch_size: Images of the minibatch.
        sizes: Sizes of the skeleton by name, in place of the space's proxy sizes.
        device: Where to compute.

    Raises:
        ValueError: if a proxy or the task is not known, a size is unknown or not a positive integer, or the space's
            table of operations is wrong.
    """

    def __init__(
        self,
        space: NetworkSpace,
        proxy: str = "synflow",
        task: str = "digits",
        *,
        further: Sequence[str] = (),
        batch_size: int = 64,
        sizes: Mapping[str, int] | None = None,
        device: str = "cpu",
    ) -> None:
        unknown = [name for name in (proxy, *further) if name not in PROXIES]
        if unknown:
            raise ValueError(f"Expected proxies out of {', '.join(PROXIES)}, but got {unknown[0]!r}")
        if batch_size < 2:
            raise ValueError(f"Expected batch_size to be at least 2, but got {batch_size!r}")
        self.space = space
        self.proxy = proxy
        self.task = task
        self.further = tuple(further)
        self.batch_size = batch_size
        self.sizes = read_skeleton(space.network, {**space.network.get("proxy", {}), **(sizes or {})}).sizes
        self.device = device
        make_operations(space.operations)
        task_of(task)

    @property
    def name(self) -> str:
        """Names the proxy and the task."""
        return f"proxy:{self.proxy}:{self.task}"

    @property
    def fingerprint(self) -> str:
        """Of the task's images and labels."""
        return task_of(self.task).fingerprint

    @property
    def label(self) -> str:
        """What a value is, for people."""
        return self.proxy

    def evaluate(
        self,
        architecture: Architecture,
        *,
        budget: int | None = None,
        seed: int = 0,
        hyperparameters: Mapping[str, Any] | None = None,
        report: Report | None = None,
        folder: str | Path | None = None,
        until: int | None = None,
    ) -> Result:
        """The score of an architecture's network.

        Args:
            architecture: An architecture of the space.
            budget: Must be None, since nothing is trained.
            seed: Of the initial weights and the minibatch.
            hyperparameters: Must be None or empty, likewise.
            report: Called once, with 1 and the value.
            folder: Not used.
            until: Must be None, likewise.

        Raises:
            EvaluationFailed: if the network cannot be built, does not fit into memory, or has no finite score.
            ValueError: if a budget or hyperparameters are given, or the seed is out of range.
        """
        if budget is not None or until is not None or hyperparameters:
            raise ValueError("A proxy trains nothing: expected no budget, no until and no hyperparameters")
        start, clock, seed = time.perf_counter(), time.process_time(), check_seed(seed)
        task = task_of(self.task)
        generator = torch.Generator().manual_seed(seed)
        try:
            network = build_network(
                architecture,
                self.space,
                sizes=self.sizes,
                classes=task.classes,
                in_channels=task.in_channels,
                generator=generator,
                device=self.device,
            )
            rows = torch.randperm(len(task.train.labels), generator=generator)[: self.batch_size]
            images = task.standardised(task.train.images[rows].to(self.device))
            scores = proxy_scores(network, images, task.train.labels[rows].to(self.device), (self.proxy, *self.further))
        except (ValueError, RuntimeError, MemoryError) as error:
            raise EvaluationFailed(f"the network cannot be scored: {error}") from error
        value = scores[self.proxy]
        if not math.isfinite(value):
            raise EvaluationFailed(f"{self.proxy} is not defined for this network: {value}")
        costs = {
            "parameters": float(count_parameters(network)),
            "macs": float(count_macs(network, (task.in_channels, task.image_size, task.image_size))),
        }
        if report is not None:
            report(1, {"value": value})
        return Result(
            value=value,
            metrics={name: score for name, score in (scores | costs).items() if math.isfinite(score)},
            seconds=time.perf_counter() - start,
            cost=time.process_time() - clock,
            seed=seed,
            evaluator=self.name,
        )
