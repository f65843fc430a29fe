"""Fitting a cell autoencoder: one loop, exact resume, and a latent space standardised at the end."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from graphnas.cell import Architecture, CellArrays
from graphnas.encoders.autoencoder import CellAutoencoder, kl_to_standard_normal, reparameterize
from graphnas.encoders.decoder import ScoredDecisions, TrainingCells, decision_loss
from graphnas.encoders.statistics import structure_targets

Progress = Callable[[Mapping[str, float]], None]


class CollapseError(RuntimeError):
    """The latent space carries no information: fewer than two units are active."""


def fit(
    model: CellAutoencoder,
    train: Sequence[Architecture] | CellArrays,
    *,
    validation: Sequence[Architecture] | CellArrays | None = None,
    targets: NDArray[np.float64] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    minutes: float | None = None,
    steps: int = 4000,
    batch_size: int = 512,
    learning_rate: float = 3e-3,
    beta: float = 0.05,
    auxiliary_weight: float = 20.0,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Fit an autoencoder in place.

    The loss of a cell is the negative log-likelihood of its canonical derivation under the masks, at `z` drawn with
    its full noise, plus `beta` times the KL divergence (both in nats, summed over the cell), plus the mean squared
    error of standardised label-free targets predicted from `z`. No accuracy takes part.

    Args:
        model: Autoencoder; moved to `device`.
        train: Cells to fit to.
        validation: Cells whose reconstruction is reported with the progress.
        targets: `n x t` further label-free targets of the training cells, such as log parameters, beside
            `structure_targets`.
        seed: Seed of data order and noise. Equal seeds give equal weights on CPU unless `minutes` ends the run.
        device: Where to compute.
        minutes: Budget, in CPU minutes on CPU and in minutes elsewhere; the schedule is then fitted to it.
        steps: Number of optimiser steps at most.
        batch_size: Cells a step.
        learning_rate: Peak of a one-cycle schedule of Adam's step size.
        beta: Weight of the KL divergence, reached after a tenth of the run.
        auxiliary_weight: Weight of the auxiliary targets' error.
        checkpoint: Folder for checkpoints; a run of the same cells and settings found there is continued with equal
            results, any other is refused.
        progress: Called about every hundred steps with step, steps, loss, its parts, cells per second and the
            validation's reconstruction.

    Returns:
        What was passed to `progress`, call by call.

    Raises:
        ValueError: if there are no cells, `targets` has another number of rows, the seed is negative, or the
            checkpoint is damaged or of another fit.
        CollapseError: if fewer than two latent units are active at the end.
        FloatingPointError: if the loss is not finite.
    """
    if not 0 <= seed < 2**31:
        raise ValueError(f"Expected seed to be from 0 to {2**31 - 1}, but got {seed}")
    arrays = model.arrays(train)
    if arrays.n == 0:
        raise ValueError("Expected train to hold at least one cell, but it is empty")
    auxiliary = structure_targets(arrays, model.space.vocabulary)
    if targets is not None:
        if targets.ndim != 2 or targets.shape[0] != arrays.n or not np.isfinite(targets).all():
            raise ValueError(f"Expected targets to be {arrays.n} x t and finite, but got shape {targets.shape}")
        auxiliary = np.column_stack([targets, auxiliary])
    wanted = _standardised(auxiliary).to(device)
    cells = model.training_cells(arrays)
    model.to(device).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Sequential(nn.Linear(model.cell_dim, 256), nn.GELU(), nn.Linear(256, wanted.shape[1])).to(device)
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.98), fused=True)
    generator = torch.Generator(device=device)
    batch_size = min(batch_size, arrays.n)
    per_epoch = arrays.n // batch_size
    clock = time.process_time if torch.device(device).type == "cpu" else time.perf_counter
    budget = math.inf if minutes is None else minutes * 60

    history: list[dict[str, float]] = []
    step, spent = 0, 0.0
    about = {
        "cells": hashlib.blake2b(arrays.ops.tobytes() + arrays.adjacency.tobytes(), digest_size=8).hexdigest(),
        "vocabulary": list(model.space.vocabulary),
        "encoder": model.encoder.settings,
        "decoder": model.decoder.settings,
        "targets": wanted.shape[1],
        "seed": seed,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "beta": beta,
        "auxiliary_weight": auxiliary_weight,
    }
    store = None if checkpoint is None else _Checkpoint(Path(checkpoint), about, model, head, optimizer)
    if store is not None and store.exists():
        step, spent, history = store.load()
    order, shuffled = -1, torch.empty(0, dtype=torch.long)
    start, reported, since = clock(), clock(), step
    sums = torch.zeros(4, device=device)
    while step < steps:
        used = spent + clock() - start
        done = max(step / steps, used / budget)
        if done >= 1:
            break
        if order != step // per_epoch:
            order = step // per_epoch
            shuffled = torch.from_numpy(np.random.default_rng((seed, order)).permutation(arrays.n))
        at = step % per_epoch * batch_size
        rows = shuffled[at : at + batch_size]
        # The noise of a step depends on seed and step alone, so a resumed run needs no generator state.
        generator.manual_seed((seed << 32) + step)
        batch = cells.take(rows).to(device)
        nll, kl, mse = _losses(model, head, batch, wanted[rows.to(device)], generator)
        loss = nll + beta * min(1.0, done * 10) * kl + auxiliary_weight * mse
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * _one_cycle(done)
        optimizer.step()
        sums += torch.stack([loss.detach(), nll.detach(), kl.detach(), mse.detach()])
        step += 1
        if step % 100 == 0 or step == steps:
            values = (sums / (step - since)).tolist()
            if not math.isfinite(values[0]):
                raise FloatingPointError(f"The loss became {values[0]} before step {step}; try a lower learning rate")
            row = dict(zip(("loss", "reconstruction_nats", "kl_nats", "auxiliary_mse"), values, strict=True))
            row |= {"step": step, "steps": steps, "done": max(step / steps, (spent + clock() - start) / budget)}
            row["cells_per_second"] = (step - since) * batch_size / max(clock() - reported, 1e-9)
            if validation is not None and step % 1000 == 0:
                row["reconstruction"] = reconstruction(model, validation)
                model.train()
            history.append(row)
            if progress is not None:
                progress(row)
            if store is not None and step % 200 == 0:
                store.save(step, spent + clock() - start, history)
            sums.zero_()
            since, reported = step, clock()
    model.eval()
    _standardise_latents(model, cells)
    if store is not None:
        store.remove()
    return history


def reconstruction(model: CellAutoencoder, cells: Sequence[Architecture] | CellArrays) -> float:
    """Share of cells that greedy decoding of the latent mean returns, up to isomorphism."""
    model.eval()
    arrays = model.arrays(cells)
    decoded = model.decode_arrays(model.encode(arrays)[0])
    return float(np.mean(np.array(model.space.hashes(arrays)) == np.array(model.space.hashes(decoded))))


def _losses(
    model: CellAutoencoder, head: nn.Module, batch: TrainingCells, wanted: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch means: reconstruction and KL in nats a cell, and the targets' squared error."""
    ops, adjacency = batch.ops.long(), batch.adjacency.float()
    mu, logvar = model.encoder(ops, adjacency)
    z = reparameterize(mu, logvar, generator)
    scored = ScoredDecisions.of(model.space.topology, z.device)
    op_logits, pair_logits = model.decoder(z, ops, adjacency, scored)
    nll = decision_loss(op_logits, pair_logits, batch, scored)
    kl = kl_to_standard_normal(mu, logvar).sum(-1).mean()
    return nll, kl, (head(z) - wanted).square().mean()


def _one_cycle(done: float) -> float:
    """Linear warm-up over a tenth of the run, then a cosine to zero."""
    return done / 0.1 + 0.01 if done < 0.1 else 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))


def _standardised(targets: NDArray[np.float64]) -> Tensor:
    """Targets with mean 0 and variance at most 1.

    Columns of less than unit spread keep it: among principal components the small ones are mostly noise.
    """
    spread = targets.std(0)
    return torch.from_numpy((targets - targets.mean(0)) / np.where(spread > 1, spread, 1.0)).float()


@torch.no_grad()
def _standardise_latents(model: CellAutoencoder, cells: TrainingCells) -> None:
    """Set the model's shift and scale so that each latent of the training cells has mean 0 and variance 1."""
    model.shift.zero_()
    model.scale.fill_(1.0)
    some = torch.linspace(0, cells.ops.shape[0] - 1, min(cells.ops.shape[0], 20_000)).long()
    parts = [
        model.encoder(part.ops.long().to(model.device), part.adjacency.float().to(model.device))
        for part in (cells.take(rows) for rows in (some[start : start + 4096] for start in range(0, len(some), 4096)))
    ]
    mu, logvar = (torch.cat(part) for part in zip(*parts, strict=True))
    variance = mu.var(0, unbiased=False) + logvar.exp().mean(0)
    active = int((kl_to_standard_normal(mu, logvar).mean(0) > 0.1).sum())
    if active < 2 and cells.ops.shape[0] > 2:
        raise CollapseError(f"The latent space collapsed: {active} of {model.cell_dim} units are active")
    model.shift.copy_(mu.mean(0))
    model.scale.copy_(variance.sqrt())


class _Checkpoint:
    """A fit in progress on disk: weights and optimiser state as safetensors, counters as JSON."""

    def __init__(
        self,
        folder: Path,
        about: dict[str, Any],
        model: CellAutoencoder,
        head: nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.folder, self.about, self.model, self.head, self.optimizer = folder, about, model, head, optimizer
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "fit.safetensors"

    def exists(self) -> bool:
        return self.path.is_file()

    def save(self, step: int, spent: float, history: list[dict[str, float]]) -> None:
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"head.{name}": tensor for name, tensor in self.head.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{key}": torch.as_tensor(value) for key, value in state.items()}
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        counters = json.dumps({"about": self.about, "step": step, "spent": spent, "history": history})
        # One file, replaced at once: a kill leaves the previous checkpoint or the new one, never half of one.
        temporary = self.path.with_suffix(".tmp")
        save_file(tensors, temporary, metadata={"counters": counters})
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(self.path)

    def load(self) -> tuple[int, float, list[dict[str, float]]]:
        try:
            tensors = load_file(self.path)
            with safe_open(self.path, "pt") as handle:
                counters = json.loads(handle.metadata()["counters"])
        except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{self.path}: the checkpoint is damaged ({error}); delete it to start again") from None
        # As JSON has it, where a tuple is a list.
        about = json.loads(json.dumps(self.about))
        for key, value in about.items():
            if counters.get("about", {}).get(key) != value:
                raise ValueError(
                    f"{self.path}: the checkpoint belongs to another fit: {key} was "
                    f"{counters.get('about', {}).get(key)!r:.80} and is {value!r:.80}; delete it to start again"
                )
        self.model.load_state_dict(_below(tensors, "model."))
        self.head.load_state_dict(_below(tensors, "head."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(tensors, "optimizer.").items():
            number, key = name.split(".")
            state.setdefault(int(number), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        return int(counters["step"]), float(counters["spent"]), list(counters["history"])

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
