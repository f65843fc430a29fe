from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cells, relabelled

from graphnas.cell import Architecture, Cell
from graphnas.spaces import Space, SpaceFileError

SPACE = Space.load("nasbench101")


def architecture(ops: str, edges: set[tuple[int, int]]) -> Architecture:
    names = {"3": "conv3x3", "1": "conv1x1", "m": "maxpool3x3"}
    return Architecture("nasbench101", (Cell(("input", *(names[o] for o in ops), "output"), frozenset(edges)),))


def test_samples_are_legal_canonical_and_repeatable() -> None:
    first = SPACE.sample(200, np.random.default_rng(1))
    assert first == SPACE.sample(200, np.random.default_rng(1))
    for one in first:
        SPACE.validate(one)
        assert one.cells[0] == one.cells[0].canonical()


@given(st.integers(0, 2**32 - 1))
def test_decisions_are_the_inverse_of_build(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = SPACE.sample(1, rng)[0]
    shuffled = Architecture(one.space, (relabelled(one.cells[0], rng),))
    for case in (one, shuffled):
        decisions = SPACE.decisions(case)
        assert SPACE.build(decisions) == case
        for step in range(len(decisions)):
            assert SPACE.masks(decisions[None, :step])[0, decisions[step]]


def test_the_tables_of_small_limits_have_the_published_counts() -> None:
    space = Space.load("nasbench101", max_vertices=5)
    arrays = space.enumerate_arrays()
    assert np.bincount(arrays.size).tolist() == [0, 0, 1, 6, 84, 2441]
    assert len(set(space.hashes(arrays))) == 2532


@pytest.mark.slow
def test_all_423624_classes_are_enumerated_and_the_masks_derive_exactly_these() -> None:
    arrays = SPACE.enumerate_arrays()
    assert np.bincount(arrays.size).tolist() == [0, 0, 1, 6, 84, 2441, 62010, 359082]
    assert arrays.n == SPACE.size == len(set(SPACE.hashes(arrays)))
    derived = SPACE.topology.all_derivations()
    assert derived.n == 1_293_208
    assert SPACE.topology.is_legal(derived).all()
    assert set(SPACE.hashes(derived)) == set(SPACE.hashes(arrays))


@given(cells(max_vertices=9))
def test_validate_agrees_with_the_rules(cell: Cell) -> None:
    live = cell.pruned()
    legal = bool(live.edges) and live.size <= 7 and len(live.edges) <= 9
    one = Architecture("nasbench101", (cell,))
    if legal:
        SPACE.validate(one)
        assert SPACE.build(SPACE.decisions(one)).cells[0] == live
        assert SPACE.hash(one) == live.hash
    else:
        with pytest.raises(ValueError, match=r"vertex|edge"):
            SPACE.validate(one)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (architecture("3", {(0, 1)}), "cell: vertex 0: there is no path"),
        (architecture("33333", {(i, j) for i in range(7) for j in range(i + 1, 7)}), r"cell: edge \(1, 5\): .* 21"),
        (architecture("333333", {(i, i + 1) for i in range(7)}), "cell: vertex 7: expected at most 7 vertices, got 8"),
        (Architecture("nasbench101", (Cell(("input", "x", "output"), frozenset({(0, 1), (1, 2)})),)), "vertex 1.*'x'"),
        (Architecture("other", architecture("3", {(0, 1), (1, 2)}).cells), "'other'"),
        (Architecture("nasbench101", architecture("3", {(0, 1), (1, 2)}).cells * 2), "2 cells"),
    ],
)
def test_validate_says_which_vertex_or_edge_and_why(wrong: Architecture, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.validate(wrong)


def test_dead_vertices_are_refused_where_a_space_does_not_prune() -> None:
    space = Space.load("nasbench101", prune=False)
    with pytest.raises(ValueError, match=r"vertex 2 .* lies on no path"):
        space.validate(architecture("31", {(0, 1), (1, 3), (0, 2)}))


def test_neighbours_are_one_edit_away_legal_and_distinct() -> None:
    chain = architecture("3", {(0, 1), (1, 2)})
    found = SPACE.neighbours(chain)
    ops = sorted(one.cells[0].ops[1:-1] for one in found)
    # Two other operations, the skip edge, two sides of the vertex for each of three operations (one pair the same
    # class), the empty cell.
    assert ops.count(()) == 1
    assert ("conv1x1",) in ops
    assert ("maxpool3x3",) in ops
    assert len({SPACE.hash(one) for one in [*found, chain]}) == len(found) + 1
    for one in found:
        SPACE.validate(one)


def test_a_wrong_decision_is_named() -> None:
    decisions = SPACE.decisions(architecture("3", {(0, 1), (1, 2)}))
    with pytest.raises(ValueError, match="Expected 27 decisions"):
        SPACE.build(decisions[:-1])
    decisions[1] = 0
    with pytest.raises(ValueError, match=r"cell.edge0_1: expected one of yes"):
        SPACE.build(decisions)
    with pytest.raises(ValueError, match="t < 27"):
        SPACE.masks(np.zeros((1, 27), dtype=np.int8))


def test_suggest_returns_the_architecture_whose_parameters_it_is_given() -> None:
    for one in SPACE.sample(20, np.random.default_rng(3)):
        assert SPACE.suggest(optuna.trial.FixedTrial(SPACE.parameters(one))) == one


def test_larger_limits_give_larger_cells() -> None:
    space = Space.load("nasbench101", max_vertices=12, max_edges=20)
    drawn = space.sample(300, np.random.default_rng(0))
    assert max(one.cells[0].size for one in drawn) > 7
    for one in drawn:
        space.validate(one)


def test_spaces_do_not_import_torch() -> None:
    code = "import sys, graphnas.spaces; sys.exit('torch' in sys.modules or 'optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


VALID = Path(SPACE.path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "key", "reason"),
    [
        ('name = "nasbench101"', "", "name", "missing"),
        ('name = "nasbench101"', 'name = "a b"', "name", "letters"),
        ('name = "nasbench101"', 'name = "x"\ncolour = 1', "colour", "unknown key"),
        ('cells = ["cell"]', 'cells = ["a", "a"]', "cells", "distinct"),
        ('kind = "dag"', 'kind = "tree"', "topology.kind", "'tree'"),
        ("max_vertices = 7", "", "topology.max_vertices", "missing"),
        ("max_vertices = 7", "max_vertices = 1", "topology.max_vertices", "from 2"),
        ("max_vertices = 7", "max_vertices = true", "topology.max_vertices", "True"),
        ("max_edges = 9", "max_edge = 9", "topology.max_edge", "unknown key"),
        ("prune = true", "prune = 1", "topology.prune", "true or false"),
        ("size = 423_624", "size = -1", "size", "positive"),
        ("stacks = 3", "stacks = 0", "network.stacks", "positive"),
        ("stacks = 3", "piles = 3", "network.piles", "unknown size"),
        (
            "[network]",
            "[encoder]\nlatent = 8\n[network]",
            "encoder.latent",
            "unknown key; expected pretrained",
        ),
        ("[network]", "[encoder]\nlatent_dim = 1\n[network]", "encoder.latent_dim", "a whole number from 2 to 256"),
        ("[network]", "[encoder]\nedits = 1.5\n[network]", "encoder.edits", "a number from 0 to 1"),
        ("[network]", "[encoder]\nplaces = true\n[network]", "encoder.places", "a number from"),
        ('skeleton = "stacked"', 'skeleton = "pyramid"', "network.skeleton", "'pyramid'"),
        ("kernel = 1 }", "kernel = 4 }", "operations.conv1x1", "odd"),
        ("kernel = 1 }", "dilation = 4 }", "operations.conv1x1", "options kernel"),
        ('module = "max_pool"', 'module = "pool"', "operations.maxpool3x3", "'pool'"),
        ("conv1x1 = {", '"con v" = {', "operations.con v", "letters"),
        ("conv1x1 = {", '"" = {', "operations.", "letters"),
        ("conv1x1 = {", "output = {", "operations.output", "reserved"),
        ('conv1x1 = { module = "conv", kernel = 1 }', "conv1x1 = 1", "operations.conv1x1", "table"),
        ("[topology]", "[topology", "", "not TOML"),
    ],
)
def test_a_mistake_in_a_space_file_is_refused_with_file_key_and_reason(
    tmp_path: Path, old: str, new: str, key: str, reason: str
) -> None:
    path = tmp_path / "mine.toml"
    assert old in VALID
    path.write_text(VALID.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SpaceFileError) as caught:
        Space.load(path)
    assert caught.value.key == key
    assert reason in caught.value.reason
    assert str(path) in str(caught.value)


def test_a_missing_or_unreadable_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceFileError, match=r"known: .*nasbench101"):
        Space.load("nasbench999")
    with pytest.raises(SpaceFileError, match="cannot be read"):
        Space.load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(SpaceFileError, match="not UTF-8"):
        Space.load(tmp_path / "latin.toml")
