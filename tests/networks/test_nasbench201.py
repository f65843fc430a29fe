from functools import cache

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional as F

from graphnas.cell import Architecture, Cell
from graphnas.evaluate import data_folder
from graphnas.formats.nasbench201 import from_string
from graphnas.networks import build_network, count_macs, count_parameters
from graphnas.spaces import Space

SPACE = Space.load("nasbench201")
TABLE = data_folder() / "nasbench201.parquet"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason="nasbench201.parquet is missing in GRAPHNAS_DATA")


def architecture(text: str) -> Architecture:
    return Architecture("nasbench201", (from_string(text),))


def test_a_cell_adds_up_what_reaches_each_node() -> None:
    # Node 1 is x, node 2 the average of node 1; the output sums x averaged, node 1 and node 2.
    text = "|skip_connect~0|+|none~0|avg_pool_3x3~1|+|avg_pool_3x3~0|skip_connect~1|skip_connect~2|"
    network = build_network(architecture(text), SPACE, sizes={"cells_per_stage": 1, "channels": 2})
    x = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    average = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(network.get_submodule("cells.0")(x), 2 * average + x)


def test_hand_counted_network() -> None:
    # Stem 9 * 1 * 4 + 8; cells of a 1 x 1 and a 3 x 3 convolution; residual blocks; norm; dense layer.
    text = "|nor_conv_1x1~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|avg_pool_3x3~1|skip_connect~2|"
    network = build_network(
        architecture(text), SPACE, sizes={"cells_per_stage": 2, "channels": 4}, classes=3, in_channels=1
    )
    cells = [2 * (10 * c * c + 4 * c) for c in (4, 8, 16)]
    blocks = [9 * c * 2 * c + 9 * 4 * c * c + 2 * 4 * c + 2 * c * c for c in (4, 8)]
    assert count_parameters(network) == 44 + sum(cells) + sum(blocks) + 2 * 16 + 16 * 3 + 3


def test_operations_whose_result_is_lost_are_built() -> None:
    lost = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    none = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    counts = [count_parameters(build_network(architecture(text), SPACE, device="meta")) for text in (lost, none)]
    assert counts[0] - counts[1] == 5 * sum(9 * c * c + 2 * c for c in (16, 32, 64))


def test_other_cells_of_one_input_will_do() -> None:
    cell = Cell(("input", "nor_conv_1x1", "output"), frozenset({(0, 1), (0, 2), (1, 2)}))
    network = build_network(Architecture("nasbench201", (cell,)), SPACE, sizes={"cells_per_stage": 1, "channels": 2})
    x = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    inner = network.eval().get_submodule("cells.0")
    torch.testing.assert_close(inner(x), x + inner.get_submodule("vertices.vertex1")(x))


def check_table(rows: int) -> None:
    """Costs of random rows, with 100 classes, in millions: 3 decimals of parameters, 2 of multiply-adds are recorded.

    In 150 of the 15,625 rows, most of which begin with `skip_connect`, the table records what another cell of the
    same topology has.
    """
    columns = ("arch_str", "iso_str", "params_m_c100", "flops_m_c100")
    table = pq.read_table(TABLE, columns=list(columns)).to_pydict()
    texts, classes, params, flops = (table[name] for name in columns)

    @cache
    def costs(ops: tuple[str, ...]) -> tuple[float, float]:
        cell = Cell(("input", *ops, "output"), from_string(texts[0]).edges)
        network = build_network(Architecture("nasbench201", (cell,)), SPACE, classes=100, device="meta")
        return count_parameters(network) / 1e6, count_macs(network, (3, 32, 32)) / 1e6

    strays = []
    for row in np.random.default_rng(0).choice(len(texts), rows, replace=False).tolist():
        parameters, macs = costs(from_string(texts[row]).ops[1:-1])
        if abs(parameters - params[row]) > 0.0005:
            strays.append(row)
        else:
            assert macs == pytest.approx(flops[row], abs=0.00501)
    assert len(strays) <= 0.02 * rows
    for row in strays:
        others = (each for each in range(len(texts)) if classes[each] == classes[row] and each != row)
        # Parameters depend on how often each operation occurs alone, which spares most of the work.
        members = {tuple(sorted(from_string(texts[each]).ops[1:-1])) for each in others}
        assert any(abs(costs(ops)[0] - params[row]) <= 0.0005 for ops in members)


@needs_table
def test_sampled_cells_have_the_recorded_costs() -> None:
    check_table(30)


@pytest.mark.slow
@needs_table
def test_many_cells_have_the_recorded_costs() -> None:
    check_table(500)
