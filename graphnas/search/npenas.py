"""NPENAS-like evolution as an Optuna sampler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphnas.cell import Architecture
from graphnas.search.pool import FloatArray, PoolSampler, flat_cells
from graphnas.spaces import Space

_WIDTH, _LAYERS = 32, 3
_STEPS = 150
_LEARNING_RATE = 0.005
_WEIGHT_DECAY = 1e-3


class NPENASSampler(PoolSampler):
    """Evolution guided by a graph network (Wei et al. 2022, arXiv 2003.12857, NPENAS-NP).

    Mutations of the best architectures are ranked by a graph isomorphism network (Xu et al. 2019, arXiv 1810.00826)
    that predicts normal scores, and the best are proposed. Edges carry messages both ways, with weights of their own.

    Args:
        space: The space to propose from.
        n_startup_trials: Number of random architectures before the first model.
        candidates: Proposes only these architectures, all of which are judged.
        seed: Makes proposals a function of the study's trials.
    """

    def encode(self, architectures: Sequence[Architecture]) -> FloatArray:
        """Labels and edges of canonical cells, flat."""
        return flat_cells(self.space, architectures)

    def fit(self, features: FloatArray, scores: FloatArray, seed: int) -> Any:
        """A graph network fitted to all observations at once."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _GraphNetwork(self.space)
        x, y = torch.from_numpy(features).float(), torch.from_numpy(scores).float()
        optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            (network(x) - y).square().mean().backward()
            optimizer.step()
        return network

    def judge(self, model: Any, features: FloatArray, best: float, rng: np.random.Generator) -> FloatArray:
        """The predicted score."""
        del best, rng
        with torch.no_grad():
            predicted: FloatArray = model(torch.from_numpy(features).float()).double().numpy()
        return predicted


class _GraphNetwork(nn.Module):
    """Flat cells of `n` architectures to `n` scores."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.parts, self.v = len(space.cell_names), space.topology.max_vertices
        self.embedding = nn.Embedding(len(space.vocabulary) + 1, _WIDTH, padding_idx=0)
        self.own = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH) for _ in range(_LAYERS))
        self.into = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH, bias=False) for _ in range(_LAYERS))
        self.out = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH, bias=False) for _ in range(_LAYERS))
        self.head = nn.Sequential(nn.Linear(self.parts * _WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, 1))

    def forward(self, flat: Tensor) -> Tensor:
        cells = flat.reshape(len(flat) * self.parts, -1)
        ops, adjacency = cells[:, : self.v].long() + 1, cells[:, self.v :].reshape(-1, self.v, self.v)
        there = (ops > 0).to(flat.dtype)[..., None]
        hidden = self.embedding(ops)
        for own, into, out in zip(self.own, self.into, self.out, strict=True):
            messages = into(adjacency.mT @ hidden) + out(adjacency @ hidden)
            hidden = torch.relu(own(hidden) + messages) * there
        pooled = hidden.sum(1) / there.sum(1)
        scores: Tensor = self.head(pooled.reshape(len(flat), -1))[:, 0]
        return scores
