from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop

from graphnas.importing import ImportFailed, Operator, OperatorGraph, coarsen, macro_structure, trace
from graphnas.importing.skeletons import fingerprint
from graphnas.importing.tracing import trace_symbolically
from tests.importing.networks import Attention, BasicBlock, Branching, Classifier, Gated, Inception, conv

IMAGES = torch.zeros(2, 3, 16, 16)
TEXTS = torch.zeros(2, 5, 8)


def labels(network: nn.Module, images: torch.Tensor = IMAGES) -> list[str]:
    return [vertex.label for vertex in coarsen(trace(network, images)).vertices]


def test_a_residual_block_as_vertices() -> None:
    graph = coarsen(trace(Classifier(BasicBlock(8, 16, 2), out=16), IMAGES))
    cell = graph.cell()
    assert cell.ops == ("input", "conv3x3", "conv3x3", "conv3x3", "conv1x1", "add", "global_pool", "linear", "output")
    assert cell.edges == {(0, 1), (1, 2), (2, 3), (1, 4), (3, 5), (4, 5), (5, 6), (6, 7), (7, 8)}
    stem, first, second, shortcut, total = graph.vertices[1:6]
    assert [one.stride for one in (stem, first, second, shortcut)] == [1, 2, 1, 2]
    assert [one.channels for one in (stem, first, total)] == [8, 16, 16]
    assert first.around == ("conv", "norm", "activation")
    assert second.around == ("conv", "norm")
    assert total.around == ("add", "activation")
    assert total.size == (8, 8)
    account = graph.mapping
    assert account.vertices == {"conv3x3": 3, "conv1x1": 1, "add": 1, "global_pool": 1, "linear": 1}
    assert account.fused == {"norm": 4, "activation": 3}
    assert account.passed_over == {"flatten": 1}
    assert account.unmapped == {}
    assert account.operators == sum(sum(one.values()) for one in (account.vertices, account.fused, account.passed_over))
    assert account.share == 1
    assert graph.parameters == sum(one.numel() for one in Classifier(BasicBlock(8, 16, 2), out=16).parameters())


def test_convolutions_by_their_kind() -> None:
    layers = nn.Sequential(
        nn.Conv2d(3, 8, (1, 7), padding=(0, 3)),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2),
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.Conv2d(8, 8, 5, padding=2, groups=8),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 4, 1),
        nn.Conv2d(4, 4, 3, padding=4, dilation=4, groups=4),
        nn.Conv2d(4, 4, 1),
        nn.ConvTranspose2d(4, 4, 2, 2),
        nn.AvgPool2d(3, 1, 1),
    )
    expected = ["conv1x7", "dilconv3x3", "groupconv3x3", "dwconv5x5", "maxpool2x2", "sepconv3x3", "dilsepconv3x3",
                "transposed_conv2x2", "avgpool3x3"]  # fmt: skip
    assert labels(layers) == ["input", *expected, "output"]


def test_gates_and_attention_are_followed() -> None:
    graph = coarsen(trace(Classifier(Gated(8)), IMAGES))
    assert [one.label for one in graph.vertices[2:8]] == ["dwconv3x3", "global_pool", "linear", "linear", "mul", "add"]
    assert graph.vertices[6].sources == (2, 5)
    graph = coarsen(trace(Attention(8), TEXTS))
    assert [one.label for one in graph.vertices[1:]] == [
        "linear", "attention", "linear", "add", "linear", "linear", "add", "output",
    ]  # fmt: skip
    # Query, key and value come of one layer, and the block is added to what enters it.
    assert graph.vertices[2].sources == (1, 1, 1)
    assert graph.vertices[4].sources == (0, 3)
    assert graph.mapping.fused["norm"] == 2


@pytest.mark.parametrize("network", [Classifier(BasicBlock(8, 8), Inception(8), out=16), Classifier(Gated(8))])
def test_both_ways_of_tracing_see_the_same(network: nn.Module) -> None:
    one, other = coarsen(trace(network, IMAGES)), coarsen(trace_symbolically(network, IMAGES))
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one) != fingerprint(coarsen(trace(Classifier(Inception(8), out=16), IMAGES)))


class Aside(nn.Module):
    """Work whose results are not what operators return, or that runs in another mode."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 5, padding=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.one(x)
        if self.kind == "slice":
            y = self.two(x)
            x = x.clone()
            x[:, :4] += y[:, :4]
            return x
        if self.kind == "gradient":
            with torch.no_grad():
                return self.two(x)
        if self.kind == "autocast":
            with torch.autocast("cpu", enabled=False):
                return self.two(x)
        return torch.cond(x.sum() > 0, lambda z: (torch.relu(self.two(z)),), lambda z: (self.two(z) + z,), (x,))[0]


def test_what_works_aside_is_followed() -> None:
    graph = coarsen(trace(Aside("slice"), IMAGES))
    assert [one.label for one in graph.vertices[:4]] == ["input", "conv3x3", "conv5x5", "add"]
    assert graph.mapping.unmapped == {"slice_scatter": 2}
    for kind in ("gradient", "autocast"):
        assert labels(Aside(kind)) == ["input", "conv3x3", "conv5x5", "output"]
    branches = coarsen(trace(Aside("branch"), IMAGES))
    assert sorted(one.label for one in branches.vertices) == sorted(
        ["input", "conv3x3", "reduce", "gt", "conv5x5", "conv5x5", "add", "cond", "output"]
    )
    assert branches.mapping.unmapped == {"gt": 1, "cond": 1}


class Written(nn.Module):
    """A normalisation written out, and functions of one and of two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.one(x)
        y = self.other(y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6))
        return torch.where(y > 0, torch.sin(torch.exp(y)), x)


def test_functions_are_activations_and_a_scale_by_the_mean_square_is_a_norm() -> None:
    graph = coarsen(trace(Written(), torch.zeros(2, 8)))
    assert graph.vertices[1].around == ("linear", "norm")
    assert [one.label for one in graph.vertices[2:]] == ["linear", "gt", "activation", "activation", "where", "output"]
    # What is passed over where it has one tensor is a vertex without a kind where it has several.
    assert graph.mapping.unmapped == {"gt": 1, "where": 1}
    assert graph.mapping.share == pytest.approx(1 - 2 / graph.mapping.operators)


@pytest.mark.parametrize("network", [Aside("slice"), Aside("branch"), Gated(8), Classifier(BasicBlock(8, 8))])
def test_no_operator_is_lost(network: nn.Module) -> None:
    graph = coarsen(trace(network, IMAGES if not isinstance(network, Gated) else torch.zeros(2, 8, 16, 16)))
    account = graph.mapping
    placed = sum(sum(one.values()) for one in (account.vertices, account.fused, account.passed_over))
    assert account.operators == placed


def test_what_has_no_kind_is_named() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cumsum(conv_layer(x), 1) + torch.arange(16.0)

    conv_layer = conv(3, 4)
    graph = coarsen(trace(Odd(), IMAGES))
    assert graph.mapping.unmapped == {"cumsum": 1}
    assert graph.mapping.constants >= 1
    assert 0 < graph.mapping.share < 1
    assert "cumsum" in [one.label for one in graph.vertices]


def test_what_is_added_to_scores_is_part_of_attention() -> None:
    class Biased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.bias = (nn.Linear(8, 8) for _ in range(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores = self.q(x) @ self.k(x).transpose(1, 2)
            return (scores + self.bias(x)[..., :5]).softmax(-1) @ self.v(x)

    vertices = coarsen(trace(Biased(), TEXTS)).vertices
    assert [one.label for one in vertices[1:]] == ["linear"] * 4 + ["attention", "output"]
    assert sorted(vertices[5].sources) == [1, 2, 3, 4]


def test_functional_convolutions_are_read_where_export_fails() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 3, 3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(torch.nn.functional.conv2d(x, self.weight, None, 2, 1))

    (vertex,) = coarsen(trace_symbolically(Functional(), IMAGES)).vertices[1:-1]
    assert (vertex.label, vertex.stride, vertex.channels) == ("conv3x3", 2, 4)


def test_a_network_is_as_before() -> None:
    network = Classifier(BasicBlock(8, 8)).train()
    network.stem[1].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trace(network, IMAGES)
    assert network.training
    assert not network.stem[1].training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(ImportFailed, match=r"torch\.export: .*; torch\.fx: "):
        trace(Branching(), torch.zeros(2, 4))
    with pytest.raises(ImportFailed, match="no path joins them"):
        coarsen(OperatorGraph((Operator("input"), Operator("conv"), Operator("output", (1,)))))
    with pytest.raises(ImportFailed, match="at most 100,000 operators, but got 100,001"):
        OperatorGraph((Operator("input"),) * 100_001)
    with pytest.raises(ImportFailed, match="sources of operator 0"):
        OperatorGraph((Operator("add", (0,)),))


def test_a_long_network_takes_no_long_time() -> None:
    chain = [Operator("input", shape=(2, 8, 4, 4))]
    for number in range(1, 10_000):
        joins = number > 3 and number % 3 == 0
        chain.append(Operator("add", (number - 1, number - 3)) if joins else Operator("activation", (number - 1,)))
    chain.append(Operator("output", (len(chain) - 1,)))
    clock = time.process_time()
    graph = coarsen(OperatorGraph(tuple(chain)))
    assert len(graph.vertices) > 3_000
    assert sum(block.count for block in macro_structure(graph).blocks) >= 1
    assert time.process_time() - clock < 20


def test_a_dense_network_is_refused_before_it_takes_long() -> None:
    chain = [Operator("input")]
    chain += [Operator("concat", tuple(range(number))) for number in range(1, 1_001)]
    with pytest.raises(ImportFailed, match="at most 500,000 edges, but got 500,500"):
        OperatorGraph(tuple(chain))


class Loop(nn.Module):
    """A convolution that is repeated as often as the program says."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.body, self.end = (nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 5, padding=2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "scan":
            state = torch.zeros(x.shape[0], 3, *x.shape[3:])
            x, _ = scan(lambda h, y: ((new := self.body(h).tanh() + y), new.clone()), state, x, dim=2)
            return self.end(x)
        _, x = while_loop(lambda n, _: n < 3, lambda n, y: (n + 1, self.body(y)), (torch.tensor(0), x))
        return self.end(x)


@pytest.mark.parametrize("kind", ["while", "scan"])
def test_the_body_of_a_loop_is_part_of_the_network(kind: str) -> None:
    images = torch.zeros(2, 3, 16, 16) if kind == "while" else torch.zeros(2, 3, 5, 16, 16)
    graph = coarsen(trace(Loop(kind), images))
    (body,) = (one for one in graph.vertices if one.label == "conv3x3")
    assert body.sources == (0,)
    assert graph.vertices[-2].label == "conv5x5"
    assert graph.mapping.unread == {}


class Scaled(nn.Module):
    """A tensor scaled by a function of its own mean, between two convolutions: a gate or a normalisation."""

    def __init__(self, scale: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.one, self.other, self.scale = conv(3, 8), conv(8, 8), scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.one(x)
        return self.other(x * self.scale(x))


@pytest.mark.parametrize(
    ("scale", "inner"),
    [
        (lambda x: x.square().mean(1, keepdim=True).add(1e-6).rsqrt(), []),
        (lambda x: 1 / (x**2).mean(1, keepdim=True).sqrt(), []),
        (lambda x: x.mean(1, keepdim=True).sigmoid(), ["reduce", "activation", "mul"]),
        (lambda x: x.amax(1, keepdim=True).sqrt(), ["reduce", "activation", "mul"]),
    ],
)
def test_a_gate_is_no_normalisation(scale: Callable[[torch.Tensor], torch.Tensor], inner: list[str]) -> None:
    assert labels(Scaled(scale)) == ["input", "conv3x3", *inner, "conv3x3", "output"]


def test_activations_with_parameters_are_told_apart() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.PReLU(), nn.PReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.one(x) - self.other(x) + x.relu() * x.relu()

    found = labels(Two())
    assert found.count("activation") == 3
    assert found.count("sub") == found.count("mul") == 1


def test_a_separable_convolution_has_the_stride_of_both_parts() -> None:
    for first, second in ((2, 1), (1, 2), (2, 2)):
        parts = nn.Conv2d(3, 3, 3, first, 1, groups=3), nn.Conv2d(3, 8, 1, second)
        (vertex,) = coarsen(trace(nn.Sequential(*parts), IMAGES)).vertices[1:-1]
        assert (vertex.label, vertex.stride) == ("sepconv3x3", first * second)


def test_a_product_with_weights_is_linear() -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Parameter(torch.zeros(8, 8)), nn.Parameter(torch.zeros(8, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x @ self.one).softmax(-1) @ self.other

    assert labels(Product(), TEXTS) == ["input", "linear", "softmax", "linear", "output"]


def test_what_no_output_depends_on_is_named() -> None:
    class Unread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.other(x)
            return self.one(x)

    graph = coarsen(trace(Unread(), IMAGES))
    assert graph.mapping.unread == {"conv2d": 1}
    assert [one.label for one in graph.vertices] == ["input", "conv3x3", "output"]
