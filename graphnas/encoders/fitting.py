"""Fitting a cell autoencoder: one loop, exact resume, one device or many, and latents standardised at the end."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, distributed, nn

from graphnas.cell import Architecture, CellArrays
from graphnas.encoders.autoencoder import CellAutoencoder
from graphnas.encoders.checkpoint import FitCheckpoint
from graphnas.encoders.decoder import TrainingCells
from graphnas.encoders.fit_state import Batches, FitState, Keeper, Log, StepSize, agreed, check_budget, digest_of
from graphnas.encoders.legality import legal_hashes
from graphnas.encoders.objective import Objective, Recipe
from graphnas.encoders.performance import LARGEST_LABEL
from graphnas.encoders.prior import active_units, refuse_collapse, standardise_latents
from graphnas.encoders.statistics import structure_targets
from graphnas.spaces.edit_distance import cell_distance, has_cell_distance

Progress = Callable[[Mapping[str, float]], None]

_LABELLED = 128  # labelled architectures a step, beside the batch
_CALIBRATED = 20  # of so many labels or more, a fifth calibrates the head's variances instead of training it


def fit(
    model: CellAutoencoder,
    train: Sequence[Architecture] | CellArrays,
    *,
    validation: Sequence[Architecture] | CellArrays | None = None,
    targets: NDArray[np.float64] | None = None,
    labels: ArrayLike | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    minutes: float | None = None,
    steps: int = 4000,
    recipe: Recipe | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    compiled: bool = False,
    checkpoint: str | Path | None = None,
    report_every: int = 100,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Fit an autoencoder in place.

    The loss of a cell is the negative log-likelihood of its canonical derivation at a noisy `z`, plus the KL divergence
    (both in nats, summed over the cell), plus two label-free terms: the error of predicting `structure_targets`
    linearly from `z`, and how far distances between latent means are from proportional to those between cells, which
    mix edit distances and distances between targets. No performance takes part unless `labels` are given.

    In a process group (torchrun), every process takes its share of each batch and all end with the same weights.

    Args:
        model: Autoencoder; moved to `device`.
        train: Architectures to fit to.
        validation: Those whose reconstruction is reported with the progress.
        targets: `n x t` further label-free statistics of the training cells, such as log parameters, for
            `structure_targets`.
        labels: Performance of each training architecture, larger is better; NaN where it is not known. They train the
            model's performance head, which is added if it has none, together with the rest; of 20 or more, a fifth
            calibrates its variances instead. Without labels a head that the model has is taken away.
        seed: Seed of data order and noise. Equal seeds give equal weights on CPU unless `minutes` ends the run.
        device: Where to compute.
        minutes: Budget above 0, in CPU minutes on CPU and in minutes elsewhere; the schedule is then fitted to it.
        steps: Number of optimiser steps at most, 1 or more.
        recipe: Weights of the terms, batch size and step size; that of `Recipe.for_space` if None.
        precision: Of matrix products in the networks; weights, losses and the optimiser stay in single precision.
        compiled: Compile the objective with `torch.compile`.
        checkpoint: Folder for checkpoints, every minute or 200 steps and at the end; a run of the same cells and
            settings found there is continued with equal results, any other is refused. It is the caller's to delete
            (`FitCheckpoint`'s file is `fit.safetensors`) once the model is safe. Processes of one group share it.
        report_every: Steps between two calls of `progress`.
        progress: Called after so many steps and at the end with step, steps, `TERMS`, cells per second and, every
            thousand steps, the validation's reconstruction and active units.

    Returns:
        What was passed to `progress`, call by call.

    Raises:
        ValueError: if there are no cells, one is not of the space, `targets` or `labels` have another number of rows,
            fewer than two labels are known, the seed is negative, or the checkpoint is damaged or of another fit.
        CollapseError: if fewer than two latent units (or the only one) are active at the end, or already half-way.
        FloatingPointError: if the loss is not finite.
    """
    recipe = recipe or Recipe.for_space(model.space)
    if not 0 <= seed < 2**31:
        raise ValueError(f"Expected seed to be from 0 to {2**31 - 1}, but got {seed}")
    check_budget(steps, report_every, minutes)
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"Expected precision to be float32 or bfloat16, but got {precision!r}")
    arrays = model.arrays(train)
    labels = None if labels is None else np.asarray(labels, dtype=np.float64)
    if arrays.n == 0:
        raise ValueError("Expected train to hold at least one cell, but it is empty")
    legal = model.space.topology.is_legal(arrays)
    if not legal.all():
        raise ValueError(
            f"Expected train to hold cells of {model.space.name} with {model.space.topology.settings}, but "
            f"{(~legal).sum():,} of {arrays.n:,} are not, the first in row {legal.argmin()}"
        )
    if validation is not None:
        validation = model.arrays(validation)
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    batch_size = min(recipe.batch_size, arrays.n)
    if batch_size < world:
        raise ValueError(f"Expected a cell or more a step for each of {world} processes, but got {batch_size}")
    if labels is None:
        # What a head says of a latent space that moves on is wrong.
        model.performance = None
    place = torch.device(device)
    wanted = cell_targets(model, arrays, targets, recipe).to(place)
    cells = model.training_cells(arrays)
    labelled = None if labels is None else _labelled(model, cells, labels, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        objective = Objective(model, recipe, wanted.shape[1]).to(place).train()
    parameters = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    one_cycle = recipe.schedule == "one_cycle"
    # Fused Adam is the fastest, its weight decay zero.
    betas = (0.9, 0.98 if one_cycle else 0.999)
    optimizer = torch.optim.Adam(parameters, lr=recipe.learning_rate, betas=betas, fused=True)
    run: nn.Module = objective
    if world > 1:
        # Without decisions on edges the part of the decoder that scores them has no gradient.
        whole = any(decision.kind != "operation" for decision in model.space.topology.decisions)
        run = nn.parallel.DistributedDataParallel(objective, find_unused_parameters=not whole)
    if compiled:
        run = cast(nn.Module, torch.compile(run))
    batches = Batches(arrays.n, batch_size, seed)
    state = FitState(steps, math.inf if minutes is None else minutes * 60, place)
    rate = StepSize(optimizer, recipe, batches.per_epoch)
    log = Log(state, batch_size, place)
    store = None
    if checkpoint is not None:
        about = _identity(model, arrays, wanted, labels) | {
            "seed": seed,
            "precision": precision,
            "processes": world,
            "steps": steps,
            "minutes": minutes,
            **asdict(recipe),
        }
        store = FitCheckpoint(Path(checkpoint), about, objective, optimizer)
    generator = torch.Generator(device=place)

    def examine(row: dict[str, float]) -> None:
        """What the model keeps of the validation's cells."""
        if validation is not None:
            row["reconstruction"] = reconstruction(model, validation)
            row["active_units"] = active_units(model, validation, recipe.noise)
            objective.train()
            if row["done"] > 0.5:
                refuse_collapse(int(row["active_units"]), model)

    keeper = Keeper(
        state,
        rate,
        log,
        store=store,
        report_every=report_every,
        progress=progress,
        examine=examine,
        first=rank == 0,
    )
    while (done := agreed(state.done(), place, world)) < 1:
        rows = batches.rows(state.step)[rank::world]
        # The noise of a step depends on seed, step and process alone, so a resumed run needs no generator state.
        generator.manual_seed(int(np.random.SeedSequence((seed, state.step, rank)).generate_state(1, np.uint64)[0]))
        noise = torch.randn(len(rows), model.cell_dim, generator=generator, device=place)
        warm = torch.tensor(min(1.0, done * 10) if one_cycle else 1.0, device=place)
        apart = batch_edits(model, arrays, rows) if recipe.metric and recipe.edits else None
        known: tuple[TrainingCells | None, Tensor | None] = (None, None)
        if labelled is not None:
            known = labelled.batch(np.random.default_rng((seed, state.step, rank)), place)
        with torch.autocast(place.type, torch.bfloat16, enabled=precision == "bfloat16"):
            terms = run(cells.take(rows).to(place), wanted[rows.to(place)], noise, warm, apart, *known)
        optimizer.zero_grad(set_to_none=True)
        terms[0].backward()
        if one_cycle:
            nn.utils.clip_grad_norm_(parameters, 1.0)
        rate.before_step(done)
        optimizer.step()
        keeper.after_step(terms.detach())
        rate.after_step(state.step, terms[0].detach(), lambda loss: agreed(loss, place, world))
        keeper.tell_and_save()
    keeper.end()
    objective.eval()
    if labelled is not None:
        labelled.calibrate(model)
    standardise_latents(model, cells, recipe.noise)
    return log.history


def _identity(
    model: CellAutoencoder, arrays: CellArrays, wanted: Tensor, labels: NDArray[np.float64] | None
) -> dict[str, Any]:
    """What tells the fit of a model to some cells from another."""
    return {
        "cells": hashlib.blake2b(arrays.ops.tobytes() + arrays.adjacency.tobytes(), digest_size=8).hexdigest(),
        "vocabulary": list(model.space.vocabulary),
        "encoder": model.encoder.settings,
        "decoder": model.decoder.settings,
        "topology": model.space.topology.settings,
        "labels": None if labels is None else hashlib.blake2b(labels.tobytes(), digest_size=8).hexdigest(),
        "targets": digest_of(wanted),
        "performance": None if model.performance is None else model.performance.settings,
        "weights": digest_of(*model.state_dict().values()),
    }


def reconstruction(model: CellAutoencoder, architectures: Sequence[Architecture] | CellArrays) -> float:
    """Share of architectures that greedy decoding of the latent mean returns, up to `Space.hash`."""
    model.eval()
    arrays = model.arrays(architectures)
    decoded = model.decode_arrays(model.encode(arrays)[0])
    return float(np.mean(np.array(model.space.hashes(arrays)) == legal_hashes(model.space, decoded)))


class _Labelled:
    """The labelled architectures and their standardised labels; where there are enough, some calibrate the head."""

    def __init__(self, cells: TrainingCells, labels: Tensor, parts: int, seed: int) -> None:
        self.cells, self.labels, self.parts = cells, labels, parts
        rows = np.random.default_rng(seed).permutation(len(labels))
        apart = len(rows) // 5 if len(rows) >= _CALIBRATED else 0
        self.apart, self.learned = rows[:apart], rows[apart:]

    def batch(self, rng: np.random.Generator, device: torch.device) -> tuple[TrainingCells, Tensor]:
        """Some of those learned from, on a device."""
        return self._take(rng.choice(self.learned, min(len(self.learned), _LABELLED), replace=False), device)

    @torch.no_grad()
    def calibrate(self, model: CellAutoencoder) -> None:
        """Fit the variances of the model's head to the errors on the labels that it did not learn from."""
        if model.performance is None or not len(self.apart):
            return
        cells, labels = self._take(self.apart, model.device)
        mu, _ = model.encoder(cells.read_ops.long(), cells.read_adjacency.float())
        model.performance.calibrate(mu.reshape(len(labels), -1), labels)

    def _take(self, rows: NDArray[np.int64], device: torch.device) -> tuple[TrainingCells, Tensor]:
        places = torch.from_numpy(rows)
        of_cells = (places[:, None] * self.parts + torch.arange(self.parts)).flatten()
        return self.cells.take(of_cells).to(device), self.labels[places].to(device)


def _labelled(model: CellAutoencoder, cells: TrainingCells, labels: NDArray[np.float64], seed: int) -> _Labelled:
    """Check the labels, and see to the head that learns them."""
    parts = len(model.space.cell_names)
    if labels.shape != (len(cells.ops) // parts,):
        raise ValueError(f"Expected labels to be {len(cells.ops) // parts} numbers, but got shape {labels.shape}")
    rows = np.flatnonzero(~np.isnan(labels))
    if len(rows) < 2:
        raise ValueError(f"Expected two or more labels that are known, but got {len(rows)}")
    spread = float(labels[rows].std()) if np.isfinite(labels[rows]).all() else math.inf
    if not np.abs(labels[rows]).max() <= LARGEST_LABEL or 0 < spread < 1 / LARGEST_LABEL:
        raise ValueError(
            f"Expected labels of at most {LARGEST_LABEL:g} that are equal or differ by {1 / LARGEST_LABEL:g} or more, "
            f"but got {labels[rows].min():g} to {labels[rows].max():g}"
        )
    head = model.performance or model.add_performance_head(seed=seed)
    head.label_mean.fill_(float(labels[rows].mean()))
    head.label_std.fill_(spread or 1.0)
    standard = (torch.from_numpy(labels[rows]) - head.label_mean.cpu().double()) / head.label_std.cpu().double()
    of_cells = torch.from_numpy((rows[:, None] * parts + np.arange(parts)).ravel())
    return _Labelled(cells.take(of_cells), standard.float(), parts, seed)


def cell_targets(
    model: CellAutoencoder, arrays: CellArrays, further: NDArray[np.float64] | None, recipe: Recipe
) -> Tensor:
    """`n x t` label-free targets of canonical cells in the coordinates of their own space; none if nothing needs them.

    Raises:
        ValueError: if the further ones have another number of rows or are not finite.
    """
    if further is not None and (further.ndim != 2 or further.shape[0] != arrays.n or not np.isfinite(further).all()):
        raise ValueError(f"Expected targets to be {arrays.n} x t and finite, but got shape {further.shape}")
    if not (recipe.auxiliary or recipe.metric):
        return torch.zeros(arrays.n, 0)
    return torch.from_numpy(
        structure_targets(arrays, model.space.vocabulary, further, places_size=recipe.places)
    ).float()


def batch_edits(model: CellAutoencoder, arrays: CellArrays, rows: Tensor) -> Tensor | None:
    """Edit distances of the first half of the rows from the second half, if cells are small enough."""
    topology, half = model.space.topology, len(rows) // 2
    if not has_cell_distance(topology):
        return None
    first, second = (arrays.take(part.numpy()) for part in (rows[:half], rows[half : 2 * half]))
    return torch.from_numpy(cell_distance(topology, first, second)).float().to(model.device)
