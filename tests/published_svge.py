"""SVGe as its paper defines it, one graph and one edge at a time, with the weights of our modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphnas.encoders.svge_decoder import SvgeDecoder
from graphnas.encoders.svge_encoder import GatedGraphNetwork, GatedRound


class PublishedRound(MessagePassing):
    """A round with one message for each edge, made from both its ends."""

    def __init__(self, of: GatedRound) -> None:
        super().__init__(aggr="sum")
        self.of = of

    def forward(self, states: Tensor, edges: Tensor) -> Tensor:
        return self.of.update(self.propagate(edges, x=states), states)

    def message(self, x_j: Tensor, x_i: Tensor) -> Tensor:
        return self.of.message(torch.cat([x_j, x_i], dim=-1))


def published_network(network: GatedGraphNetwork, states: Tensor, edges: Tensor) -> Tensor:
    """The states of one graph's vertices, `v x h`, from its list of edges."""
    along, against = states.chunk(2, dim=-1)
    for one, other in zip(network.along, network.against, strict=True):
        along, against = PublishedRound(one)(along, edges), PublishedRound(other)(against, edges.flip(0))
    return torch.cat([along, against], dim=-1)


class PublishedDecoder:
    """One graph at a time and one edge at a time, as the paper defines the generation."""

    def __init__(self, model: SvgeDecoder) -> None:
        self.model = model

    def start(self, label: int, z: Tensor) -> Tensor:
        return self.model.start(torch.cat([self.model.operation.weight[label], z]))[None]

    def read(self, states: Tensor, pairs: list[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor]:
        """States, and the graph's for labels and edges and for vertices, after two rounds in both directions."""
        model = self.model
        if len(states) == 1:
            return states, model.graph.linear(states[0]), model.graph_for_vertex.linear(states[0])
        states = published_network(model.network, states, torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T)
        sums = [(s.gate(states).sigmoid() * s.linear(states)).sum(0) for s in (model.graph, model.graph_for_vertex)]
        return states, sums[0], sums[1]

    def label_scores(self, graph: Tensor, z: Tensor) -> Tensor:
        return self.model.label(torch.cat([graph, z]))

    def vertex(self, label: int, graph: Tensor, z: Tensor) -> Tensor:
        return self.model.vertex(torch.cat([self.model.operation.weight[label], graph, z]))

    def edge_logit(self, source: Tensor, new: Tensor, graph: Tensor, z: Tensor) -> Tensor:
        hidden = self.model.edge(torch.cat([source, new, graph, z])).relu()
        return self.model.edge_score(hidden)[0]

    def loss(self, z: Tensor, labels: list[int], pairs: set[tuple[int, int]]) -> Tensor:
        last = len(labels) - 1
        turned = {(last - j, last - i) for i, j in pairs}
        return self.one_way(z, labels, pairs) + self.one_way(z, labels[::-1], turned)

    def one_way(self, z: Tensor, labels: list[int], pairs: set[tuple[int, int]]) -> Tensor:
        alpha, total = self.model.alpha, torch.zeros(())
        states = self.start(labels[0], z)
        for new in range(1, len(labels)):
            states, graph, for_vertex = self.read(states, [pair for pair in pairs if pair[1] < new])
            total = total - 2 * (1 - alpha) * self.label_scores(graph, z).log_softmax(0)[labels[new]]
            state = self.vertex(labels[new], for_vertex, z)
            if new > 1:
                for source in range(new):
                    sign = 1 if (source, new) in pairs else -1
                    logit = self.edge_logit(states[source], state, graph, z)
                    total = total - 2 * alpha * nn.functional.logsigmoid(sign * logit) / new
            states = torch.cat([states, state[None]])
        return total

    def derive(self, z: Tensor, width: int) -> tuple[list[int], set[tuple[int, int]]]:
        labels, pairs = self.derive_one_way(z, width, 0, 1)
        _, turned = self.derive_one_way(z, width, 1, 0)
        last = len(labels) - 1
        return labels, pairs | {(last - j, last - i) for i, j in turned if j <= last}

    def derive_one_way(self, z: Tensor, width: int, first: int, end: int) -> tuple[list[int], set[tuple[int, int]]]:
        labels, pairs, states = [first], set[tuple[int, int]](), self.start(first, z)
        while len(labels) < width and (len(labels) == 1 or labels[-1] != end):
            new = len(labels)
            states, graph, for_vertex = self.read(states, sorted(pairs))
            labels.append(end if new == width - 1 else int(self.label_scores(graph, z).argmax()))
            state = self.vertex(labels[-1], for_vertex, z)
            fed = [new == 1 or bool(self.edge_logit(states[i], state, graph, z) > 0) for i in range(new)]
            pairs |= {(i, new) for i in range(new) if fed[i]}
            states = torch.cat([states, state[None]])
        return labels, pairs
