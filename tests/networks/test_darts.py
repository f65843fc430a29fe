import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from graphnas.cell import Architecture, Cell
from graphnas.evaluate import data_folder
from graphnas.formats.darts import from_genotype
from graphnas.networks import build_network, count_parameters
from graphnas.networks.operations import FactorizedReduce
from graphnas.spaces import Space

SPACE = Space.load("darts")
TABLE = data_folder() / "darts_bench545.parquet"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason="darts_bench545.parquet is missing in GRAPHNAS_DATA")
SMALL = {"layers": 3, "channels": 4}
# Liu et al. 2019, Fig. 4 and 5: the cells of the second-order search on CIFAR-10.
DARTS_V2 = from_genotype(
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
    "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=range(2, 6))"
)


def test_the_published_network_has_the_known_parameters() -> None:
    # 3.3 million, as in Table 1 of Liu et al. 2019.
    assert count_parameters(build_network(DARTS_V2, SPACE, device="meta")) == 3_349_342


def test_the_order_of_vertices_does_not_matter_to_parameters() -> None:
    canonical = Architecture("darts", tuple(cell.canonical() for cell in DARTS_V2.cells))
    counts = [count_parameters(build_network(each, SPACE, sizes=SMALL)) for each in (DARTS_V2, canonical)]
    assert counts[0] == counts[1]


def test_a_cell_sums_nodes_and_concatenates_them() -> None:
    network = build_network(DARTS_V2, SPACE, sizes=SMALL, generator=torch.Generator().manual_seed(0)).eval()
    cell = network.get_submodule("cells.0")
    layer = cell.get_submodule
    x, y = torch.randn(2, 2, 12, 6, 6, generator=torch.Generator().manual_seed(1))
    s0, s1 = layer("preprocess0")(x), layer("preprocess1")(y)
    s2 = layer("vertices.vertex2")(s0) + layer("vertices.vertex3")(s1)
    s3 = layer("vertices.vertex5")(s0) + layer("vertices.vertex6")(s1)
    s4 = layer("vertices.vertex8")(s1) + s0
    s5 = s0 + layer("vertices.vertex12")(s2)
    torch.testing.assert_close(cell(x, y), torch.cat([s2, s3, s4, s5], 1), rtol=0, atol=0)


def test_reduction_cells_stand_at_one_and_two_thirds() -> None:
    network = build_network(DARTS_V2, SPACE, sizes={"layers": 7, "channels": 4}, in_channels=1)
    shapes: list[tuple[int, ...]] = []
    for cell in network.get_submodule("cells"):
        cell.register_forward_hook(lambda _, inputs, output: shapes.append(tuple(output.shape[1:])))
    network(torch.zeros(2, 1, 16, 16))
    sixteen, eight, four = [(16, 16, 16)] * 2, [(32, 8, 8)] * 2, [(64, 4, 4)] * 3
    assert shapes == sixteen + eight + four
    shapers = [
        isinstance(cell.get_submodule("preprocess0"), FactorizedReduce) for cell in network.get_submodule("cells")
    ]
    assert shapers == [False, False, False, True, False, True, False]


def test_a_skip_of_stride_two_is_a_factorized_reduction() -> None:
    skip = from_genotype(
        "Genotype(normal=[('none', 0), ('skip_connect', 1)], normal_concat=[2], "
        "reduce=[('skip_connect', 0), ('none', 1)], reduce_concat=[2])"
    )
    network = build_network(skip, SPACE, sizes=SMALL)
    modules = {name: type(module) for name, module in network.named_modules() if name.endswith(("vertex2", "vertex3"))}
    assert modules["cells.1.vertices.vertex2"] is FactorizedReduce
    assert modules["cells.0.vertices.vertex3"] is torch.nn.Identity
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize(
    ("ops", "edges", "reason"),
    [
        (("skip_connect", "sum"), {(0, 2), (1, 2), (2, 3), (3, 4)}, r"vertex 2 \('skip_connect'\): .* got \[0, 1\]"),
        (("skip_connect", "skip_connect", "sum"), {(0, 2), (2, 3), (3, 4), (4, 5)}, r"vertex 3 .* got \[2\]"),
        (("skip_connect", "sum"), {(0, 2), (1, 3), (2, 3), (3, 4)}, r"vertex 3 \('sum'\): .* got \[1, 2\]"),
        (("skip_connect",), {(0, 2), (2, 3)}, r"vertex 3 \('output'\): .* got \[2\]"),
    ],
)
def test_cells_without_a_genotype_are_reported(ops: tuple[str, ...], edges: set[tuple[int, int]], reason: str) -> None:
    cell = Cell(("input0", "input1", *ops, "output"), frozenset(edges))
    with pytest.raises(ValueError, match=f"reduce: {reason}"):
        build_network(Architecture("darts", (DARTS_V2.cells[0], cell)), SPACE, sizes=SMALL)


def check_table(rows: int | None) -> None:
    table = pq.read_table(TABLE, columns=["architecture", "params"]).to_pydict()
    chosen = np.random.default_rng(0).permutation(len(table["params"]))[:rows]
    texts, recorded = ([table[name][row] for row in chosen] for name in ("architecture", "params"))
    counts = [count_parameters(build_network(from_genotype(text), SPACE, device="meta")) for text in texts]
    np.testing.assert_allclose(np.array(counts) / 1e6, recorded, rtol=0, atol=1e-6)


@needs_table
def test_sampled_genotypes_have_the_recorded_parameters() -> None:
    check_table(20)


@pytest.mark.slow
@needs_table
def test_all_genotypes_have_the_recorded_parameters() -> None:
    check_table(None)
