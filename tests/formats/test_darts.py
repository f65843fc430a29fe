import itertools
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphnas.cell import Architecture, Cell
from graphnas.formats.darts import OPERATIONS, from_genotype, from_genotype_json, to_genotype, to_genotype_json

DATA = Path(os.environ.get("GRAPHNAS_DATA") or Path.home() / ".cache" / "graphnas")
TABLE, ROBUST = DATA / "darts_bench545.parquet", DATA / "robustdarts.parquet"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason="darts_bench545.parquet is missing in GRAPHNAS_DATA")
needs_robust = pytest.mark.skipif(not ROBUST.is_file(), reason="robustdarts.parquet is missing in GRAPHNAS_DATA")

# The second-order cell of the DARTS paper, as published.
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
# One node in the normal cell, two in the other; the second alone is put out.
SMALL = (
    "Genotype(normal=[('none', 1), ('skip_connect', 0)], normal_concat=range(2, 3), "
    "reduce=[('none', 0), ('none', 0), ('sep_conv_5x5', 2), ('max_pool_3x3', 1)], reduce_concat=range(3, 4))"
)


@st.composite
def genotypes(draw: st.DrawFn, max_nodes: int = 6) -> dict[str, Any]:
    """A genotype as plain lists; the two cells may have different numbers of nodes."""
    data: dict[str, Any] = {}
    for name in ("normal", "reduce"):
        nodes = draw(st.integers(1, max_nodes))
        data[name] = [
            [draw(st.sampled_from(OPERATIONS)), draw(st.integers(0, 1 + place // 2))] for place in range(2 * nodes)
        ]
        data[f"{name}_concat"] = sorted(draw(st.sets(st.integers(2, 1 + nodes), min_size=1, max_size=nodes)))
    return {key: data[key] for key in ("normal", "normal_concat", "reduce", "reduce_concat")}


def as_text(data: dict[str, Any], concat: Any = list) -> str:
    def pairs(name: str) -> str:
        return str([tuple(pair) for pair in data[name]])

    return (
        f"Genotype(normal={pairs('normal')}, normal_concat={concat(data['normal_concat'])}, "
        f"reduce={pairs('reduce')}, reduce_concat={concat(data['reduce_concat'])})"
    )


def as_networkx(cell: Cell) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from((v, {"op": op}) for v, op in enumerate(cell.ops))
    graph.add_edges_from(cell.edges)
    return graph


def same_graph(first: Cell, second: Cell) -> bool:
    return nx.is_isomorphic(as_networkx(first), as_networkx(second), node_match=lambda a, b: a["op"] == b["op"])


def class_of(pairs: list[list[Any]], concat: list[int]) -> tuple[Any, ...]:
    """The smallest of all ways to number a cell's nodes and to order the two pairs of a node.

    Worked out on the genotype alone, as an oracle for graphs.
    """
    nodes = len(pairs) // 2
    found = []
    for order in itertools.permutations(range(nodes)):
        state = {0: 0, 1: 1} | {2 + node: 2 + place for place, node in enumerate(order)}
        renumbered = tuple(
            tuple(sorted((op, state[source]) for op, source in pairs[2 * node : 2 * node + 2])) for node in order
        )
        found.append((renumbered, tuple(sorted(state[each] for each in concat))))
    return min(found)


def test_small_genotype_both_ways() -> None:
    architecture = from_genotype(SMALL)
    normal = Cell(
        ("input0", "input1", "none", "skip_connect", "sum", "output"),
        frozenset({(1, 2), (0, 3), (2, 4), (3, 4), (4, 5)}),
    )
    reduce = Cell(
        ("input0", "input1", "none", "none", "sum", "sep_conv_5x5", "max_pool_3x3", "sum", "output"),
        frozenset({(0, 2), (0, 3), (2, 4), (3, 4), (4, 5), (1, 6), (5, 7), (6, 7), (7, 8)}),
    )
    assert architecture == Architecture("darts", (normal, reduce))
    assert to_genotype(architecture) == SMALL
    assert json.loads(to_genotype_json(architecture)) == {
        "normal": [["none", 1], ["skip_connect", 0]],
        "normal_concat": [2],
        "reduce": [["none", 0], ["none", 0], ["sep_conv_5x5", 2], ["max_pool_3x3", 1]],
        "reduce_concat": [3],
    }


def test_published_genotype_is_written_with_ranges() -> None:
    architecture = from_genotype(DARTS_V2)
    assert [cell.size for cell in architecture.cells] == [15, 15]
    assert to_genotype(architecture) == DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)")


def test_space_and_operations_are_the_callers() -> None:
    text = SMALL.replace("none", "noise")
    with pytest.raises(ValueError, match=r"normal\[0\] to be one of none, .*, but got 'noise'"):
        from_genotype(text)
    names = ("noise", "skip_connect", "sep_conv_5x5", "max_pool_3x3")
    architecture = from_genotype(text, space="s4", operations=names)
    assert architecture.space == "s4"
    assert to_genotype(architecture, operations=names) == text
    assert from_genotype_json(to_genotype_json(architecture, operations=names), space="s4", operations=names) == (
        architecture
    )
    with pytest.raises(ValueError, match=r"normal: Expected vertex 2 to be one of none, .*, but got 'noise'"):
        to_genotype(architecture)


def test_white_space_order_and_quotes_do_not_matter() -> None:
    text = """
    Genotype(
        reduce_concat=(3,), reduce=[["none", 0], ["none", 0], ["sep_conv_5x5", 2], ["max_pool_3x3", 1]],
        normal=[('none', 1), ('skip_connect', 0)], normal_concat=[2],
    )
    """
    assert to_genotype(from_genotype(text)) == SMALL


@given(genotypes())
def test_genotypes_come_back(data: dict[str, Any]) -> None:
    architecture = from_genotype(as_text(data))
    assert from_genotype(to_genotype(architecture)) == architecture
    text = to_genotype_json(architecture)
    assert json.loads(text) == data
    assert list(json.loads(text)) == list(data)
    assert from_genotype_json(text) == architecture
    ranges = [list(range(each[0], each[-1] + 1)) == each for each in (data["normal_concat"], data["reduce_concat"])]
    assert to_genotype(architecture).count("range(") == sum(ranges)


@given(genotypes(max_nodes=3), genotypes(max_nodes=3), st.booleans())
def test_hashes_are_equal_exactly_for_genotypes_equal_up_to_order_and_numbering(
    first: dict[str, Any], second: dict[str, Any], related: bool
) -> None:
    if related:
        # The same pairs with the two of the first node exchanged, and another operation at one place.
        second = first | {"normal": [*first["normal"][1::-1], *first["normal"][2:]]}
        second["reduce"] = [["none", first["reduce"][0][1]], *first["reduce"][1:]]
    architectures = [from_genotype(as_text(data)) for data in (first, second)]
    for place, name in enumerate(("normal", "reduce")):
        one, other = (architecture.cells[place] for architecture in architectures)
        classes = [class_of(data[name], data[f"{name}_concat"]) for data in (first, second)]
        assert (one.hash == other.hash) == (classes[0] == classes[1]) == same_graph(one, other)


@given(genotypes(max_nodes=2), st.data())
def test_a_changed_text_is_refused_or_comes_back(genotype: dict[str, Any], data: st.DataObject) -> None:
    text = as_text(genotype, lambda states: f"range({states[0]}, {states[-1] + 1})")
    place = data.draw(st.integers(0, len(text)))
    piece = data.draw(st.sampled_from(["", "(", ")", "[", "]", ",", "'", "0", "9", "-", "x", "\\", "\n", "=", "1if"]))
    changed = text[:place] + piece + text[place + data.draw(st.integers(0, 30)) :]
    try:
        architecture = from_genotype(changed)
    except ValueError:
        return
    assert from_genotype(to_genotype(architecture)) == architecture


@given(genotypes(max_nodes=3), st.data())
def test_a_changed_cell_is_refused_or_comes_back(genotype: dict[str, Any], data: st.DataObject) -> None:
    normal, reduce = from_genotype(as_text(genotype)).cells
    pairs = [(i, j) for j in range(2, normal.size) for i in range(j)]
    changes = data.draw(st.sets(st.sampled_from(pairs), min_size=1, max_size=2))
    changed = Architecture("darts", (Cell(normal.ops, normal.edges ^ changes), reduce))
    try:
        text = to_genotype(changed)
    except ValueError:
        return
    assert from_genotype(text) == changed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Genotype", "Geno", r"a call Genotype\(...\), but got \"Geno\("),
        ("Genotype", "x.Genotype", r"a call Genotype\(...\), but got"),
        ("reduce_concat=range(3, 4))", "reduce_concat=range(3, 4)", "was never closed at line 1, column 9"),
        ("normal=[", "normal=[[", "does not match .* at line 1, column"),
        ("('none', 1)", "('none' 1)", r"Python text, but .* at line 1, column \d+"),
        ("('none', 1)", "('none', state)", "whole number .* but got 'state' at line 1, column 27"),
        ("('none', 1)", "('none', -1)", "but got '-1' at line 1, column 27"),
        ("('none', 1)", "('none', 1.0)", "but got '1.0' at line 1, column 27"),
        ("('none', 1)", "(f'none', 1)", "but got \"f'none'\" at line 1, column 19"),
        ("('none', 1)", "(b'none', 1)", "but got \"b'none'\" at line 1, column 19"),
        ("('none', 1)", "(None, 1)", "but got 'None' at line 1, column 19"),
        ("('none', 1)", "*x", r"but got '\*x' at line 1, column 18"),
        ("('none', 1)", "__import__('os').remove('x')", 'but got "__import__.* at line 1, column 18'),
        ("('none', 1)", "('none', 1 if 1 else 1)", "but got '1 if 1 else 1' at line 1, column 27"),
        ("('none', 1)", "('none', 0x" + "f" * 9000 + ")", "but got '0xfff"),
        ("('none', 1)", "('none', " + "9" * 9000 + ")", "Python text, but Exceeds the limit"),
        ("('none', 1)", "('none', 1, 2)", r"normal\[0\] to be a pair \(operation, state\), but got \['none', 1, 2\]"),
        ("('none', 1)", "'none'", r"normal\[0\] to be a pair .* but got 'none'"),
        ("('none', 1)", "(1, 'none')", r"operation of normal\[0\] to be one of none, .*, but got 1"),
        ("('none', 1)", "('nope', 1)", r"operation of normal\[0\] to be one of none, .*, but got 'nope'"),
        ("('none', 1)", "('sum', 1)", r"operation of normal\[0\] .*, but got 'sum'"),
        ("('none', 1)", "('none', True)", r"state of normal\[0\] to be a number from 0 to 1, but got True"),
        ("('none', 1)", "('none', 2)", r"state of normal\[0\] to be a number from 0 to 1, but got 2"),
        ("('max_pool_3x3', 1)", "('max_pool_3x3', 3)", r"state of reduce\[3\] to be a number from 0 to 2, but got 3"),
        ("('none', 1), ", "", "normal to be a list of pairs .*, two for each node, but got 1 entries"),
        ("[('none', 1), ('skip_connect', 0)]", "[]", "normal to be a list of pairs .* but got 0 entries"),
        ("[('none', 1), ('skip_connect', 0)]", "3", "normal to be a list of pairs .* but got 3"),
        ("range(2, 3)", "[]", r"normal_concat to be a list or range of states, but got \[\]"),
        ("range(2, 3)", "2", "normal_concat to be a list or range of states, but got 2"),
        ("range(2, 3)", "range(2, 4)", r"normal_concat\[1\] to be the state of a node, from 2 to 2, but got 3"),
        ("range(2, 3)", "[1]", r"normal_concat\[0\] to be the state of a node, from 2 to 2, but got 1"),
        ("range(2, 3)", "['2']", r"normal_concat\[0\] to be the state of a node, from 2 to 2, but got '2'"),
        ("range(3, 4)", "[3, 2]", r"reduce_concat to increase, but reduce_concat\[1\] is 2 after 3"),
        ("range(3, 4)", "[3, 3]", r"reduce_concat to increase, but reduce_concat\[1\] is 3 after 3"),
        ("range(3, 4)", "range(3)", r"or range\(first, last \+ 1\), but got 'range\(3\)' at line 1, column"),
        ("range(3, 4)", "range(3, stop=4)", r"but got 'range\(3, stop=4\)'"),
        ("range(3, 4)", "range('3', 4)", r"but got \"range\('3', 4\)\""),
        ("range(3, 4)", "range(3, 99999999999)", "but got '99999999999' at line 1, column"),
        ("normal=", "", "keyword arguments alone, but got another at line 1, column 10"),
        ("normal=", "**", r"keywords normal, .* once, but got '\*\*' at line 1, column 10"),
        ("normal=", "nrmal=", "keywords normal, .* once, but got 'nrmal' at line 1, column 10"),
        ("reduce=", "normal=", "once, but got 'normal' at line 1, column"),
        (", normal_concat=range(2, 3)", "", "but 'normal_concat' is missing"),
        ("Genotype(", "Genotype(\0", "Python text, but source code string cannot contain null bytes"),
    ],
)
def test_a_malformed_text_is_refused_by_its_place(old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(ValueError, match=message):
        from_genotype(SMALL.replace(old, new, 1))


@pytest.mark.parametrize("text", ["", "   ", "-" * 60_000 + "1", "not " * 16_000 + "x", "x" + ".x" * 30_000, "[" * 150])
def test_texts_that_exhaust_a_parser_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Expected a genotype as Python text, but "):
        from_genotype(text)


def test_long_texts_are_refused() -> None:
    for read in (from_genotype, from_genotype_json):
        with pytest.raises(ValueError, match="at most 65,536 characters, but got 65,537"):
            read(" " * 65_537)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "as JSON, but .* line 1 column 1"),
        ('{"normal": [}', r"as JSON, but .* line 1 column 13"),
        ("[" * 60_000, "nested too deeply"),
        ("[]", r"an object with the keys normal, .*, but got \[\]"),
        ("{}", "but 'normal' is missing"),
        ('{"cells": []}', "keys normal, .*, but got 'cells'"),
        ('{"normal": [], "normal": []}', "each key once, but got 'normal' again"),
        (
            '{"normal": [["none", 1], ["none", 7]], "normal_concat": [2], "reduce": [], "reduce_concat": []}',
            r"state of normal\[1\] to be a number from 0 to 1, but got 7",
        ),
        (
            '{"normal": [["none", 1], ["none", 99]], "normal_concat": [], "reduce": 0, "reduce_concat": 0}'.replace(
                "99", "9" * 5000
            ),
            r"state of normal\[1\] to be a number from 0 to 1, but got '999",
        ),
        (
            '{"normal": [["none", 1], ["none", 0]], "normal_concat": [2], "reduce": {}, "reduce_concat": []}',
            "reduce to be a list of pairs .* but got {}",
        ),
    ],
)
def test_malformed_json_is_refused_by_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_genotype_json(text)


@pytest.mark.parametrize(
    ("ops", "edges", "message"),
    [
        (
            ("input", "none", "output"),
            {(0, 1), (1, 2)},
            "normal: Expected input0, input1, three vertices for each node",
        ),
        (("input0", "input1", "output"), {(0, 2)}, "three vertices for each node"),
        (
            ("input0", "input1", "none", "none", "none", "output"),
            {(0, 2), (0, 3)},
            "vertex 4 to be 'sum', but got 'none'",
        ),
        (("input0", "input1", "sum", "none", "sum", "output"), (), r"vertex 2 to be one of none, .* but got 'sum'"),
        (
            ("input0", "input1", "none", "none", "sum", "output"),
            {(0, 2)},
            r"vertex 3 to be fed by .* got vertices \[\]",
        ),
        (
            ("input0", "input1", "none", "none", "sum", "output"),
            {(0, 2), (1, 3), (2, 4), (3, 4)},
            "a sum that feeds the output, but none does",
        ),
        (
            ("input0", "input1", "none", "none", "sum", "output"),
            {(0, 2), (1, 3), (2, 4), (3, 4), (4, 5), (3, 5)},
            r"sums alone the output, but edge \(3, 5\) is extra",
        ),
        (
            ("input0", "input1", "none", "none", "sum", "output"),
            {(0, 2), (1, 3), (2, 4), (4, 5)},
            r"edge \(3, 4\) is missing",
        ),
    ],
)
def test_other_cells_have_no_genotype(ops: tuple[str, ...], edges: Any, message: str) -> None:
    reduce = from_genotype(SMALL).cells[1]
    with pytest.raises(ValueError, match=message):
        to_genotype(Architecture("darts", (Cell(ops, frozenset(edges)), reduce)))
    with pytest.raises(ValueError, match="the cells normal, reduce, but got 1 cells"):
        to_genotype(Architecture("darts", (reduce,)))


@needs_table
def test_all_545_measured_genotypes_come_back_to_the_letter() -> None:
    texts = pq.read_table(TABLE, columns=["architecture"])["architecture"].to_pylist()
    assert len(set(texts)) == 545
    for text in texts:
        architecture = from_genotype(text)
        assert to_genotype(architecture) == text
        assert from_genotype_json(to_genotype_json(architecture)) == architecture


@needs_robust
def test_all_208_genotypes_found_by_robust_darts_come_back_to_the_letter() -> None:
    texts = pq.read_table(ROBUST, columns=["genotype"])["genotype"].to_pylist()
    # Two of the 210 runs left no genotype, but the word None.
    found = [text for text in texts if text != "None"]
    assert (len(texts), len(found)) == (210, 208)
    for text in found:
        assert to_genotype(from_genotype(text)) == text


@needs_table
def test_1090_measured_cells_share_a_hash_exactly_when_equal_up_to_pair_order_and_node_numbers() -> None:
    cells: list[Cell] = []
    by_hash, by_class = defaultdict(list), defaultdict(list)
    for text in pq.read_table(TABLE, columns=["architecture"])["architecture"].to_pylist():
        architecture = from_genotype(text)
        data = json.loads(to_genotype_json(architecture))
        for name, cell in zip(("normal", "reduce"), architecture.cells, strict=True):
            by_hash[cell.hash].append(len(cells))
            by_class[class_of(data[name], data[f"{name}_concat"])].append(len(cells))
            cells.append(cell)
    assert len(cells) == 1090
    assert sorted(by_hash.values()) == sorted(by_class.values())
    assert len(by_hash) == 988
    # Graph isomorphism as another oracle, on all pairs that share a hash.
    pairs = [pair for group in by_hash.values() for pair in itertools.combinations(group, 2)]
    assert len(pairs) == 283
    assert all(same_graph(cells[first], cells[second]) for first, second in pairs)
