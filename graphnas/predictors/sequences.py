"""Recurrent autoencoders of cells written as sequences, with a predictor on their codes: NAO and SemiNAS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from graphnas.predictors.encodings import cells_of
from graphnas.predictors.further import FurtherFeatures
from graphnas.predictors.learning import NetworkPredictor, Schedule, minimise
from graphnas.predictors.protocol import Architectures
from graphnas.spaces import Space

_SCHEDULE = Schedule(epochs=100, batch_size=64, learning_rate=1e-3, weight_decay=1e-4, largest_gradient=5.0)
_PREDICTION = 0.8  # share of the predictor in the loss; the reconstruction has the rest


class SequencePredictor(NetworkPredictor):
    """An LSTM autoencoder whose mean state predicts the target (NAO, Luo et al. 2018, arXiv 1808.07233).

    A cell is written vertex by vertex: its label, then for each earlier vertex whether it feeds it. The decoder sees
    the code and the token before. With `unlabelled`, as in SemiNAS (Luo et al. 2020, arXiv 2002.10389, Sec. 3.2), the
    fitted network first predicts targets of random architectures of the space, and is fitted again to these as well.

    Args:
        space: Space of the architectures.
        unlabelled: Random architectures for each labelled one; nothing further is known of them.
        width: Of embeddings, states and codes.
        schedule: Of a fit to labelled architectures.
        further: Scores and curves whose features the predictor gets beside the code.
        seed: Of initial weights, order of rows and random architectures.
    """

    def __init__(
        self,
        space: Space,
        *,
        unlabelled: int = 0,
        width: int = 64,
        schedule: Schedule = _SCHEDULE,
        further: FurtherFeatures | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(space, further=further, seed=seed)
        self.needs = replace(self.needs, unlabelled=unlabelled)
        self.unlabelled, self.width, self.schedule = unlabelled, width, schedule
        v = space.topology.max_vertices
        self._edges = np.nonzero(np.triu(np.ones((v, v), dtype=bool), 1).T)  # (to, from), ordered by `to`

    def inputs(self, architectures: Architectures) -> Tensor:
        """`n x length` tokens: 0 and 1 for edges, 2 for no vertex, then the labels."""
        topology = self.space.topology
        cells = topology.canonical(cells_of(self.space, architectures)).padded(topology.max_vertices)
        to, source = self._edges
        edges = cells.adjacency[:, source, to].astype(np.int64)
        labels, parts = cells.ops.astype(np.int64) + 3, []
        for vertex in range(labels.shape[1]):
            parts += [labels[:, vertex, None], edges[:, to == vertex]]
        tokens = np.concatenate(parts, axis=1)
        return torch.from_numpy(tokens).float().reshape(-1, tokens.shape[1] * len(self.space.cell_names))

    def learn(self, x: Tensor, y: Tensor) -> nn.Module:
        """Fit, and fit again with architectures whose targets are predicted."""
        v = self.space.topology.max_vertices
        length = (v + v * (v - 1) // 2) * len(self.space.cell_names)
        network = _Autoencoder(len(self.space.vocabulary) + 3, length, x.shape[1] - length, self.width)
        generator = torch.Generator().manual_seed(self.seed)
        self._minimise(network, x, y, generator, self.schedule)
        if self.unlabelled:
            rng = np.random.default_rng(self.seed)
            others = self.inputs(self.space.sample_arrays(self.unlabelled * len(x), rng))
            others = nn.functional.pad(others, (0, x.shape[1] - length))
            with torch.no_grad():
                guessed = torch.cat([network(part) for part in torch.split(others, 1_024)])
            # As many labelled rows as guessed ones, in the time that several fits to the labelled take.
            more = torch.cat([x.repeat(self.unlabelled, 1), others]), torch.cat([y.repeat(self.unlabelled), guessed])
            epochs = max(self.schedule.epochs // (2 * self.unlabelled), 5)
            self._minimise(network, *more, generator, replace(self.schedule, epochs=epochs))
        return network

    def _minimise(
        self, network: _Autoencoder, x: Tensor, y: Tensor, generator: torch.Generator, schedule: Schedule
    ) -> None:
        def loss(rows: Tensor) -> Tensor:
            predicted, logits = network.both(x[rows])
            tokens = x[rows, : logits.shape[1]].long()
            written = nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())
            return _PREDICTION * (predicted - y[rows]).square().mean() + (1 - _PREDICTION) * written

        minimise(network, len(x), loss, schedule, generator)


class _Autoencoder(nn.Module):
    """`n x length` tokens, further features behind them, to `n` outputs."""

    def __init__(self, tokens: int, length: int, further: int, width: int) -> None:
        super().__init__()
        self.length = length
        self.embedding = nn.Embedding(tokens, width)
        self.encoder = nn.LSTM(width, width, batch_first=True)
        self.decoder = nn.LSTM(2 * width, width, batch_first=True)
        self.writer = nn.Linear(width, tokens)
        self.predictor = nn.Sequential(nn.Linear(width + further, width), nn.ReLU(), nn.Linear(width, 1))

    def _code(self, x: Tensor) -> tuple[Tensor, Tensor]:
        embedded = self.embedding(x[:, : self.length].long())
        return embedded, nn.functional.normalize(self.encoder(embedded)[0].mean(1), dim=1)

    def _predicted(self, code: Tensor, x: Tensor) -> Tensor:
        outputs: Tensor = self.predictor(torch.cat([code, x[:, self.length :]], dim=1))[:, 0]
        return outputs

    def forward(self, x: Tensor) -> Tensor:
        return self._predicted(self._code(x)[1], x)

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs, and `n x length x tokens` logits of the tokens, each from those before."""
        embedded, code = self._code(x)
        before = nn.functional.pad(embedded[:, :-1], (0, 0, 1, 0))
        states = self.decoder(torch.cat([before, code[:, None].expand_as(before)], dim=2))[0]
        return self._predicted(code, x), self.writer(states)
