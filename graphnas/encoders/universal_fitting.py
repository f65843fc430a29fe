"""Fitting one universal autoencoder to the cells of several spaces at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from graphnas.cell import CellArrays
from graphnas.encoders.autoencoder import CellAutoencoder
from graphnas.encoders.checkpoint import FitCheckpoint
from graphnas.encoders.decoder import TrainingCells
from graphnas.encoders.fit_state import Batches, FitState, Keeper, Log, StepSize, check_budget, digest_of
from graphnas.encoders.fitting import batch_edits, cell_targets, reconstruction
from graphnas.encoders.objective import Objective, Recipe
from graphnas.encoders.prior import refuse_collapse
from graphnas.encoders.statistics import FloatArray, shared_targets
from graphnas.spaces import Space
from graphnas.spaces.universal import ANY, UNIVERSAL, computed, universal_arrays

_FITTED = 10_000  # architectures of each space that shift and scale are those of, evenly spread


@dataclass(frozen=True)
class Part:
    """The cells of one space in a universal fit."""

    space: Space
    arrays: CellArrays
    """Canonical cells."""
    batch_size: int
    """Cells of it in every step."""
    targets: FloatArray | None = None
    """`n x t` further label-free statistics of its cells, as `fit` takes them."""
    validation: CellArrays | None = None
    """Architectures whose reconstruction is reported with the progress."""
    weight: float = 1.0
    """Of its loss among those of all spaces."""


class _Batch(NamedTuple):
    """Cells of one space in a step."""

    cells: TrainingCells
    targets: Tensor
    shared: Tensor
    noise: Tensor
    edits: Tensor | None


class UniversalObjective(nn.Module):
    """The losses of all spaces' cells, and the error of predicting shared targets linearly from their latents.

    Args:
        models: One autoencoder for each space, all of the same weights.
        recipes: Weights of the terms in each space.
        targets: Numbers of each space's own targets, and last of the shared ones.
        shared: Weight of the shared targets' error.
        weights: Of the spaces' losses.
    """

    weights: Tensor

    def __init__(
        self,
        models: Sequence[CellAutoencoder],
        recipes: Sequence[Recipe],
        targets: Sequence[int],
        shared: float,
        weights: Sequence[float],
    ) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights) / sum(weights), persistent=False)
        self.parts = nn.ModuleList(map(Objective, models, recipes, targets[:-1]))
        self.head = nn.Linear(models[0].cell_dim, targets[-1])
        self.shared = shared

    def forward(self, batches: Sequence[_Batch], warm: Tensor) -> Tensor:
        """`TERMS`: the weighted loss, and means over spaces; the auxiliary error is that of the shared targets.

        Args:
            batches: Of each space.
            warm: Share of the KL's weight that is in force.
        """
        totals, parts = [], []
        for part, (cells, targets, shared, noise, edits) in zip(self.parts, batches, strict=True):
            z, total, terms = cast(Objective, part).bound(cells, targets, noise, warm, edits)
            error = (self.head(z) - shared).square().sum(-1).mean()
            totals.append(total + self.shared * error)
            parts.append(torch.cat([terms[:2], error.detach()[None], terms[3:], terms.new_zeros(1)]))
        return torch.cat([(self.weights * torch.stack(totals)).sum()[None], torch.stack(parts).mean(0)])


def fit_universal(
    model: CellAutoencoder,
    parts: Sequence[Part],
    *,
    seed: int = 0,
    minutes: float | None = None,
    steps: int = 4000,
    shared: float = 2.0,
    checkpoint: str | Path | None = None,
    report_every: int = 100,
    progress: Callable[[Mapping[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Fit a universal autoencoder in place, on the CPU.

    In every step each space adds the loss that `fit` would give a batch of its cells, by the space's own recipe. Beside
    their own targets, cells predict from `z` what their graph computes, in coordinates that all spaces share.

    Args:
        model: A universal autoencoder.
        parts: The spaces, their cells and batch sizes.
        seed: Seed of data order and noise.
        minutes: Budget in CPU minutes; the schedule is then fitted to it.
        steps: Number of optimiser steps at most.
        shared: Weight of the shared targets' error.
        checkpoint: Folder for checkpoints, as of `fit`.
        report_every: Steps between two calls of `progress`.
        progress: Called after so many steps and at the end with step, steps, `TERMS`, cells per second and, every
            thousand steps, each space's reconstruction.

    Returns:
        What was passed to `progress`, call by call.

    Raises:
        ValueError: if the model is not universal, there are no parts, one has fewer cells than its batch or no weight,
            or the checkpoint is damaged or of another fit.
        CollapseError: if fewer than two latent units are active at the end.
        FloatingPointError: if the loss is not finite.
    """
    if not parts or any(not 1 <= part.batch_size <= part.arrays.n for part in parts):
        raise ValueError("Expected one part or more, each of as many cells as a batch or more")
    if any(not part.weight > 0 for part in parts):
        raise ValueError(f"Expected weights above 0, but got {[part.weight for part in parts]}")
    check_budget(steps, report_every, minutes)
    models = [model.bound_to(part.space) for part in parts]
    recipes = [Recipe.for_space(part.space) for part in parts]
    read = [universal_arrays(part.space, part.arrays) for part in parts]
    common = [torch.from_numpy(one).float() for one in shared_targets([computed(one) for one in read], UNIVERSAL)]
    # Graphs over all labels have no targets of their own.
    wanted = [
        one if part.space.name == ANY else cell_targets(bound, part.arrays, part.targets, recipe)
        for bound, part, recipe, one in zip(models, parts, recipes, common, strict=True)
    ]
    cells = [bound.training_cells(part.arrays) for bound, part in zip(models, parts, strict=True)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        counts = [*(one.shape[1] for one in wanted), common[0].shape[1]]
        objective = UniversalObjective(models, recipes, counts, shared, [part.weight for part in parts]).train()
    recipe = recipes[0]
    optimizer = torch.optim.Adam(objective.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)
    batches = [Batches(part.arrays.n, part.batch_size, seed) for part in parts]
    place = torch.device("cpu")
    state = FitState(steps, math.inf if minutes is None else minutes * 60, place)
    rate = StepSize(optimizer, recipe, batches[0].per_epoch)
    log = Log(state, sum(part.batch_size for part in parts), place)
    store = None
    if checkpoint is not None:
        about = {
            "cells": digest_of(*(one.ops for one in cells), *(one.adjacency for one in cells)),
            "targets": digest_of(*wanted, *common),
            "weights": digest_of(*model.state_dict().values()),
            "batches": [part.batch_size for part in parts],
            "parts": [part.weight for part in parts],
            "recipes": [asdict(one) for one in recipes],
            "shared": shared,
            "seed": seed,
            "steps": steps,
            "minutes": minutes,
        }
        store = FitCheckpoint(Path(checkpoint), about, objective, optimizer)
    generator = torch.Generator()

    def examine(row: dict[str, float]) -> None:
        """What the model keeps of each space's other cells."""
        for bound, part in zip(models, parts, strict=True):
            if part.validation is not None:
                row[f"reconstruction.{part.space.name}"] = reconstruction(bound, part.validation)
        objective.train()

    keeper = Keeper(state, rate, log, store=store, report_every=report_every, progress=progress, examine=examine)
    while (done := state.done()) < 1:
        given = []
        for number, (bound, part) in enumerate(zip(models, parts, strict=True)):
            rows = batches[number].rows(state.step)
            generator.manual_seed(
                int(np.random.SeedSequence((seed, state.step, number)).generate_state(1, np.uint64)[0])
            )
            noise = torch.randn(len(rows), model.cell_dim, generator=generator)
            edits = batch_edits(bound, part.arrays, rows) if recipes[number].edits else None
            given.append(_Batch(cells[number].take(rows), wanted[number][rows], common[number][rows], noise, edits))
        terms = objective(given, torch.tensor(min(1.0, done * 10)))
        optimizer.zero_grad(set_to_none=True)
        terms[0].backward()
        nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        rate.before_step(done)
        optimizer.step()
        keeper.after_step(terms.detach())
        keeper.tell_and_save()
    keeper.end()
    objective.eval()
    _standardise(model, models, parts)
    return log.history


@torch.no_grad()
def _standardise(model: CellAutoencoder, models: Sequence[CellAutoencoder], parts: Sequence[Part]) -> None:
    """Shift and scale of the latents of all spaces together, each of which counts the same."""
    model.shift.zero_()
    model.scale.fill_(1.0)
    means, squares = [], []
    for bound, part in zip(models, parts, strict=True):
        count = part.arrays.n // len(part.space.cell_names)
        rows = np.linspace(0, count - 1, min(count, _FITTED)).astype(np.int64)
        mu, logvar = (one.reshape(-1, model.cell_dim) for one in bound.encode(part.space.take(part.arrays, rows)))
        means.append(mu.mean(0))
        squares.append(mu.square().mean(0) + logvar.exp().mean(0))
    mean = torch.stack(means).mean(0)
    variance = torch.stack(squares).mean(0) - mean.square()
    refuse_collapse(int((variance > 0.1).sum()), model)
    model.shift.copy_(mean)
    model.scale.copy_(variance.sqrt())
