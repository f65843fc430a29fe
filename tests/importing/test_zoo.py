"""Networks of many kinds in plain PyTorch are read to the last operator."""

from __future__ import annotations

import pytest

from graphnas.importing import ImportFailed, coarsen, macro_structure, trace
from tests.recipes import recipe

ZOO = recipe("import_zoo")


@pytest.mark.parametrize("name", [name for name in ZOO.OWN if name != "control flow by value"])
def test_all_operators_have_a_place(name: str) -> None:
    network, inputs = ZOO.networks()[name]()
    graph = coarsen(trace(network, *inputs))
    assert graph.mapping.unmapped == {}
    macro = macro_structure(graph)
    # Blocks are all of the network but its inputs and its output.
    inner = sum(block.count * (len(block.cell.ops) - 2) for block in macro.blocks)
    assert inner == len(graph.vertices) - 1 - len(inputs) + (len(inputs) > 1)


def test_what_depends_on_values_is_said() -> None:
    network, inputs = ZOO.networks()["control flow by value"]()
    with pytest.raises(ImportFailed, match=r"torch\.export: GuardOnDataDependentSymNode"):
        trace(network, *inputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ZOO.networks() if name not in ZOO.OWN])
def test_networks_of_other_packages(name: str) -> None:
    pytest.importorskip(name.split()[0])
    network, inputs = ZOO.networks()[name]()
    assert coarsen(trace(network, *inputs)).mapping.share > 0.99
