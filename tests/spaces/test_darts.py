from __future__ import annotations

import pytest

from graphnas.cell import Architecture, Cell
from graphnas.formats.darts import from_genotype
from graphnas.spaces import Space

SPACE = Space.load("darts")
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)


def test_the_number_of_cells_by_formula_and_by_count() -> None:
    # Wirings 1 * 3 * 6 * 10 times operations 7 ** 8 (Liu et al. 2019, App. A.5); the classes are counted here.
    assert SPACE.topology.count == 180 * 7**8 == 1_037_664_180
    assert SPACE.topology.classes() ** 2 == SPACE.size
    for limits in ({"nodes": 2}, {"nodes": 1}, {"nodes": 2, "exclude": []}):
        small = Space.load("darts", **limits).topology
        derived = small.all_derivations()
        assert derived.n == small.count
        assert len(set(small.hashes(derived))) == small.classes()
    assert Space.load("darts", nodes=2).topology.count == 7203


def test_classes_of_three_nodes_are_counted_exactly() -> None:
    from graphnas.spaces.in_degree import InDegreeTopology

    topology = InDegreeTopology(("a", "b"), nodes=3)
    assert topology.count == 18 * 2**6 == 1152
    assert len(set(topology.hashes(topology.all_derivations()))) == topology.classes() == 712


def test_a_published_cell_is_legal_and_none_is_not_unless_it_is_allowed() -> None:
    SPACE.validate(from_genotype(DARTS_V2))
    with_none = from_genotype(DARTS_V2.replace("'dil_conv_3x3'", "'none'"))
    with pytest.raises(ValueError, match=r"normal: vertex 12: 'none' is excluded here"):
        SPACE.validate(with_none)
    Space.load("darts", exclude=[]).validate(with_none)
    assert Space.load("darts", exclude=[]).vocabulary == SPACE.vocabulary


@pytest.mark.parametrize(
    ("genotype", "message"),
    [
        (("('sep_conv_3x3', 0), ('sep_conv_3x3', 1)", "('sep_conv_3x3', 1), ('sep_conv_3x3', 1)"), "different states"),
        (("normal_concat=range(2, 6)", "normal_concat=range(3, 6)"), "every node feeds the output"),
    ],
)
def test_a_rule_that_is_broken_is_named(genotype: tuple[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.validate(from_genotype(DARTS_V2.replace(*genotype, 1)))


def test_an_operation_needs_one_state_and_one_sum() -> None:
    cell = from_genotype(DARTS_V2).cells[0]
    for edges in (cell.edges | {(0, 3)}, cell.edges - {(0, 2)}, cell.edges | {(2, 14)}, cell.edges | {(4, 7)}):
        with pytest.raises(ValueError, match=r"^normal: (vertex|edge) "):
            SPACE.validate(Architecture("darts", (Cell(cell.ops, edges), cell)))
