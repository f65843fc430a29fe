from pathlib import Path

import pytest
import torch
from networks.every_kind import ARCHITECTURES, OPERATIONS, SIZES, SPACES, PlainSpace

from graphnas.cell import Architecture, Cell
from graphnas.networks import SKELETONS, build_network, read_skeleton
from graphnas.spaces import Space, SpaceFileError

names = pytest.mark.parametrize("name", SKELETONS)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@names
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (2, 7, 9)])
def test_images_of_any_size_run_forward_and_backward(name: str, shape: tuple[int, int, int]) -> None:
    network = build_network(ARCHITECTURES[name], SPACES[name], classes=7, in_channels=shape[0], generator=seeded(0))
    logits = network(torch.rand(3, *shape, generator=seeded(1)))
    assert logits.shape == (3, 7)
    logits.square().sum().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@names
def test_every_parameter_gets_a_gradient(name: str) -> None:
    # Without `none`, behind which nothing can learn.
    cells = ARCHITECTURES[name].cells
    live = tuple(Cell(tuple("skip" if op == "none" else op for op in cell.ops), cell.edges) for cell in cells)
    network = build_network(Architecture(name, live), SPACES[name], in_channels=1, generator=seeded(0))
    network(torch.rand(4, 1, 8, 8, generator=seeded(0))).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@names
def test_equal_generators_give_equal_weights_and_the_global_state_stays(name: str) -> None:
    state = torch.get_rng_state()
    first, second, other = (
        build_network(ARCHITECTURES[name], SPACES[name], generator=seeded(seed)).state_dict() for seed in (3, 3, 4)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert all(value.isfinite().all() for value in first.values())
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


@names
def test_a_network_on_meta_allocates_nothing(name: str) -> None:
    network = build_network(ARCHITECTURES[name], SPACES[name], device=torch.device("meta"))
    assert all(tensor.is_meta for tensor in network.state_dict().values())


@names
def test_dead_vertices_are_dropped_and_the_rest_keeps_its_order(name: str) -> None:
    cells = []
    for cell in ARCHITECTURES[name].cells:
        output = cell.size - 1
        edges = {(i, j + (j == output)) for i, j in cell.edges} | {(0, output)}
        ops = (*cell.ops[:-1], "conv3", "output")
        cells.append(Cell(ops, frozenset(edges)))
    keys = [
        list(build_network(each, SPACES[name], device="meta").state_dict())
        for each in (ARCHITECTURES[name], Architecture(name, tuple(cells)))
    ]
    assert keys[0] == keys[1]


def test_depthwise_convolutions_start_as_wide_as_others() -> None:
    table = {"wide": {"module": "separable_conv", "kernel": 5}}
    space = PlainSpace("enas", {"skeleton": "enas", "channels": 64}, table)
    cell = Cell(("input", "wide", "output"), frozenset({(0, 1), (1, 2)}))
    network = build_network(Architecture("enas", (cell,)), space, generator=seeded(0))
    deviation = float(network.state_dict()["layer1.0.weight"].std())
    assert deviation == pytest.approx((2 / 25) ** 0.5, rel=0.1)


def test_sizes_replace_the_published_ones() -> None:
    network = {"skeleton": "darts", "layers": 20, "channels": 36, "proxy": {"layers": 3, "channels": 8}}
    assert read_skeleton(network).sizes == {"layers": 20, "channels": 36}
    assert read_skeleton(network, {"channels": 4}).sizes == {"layers": 20, "channels": 4}
    assert read_skeleton({"skeleton": "nasbench201"}).sizes == {"cells_per_stage": 5, "channels": 16}
    assert read_skeleton({}).sizes == {"stacks": 3, "cells_per_stack": 3, "channels": 128}


@names
def test_unknown_sizes_are_refused_by_name(name: str) -> None:
    known = ", ".join(SIZES[name])
    with pytest.raises(ValueError, match=f"Expected the sizes {known}, but got depth"):
        build_network(ARCHITECTURES[name], SPACES[name], sizes={"depth": 3})
    with pytest.raises(ValueError, match="channels to be a positive integer, but got 0"):
        build_network(ARCHITECTURES[name], SPACES[name], sizes={"channels": 0})
    with pytest.raises(ValueError, match="channels to be a positive integer, but got True"):
        build_network(ARCHITECTURES[name], SPACES[name], sizes={"channels": True})


@pytest.mark.parametrize("skeleton", ["tree", 3, ["stacked"]])
def test_unknown_skeletons_are_refused_by_name(skeleton: object) -> None:
    space = PlainSpace("enas", {"skeleton": skeleton}, OPERATIONS)
    with pytest.raises(ValueError, match="skeletons stacked, nasbench201, darts, enas, but got"):
        build_network(ARCHITECTURES["enas"], space)


@names
def test_foreign_architectures_are_reported(name: str) -> None:
    architecture, space = ARCHITECTURES[name], SPACES[name]
    with pytest.raises(ValueError, match=f"of '{name}', but got one of 'other'"):
        build_network(Architecture("other", architecture.cells), space)
    with pytest.raises(ValueError, match=r"Expected (one cell|the cells normal, reduce), but got [36]"):
        build_network(Architecture(name, architecture.cells * 3), space)
    missing = PlainSpace(name, space.network, {key: table for key, table in OPERATIONS.items() if key != "conv3"})
    with pytest.raises(ValueError, match=r"Expected operations among .*, but got 'conv3'"):
        build_network(architecture, missing)
    other = ARCHITECTURES["darts" if name != "darts" else "enas"].cells[0]
    with pytest.raises(ValueError, match="Expected the inputs input"):
        build_network(Architecture(name, (other,) * len(architecture.cells)), space)


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("proxy = 3", r"network\.proxy: expected a table, but got 3"),
        ("[network.proxy]\nchannels = 0", r"network\.proxy\.channels: expected a positive whole number, but got 0"),
        ('[network.proxy]\nskeleton = "enas"', r"network\.proxy\.skeleton: unknown size"),
    ],
)
def test_proxy_tables_of_space_files_are_checked(tmp_path: Path, proxy: str, reason: str) -> None:
    path = tmp_path / "mine.toml"
    text = Space.load("nasbench101").path.read_text()
    path.write_text(text[: text.index("[network.proxy]")] + proxy)
    with pytest.raises(SpaceFileError, match=reason):
        Space.load(path)
