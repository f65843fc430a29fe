import json
from pathlib import Path

import pytest

from graphnas.cell import Architecture, Cell
from graphnas.cli.architectures import read_architectures
from graphnas.cli.console import BadData
from graphnas.formats.darts import from_genotype
from graphnas.formats.enas import from_lists
from graphnas.formats.graphs import to_graphml
from graphnas.formats.nasbench201 import from_string
from graphnas.spaces import Space

CELL_101 = Cell(("input", "conv3x3", "maxpool3x3", "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 3)}))
MATRIX = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
OPS = ["input", "conv3x3-bn-relu", "maxpool3x3", "output"]
STRING = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
NORMAL = [
    ["skip_connect", 0], ["sep_conv_3x3", 1], ["max_pool_3x3", 2], ["dil_conv_5x5", 0],
    ["sep_conv_5x5", 3], ["avg_pool_3x3", 1], ["skip_connect", 4], ["dil_conv_3x3", 2],
]  # fmt: skip
GENOTYPE_OBJECT = {"normal": NORMAL, "normal_concat": [2, 3, 4, 5], "reduce": NORMAL, "reduce_concat": [2, 3, 4, 5]}
GENOTYPE = (
    f"Genotype(normal={[tuple(pair) for pair in NORMAL]}, normal_concat=range(2, 6), "
    f"reduce={[tuple(pair) for pair in NORMAL]}, reduce_concat=range(2, 6))"
)
LISTS = [[1], [4, 0], [5, 0, 0], [0, 1, 1, 1], [2, 1, 1, 1, 1], [3, 0, 0, 0, 0, 1]]
OTHER_LISTS = [[0], [0, 1]]

NASBENCH101 = Architecture("nasbench101", (CELL_101,))
NASBENCH201 = Architecture("nasbench201", (from_string(STRING),))
DARTS = from_genotype(GENOTYPE)
ENAS = Architecture("enas", (from_lists(LISTS),))


def write(folder: Path, text: str, name: str = "cells.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NASBENCH101.to_json(), [NASBENCH101]),
        (json.dumps({"architecture": json.loads(DARTS.to_json()), "value": 0.9}), [DARTS]),
        (f"{NASBENCH101.to_json()}\n\n{DARTS.to_json()}\n", [NASBENCH101, DARTS]),
        (f"[{NASBENCH101.to_json()}, {DARTS.to_json()}]", [NASBENCH101, DARTS]),
        (json.dumps({"matrix": MATRIX, "ops": OPS}), [NASBENCH101]),
        (json.dumps({"adjacency": MATRIX, "ops": OPS, "test accuracy": 0.9}, indent=2), [NASBENCH101]),
        (json.dumps([{"architecture": {"matrix": MATRIX, "ops": OPS}}]), [NASBENCH101]),
        (STRING, [NASBENCH201]),
        (f"\n  {STRING}  \r\n{NONE}\n", [NASBENCH201, Architecture("nasbench201", (from_string(NONE),))]),
        (json.dumps([STRING, {"architecture": STRING}]), [NASBENCH201, NASBENCH201]),
        (GENOTYPE, [DARTS]),
        (f"{GENOTYPE}\n{GENOTYPE}", [DARTS, DARTS]),
        (json.dumps(GENOTYPE_OBJECT), [DARTS]),
        (json.dumps(GENOTYPE_OBJECT, indent=1), [DARTS]),
        (json.dumps(LISTS), [ENAS]),
        (json.dumps(LISTS, indent=1), [ENAS]),
        (f"{LISTS}\n{OTHER_LISTS}", [ENAS, Architecture("enas", (from_lists(OTHER_LISTS),))]),
        (json.dumps([LISTS, [[5]]]), [ENAS, Architecture("enas", (from_lists([[5]]),))]),
        (f"{STRING}\n{LISTS}\n{GENOTYPE}\n{NASBENCH101.to_json()}", [NASBENCH201, ENAS, DARTS, NASBENCH101]),
    ],
)
def test_notations_are_recognised(tmp_path: Path, text: str, expected: list[Architecture]) -> None:
    assert read_architectures(write(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("space", "text", "expected"),
    [
        ("nasbench101", json.dumps({"matrix": MATRIX, "ops": OPS}), NASBENCH101),
        ("nasbench201", STRING, NASBENCH201),
        ("darts", GENOTYPE, DARTS),
        ("enas", json.dumps(LISTS), ENAS),
    ],
)
def test_a_given_space_checks_and_gives_its_name(tmp_path: Path, space: str, text: str, expected: Architecture) -> None:
    loaded = Space.load(space)
    assert read_architectures(write(tmp_path, text), loaded) == [expected]
    # The same rules under another name, as in a space file of one's own.
    own = tmp_path / "own.toml"
    own.write_text(loaded.path.read_text().replace(f'name = "{space}"', 'name = "own"'))
    (architecture,) = read_architectures(write(tmp_path, text), Space.load(own))
    assert architecture == Architecture("own", expected.cells)
    with pytest.raises(BadData, match="Expected an architecture of 'own', but got one of"):
        read_architectures(write(tmp_path, expected.to_json()), Space.load(own))


def test_operations_of_a_space_are_allowed_in_genotypes(tmp_path: Path) -> None:
    text = GENOTYPE.replace("sep_conv_5x5", "my_conv")
    with pytest.raises(BadData, match=r"normal\[4\] to be one of none, .*, but got 'my_conv'"):
        read_architectures(write(tmp_path, text))
    own = tmp_path / "own.toml"
    own.write_text(Space.load("darts").path.read_text().replace("sep_conv_5x5", "my_conv"))
    (architecture,) = read_architectures(write(tmp_path, text), Space.load(own))
    assert "my_conv" in architecture.cells[0].ops


def test_graphml_holds_one_cell_of_a_given_space(tmp_path: Path) -> None:
    path = write(tmp_path, to_graphml(CELL_101), "cell.graphml")
    assert read_architectures(path, Space.load("nasbench101")) == [NASBENCH101]
    assert read_architectures(path.rename(tmp_path / "CELL.GraphML"), Space.load("nasbench101")) == [NASBENCH101]


@pytest.mark.parametrize(
    ("space", "text", "reason"),
    [
        (None, to_graphml(CELL_101), "a space of one cell, which GraphML does not name, but none was given"),
        ("darts", to_graphml(CELL_101), "a space of one cell, .* but darts has the cells normal, reduce"),
        ("nasbench101", "", "Expected a GraphML document, but no element found: line 1"),
        ("nasbench101", "<!DOCTYPE a>", "without declarations, but got '<!DOCTYPE' at line 1"),
        ("nasbench101", to_graphml(from_string(NONE)), "cell: "),
    ],
)
def test_wrong_graphml_is_bad_data(tmp_path: Path, space: str | None, text: str, reason: str) -> None:
    path = write(tmp_path, text, "cell.graphml")
    with pytest.raises(BadData, match=rf"cell\.graphml: the graph: .*{reason}"):
        read_architectures(path, space and Space.load(space))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value: line 1 column 1"),
        ("[]", "expected at least one architecture, but it holds none"),
        ("3", "the value: Expected an architecture with the keys 'space' and 'cells', but got 3"),
        ('"nasbench101"', "the value: Expected an architecture with the keys"),
        ("[1, 2]", "entry 0: Expected an architecture with the keys"),
        ("[" * 100_000, "expected JSON, but it is nested too deeply"),
        ("[\n" * 100_000, "line 1: Expecting value at column 2"),
        ("1" * 10_000, "Exceeds the limit"),
        (f"{STRING}\n{{", "line 2: Expecting property name enclosed in double quotes at column 2"),
        (f"{STRING}\n{STRING[:-1]}", r"line 2: Expected node 3 as '\|op~0\|...\|'"),
        (f"{STRING}\n\n|nope~0|", "line 3: Expected the operation from node 0 to node 1 to be one of none, "),
        (GENOTYPE[:-1], r"line 1: Expected a genotype as Python text, but '\(' was never closed at line 1"),
        (f"{GENOTYPE}\nGenotype(normal=[])", "line 2: Expected the keys normal, .* but 'normal_concat' is missing"),
        ("Genotype(normal=__import__('os').getcwd())", "line 1: .* but got .* at line 1, column 17"),
        ('{"normal": []}', "the value: Expected the keys normal, .* but 'normal_concat' is missing"),
        ('{"reduce_concat": []}', "the value: Expected the keys normal, .* but 'normal' is missing"),
        (json.dumps([GENOTYPE_OBJECT, GENOTYPE_OBJECT | {"more": 1}]), "entry 1: Expected the keys .* but got 'more'"),
        ("[[0], [1, 2]]", "the value: Expected bit 0 of layer 2 to be 0 or 1, but got 2"),
        ("[[]]", "the value: Expected layer 1 to be a list of 1 numbers"),
        ("[[[0]], [[7]]]", "entry 1: Expected the operation of layer 1 to be a code from 0 to 5, but got 7"),
        ('{"matrix": 1, "ops": []}', "the value: Expected 'matrix' to be a list of lists, but got 1"),
        ('{"adjacency": [1], "ops": []}', r"the value: Expected 'adjacency' to be a list of lists, but got \[1\]"),
        ('{"matrix": [], "ops": [[]]}', r"the value: Expected 'ops' to be a list of names, but got \[\[\]\]"),
        (
            '{"matrix": [], "adjacency": [], "ops": []}',
            "the value: Expected the key 'matrix' or the key 'adjacency', but got both",
        ),
        ('{"matrix": [[0, 1], [1, 0]], "ops": ["input", "output"]}', r"the value: .* but matrix\[1\]\[0\] is 1"),
        ('{"matrix": [], "ops": []}', "the value: Expected the last vertex alone to be 'output'"),
    ],
)
def test_what_is_wrong_is_named_with_file_place_and_reason(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(BadData, match=rf"cells\.txt: {reason}"):
        read_architectures(write(tmp_path, text))


def test_illegal_architectures_of_a_space_are_refused_by_their_line(tmp_path: Path) -> None:
    path = write(tmp_path, f"{STRING}\n|none~0|")
    with pytest.raises(BadData, match=r"cells\.txt: line 2: cell: "):
        read_architectures(path, Space.load("nasbench201"))
    assert len(read_architectures(path)) == 2


def test_a_file_may_begin_with_a_mark(tmp_path: Path) -> None:
    assert read_architectures(write(tmp_path, f"\ufeff{NASBENCH101.to_json()}")) == [NASBENCH101]


def test_a_file_that_is_no_text_is_bad_data(tmp_path: Path) -> None:
    path = tmp_path / "cells.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadData, match=r"cells\.json: 'utf-8' codec can't decode"):
        read_architectures(path)
