"""What must hold for every space: each test runs for each space file that comes with the library."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import optuna
import pytest
from brute_force import CELLS
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import relabelled

from graphnas.cell import Architecture
from graphnas.formats.graphs import from_graphml, from_networkx, from_pyg, to_graphml, to_networkx, to_pyg
from graphnas.spaces import Space

SPACES = {name: Space.load(name) for name in Space.names()}
SMALL_LIMITS = {
    "dag": {"max_vertices": 4},
    "chain": {"layers": 3},
    "complete": {"nodes": 3},
    "in_degree": {"nodes": 2},
}
"""By kind of topology: small enough to try everything."""
SMALL = {name: Space.load(name, **SMALL_LIMITS[space.topology.kind]) for name, space in SPACES.items()}

every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
every_small_space = pytest.mark.parametrize("space", SMALL.values(), ids=SMALL)
seeds = given(st.integers(0, 2**32 - 1))


def shuffled(architecture: Architecture, rng: np.random.Generator) -> Architecture:
    return Architecture(architecture.space, tuple(relabelled(cell, rng) for cell in architecture.cells))


def assert_derived(space: Space, architecture: Architecture) -> None:
    """Legal, the same after parsing and building, and every decision allowed by the masks of the earlier ones."""
    space.validate(architecture)
    decisions = space.decisions(architecture)
    assert space.build(decisions) == architecture
    for step in range(len(decisions)):
        assert space.masks(decisions[None, :step])[0, decisions[step]]


@every_space
def test_random_derivations_are_legal(space: Space) -> None:
    derived = space.topology.sample_by_decision(400 * len(space.cell_names), np.random.default_rng(0))
    assert space.topology.is_legal(derived).all()
    for one in space.from_arrays(derived)[:50]:
        assert_derived(space, one)


@every_space
@seeds
@settings(max_examples=20)
def test_samples_and_their_edits_parse_back_to_the_same_decisions(space: Space, seed: int) -> None:
    rng = np.random.default_rng(seed)
    (one,) = space.sample(1, rng)
    assert_derived(space, one)
    assert_derived(space, space.mutate(one, rng))
    neighbours = space.neighbours(one)
    for other in neighbours[:: max(len(neighbours) // 5, 1)]:
        assert_derived(space, other)
    hashes = space.hashes([one, *neighbours])
    assert len(set(hashes)) == len(hashes)


@every_space
def test_samples_are_repeatable_and_canonical(space: Space) -> None:
    first = space.sample(60, np.random.default_rng(1))
    assert first == space.sample(60, np.random.default_rng(1))
    assert space.sample(0, np.random.default_rng(1)) == []
    arrays = space.to_arrays(first)
    assert space.from_arrays(space.topology.canonical(arrays)) == first


@every_space
@seeds
@settings(max_examples=20)
def test_relabelling_changes_neither_hash_nor_canonical_form(space: Space, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = space.sample(4, rng)
    moved = [shuffled(one, rng) for one in cases]
    for one in moved:
        space.validate(one)
        space.build(space.decisions(one))
    assert space.hashes(moved) == space.hashes(cases)
    canonical, again = (space.topology.canonical(space.to_arrays(part)) for part in (cases, moved))
    assert space.from_arrays(canonical) == space.from_arrays(again)


@pytest.mark.parametrize("name", [name for name, space in SPACES.items() if space.topology.kind != "dag"])
@seeds
@settings(max_examples=10)
def test_being_neighbours_is_mutual_where_nothing_is_pruned(name: str, seed: int) -> None:
    space, rng = SPACES[name], np.random.default_rng(seed)
    (one,) = space.sample(1, rng)
    other = space.mutate(one, rng)
    assert space.hash(one) in space.hashes(space.neighbours(other))


@every_small_space
def test_derivations_are_exactly_the_cells_that_the_papers_define(space: Space) -> None:
    topology = space.topology
    legal = list(CELLS[topology.kind](tuple(space.operations), **topology.settings))
    derived = [one for cell in space.from_arrays(topology.all_derivations()) for one in cell.cells]
    derived = derived if len(space.cell_names) == 1 else derived[: topology.count]
    assert len(legal) == len(set(legal)) == topology.count
    assert set(derived) == set(legal)
    # The masks on the way forbid nothing else: after every prefix exactly the choices that go on are legal.
    decisions = topology.encode(topology.all_derivations())
    for step in range(decisions.shape[1]):
        prefixes, group = np.unique(decisions[:, :step], axis=0, return_inverse=True)
        masks = space.masks(prefixes)
        follows = np.zeros_like(masks)
        follows[group.reshape(-1), decisions[:, step]] = True
        assert (masks == follows).all()


# Cells of a complete topology count as the same by their unique strings: see test_nasbench201.py.
@pytest.mark.parametrize("name", [name for name, space in SPACES.items() if space.topology.kind != "complete"])
def test_hashes_are_equal_exactly_for_isomorphic_cells(name: str) -> None:
    space = SMALL[name]
    topology = space.topology
    cells = topology.all_derivations()
    hashes = topology.hashes(cells)
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(hashes):
        groups.setdefault(key, []).append(row)
    assert len(groups) == topology.enumerate().n
    rng = np.random.default_rng(0)
    parts = len(space.cell_names)

    def graph(row: int) -> nx.DiGraph:
        return to_networkx(space.from_arrays(cells.take(np.repeat(row, parts)))[0].cells[0])

    def same(one: nx.DiGraph, other: nx.DiGraph) -> bool:
        return nx.is_isomorphic(one, other, node_match=lambda a, b: a["op"] == b["op"])

    for members in [group for group in groups.values() if len(group) > 1][:100]:
        assert all(same(graph(members[0]), graph(row)) for row in members[1:])
    # Cells that a coarse invariant cannot tell apart are the ones that a weak hash would confuse.
    coarse: dict[tuple[object, ...], list[str]] = {}
    for key, (first, *_) in groups.items():
        shape = tuple(
            sorted(zip(cells.ops[first], *(cells.adjacency[first].sum(axis) for axis in (0, 1)), strict=True))
        )
        coarse.setdefault(shape, []).append(key)
    candidates = [pair for keys in coarse.values() for pair in itertools.combinations(keys[:4], 2)]
    for number in rng.permutation(len(candidates))[:200]:
        one, other = candidates[number]
        assert not same(graph(groups[one][0]), graph(groups[other][0]))


@every_small_space
def test_every_class_is_listed_once_and_counted(space: Space) -> None:
    listed = list(itertools.islice(space.enumerate(), 20_000))
    if len(listed) < 20_000:
        hashes = space.hashes(listed)
        assert len(set(hashes)) == len(hashes) == (space.size or len(hashes))
    for one in listed[:: max(len(listed) // 50, 1)]:
        assert_derived(space, one)
    raw = space.topology.enumerate(raw=True)
    assert set(space.topology.hashes(raw)) == set(space.topology.hashes(space.topology.enumerate()))


@every_small_space
def test_sampling_is_uniform_over_classes(space: Space) -> None:
    classes = space.topology.hashes(space.topology.enumerate())
    counts = dict.fromkeys(classes, 0)
    n = min(200 * len(classes), 50_000)
    for key in space.topology.hashes(space.topology.sample(n, np.random.default_rng(0))):
        counts[key] += 1
    expected = n / len(classes)
    squares = sum((count - expected) ** 2 / expected for count in counts.values())
    # A chi-squared statistic has the mean of its degrees of freedom and twice that variance.
    assert abs(squares - len(classes)) < 6 * np.sqrt(2 * len(classes))


@every_space
def test_formats_return_the_architecture(space: Space) -> None:
    rng = np.random.default_rng(5)
    for one in space.sample(10, rng):
        assert Architecture.from_json(one.to_json()) == one
        for cell in shuffled(one, rng).cells:
            assert from_networkx(to_networkx(cell)) == cell
            assert from_graphml(to_graphml(cell)) == cell
            assert from_pyg(to_pyg(cell, space.vocabulary), space.vocabulary) == cell


@every_space
@pytest.mark.parametrize("sampler", [optuna.samplers.RandomSampler, optuna.samplers.TPESampler])
def test_optuna_samplers_only_propose_legal_architectures(space: Space, sampler: type) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=sampler(seed=0))

    def objective(trial: optuna.Trial) -> float:
        one = space.suggest(trial)
        space.validate(one)
        assert Architecture.from_json(trial.user_attrs["graphnas:architecture"]) == one
        assert trial.user_attrs["graphnas:hash"] == space.hash(one)
        return len(one.cells[0].edges) + one.cells[0].ops.count(one.cells[0].ops[-2])

    study.optimize(objective, n_trials=20)
    assert set(study.trials[0].params) == set(space.distributions())
    (one,) = space.sample(1, np.random.default_rng(3))
    assert space.suggest(optuna.trial.FixedTrial(space.parameters(one))) == one


@every_space
@seeds
@settings(max_examples=30)
def test_one_changed_edge_or_label_is_refused_or_another_legal_cell(space: Space, seed: int) -> None:
    rng = np.random.default_rng(seed)
    (one,) = space.sample(1, rng)
    cell = one.cells[0]
    i, j = sorted(rng.choice(cell.size, 2, replace=False).tolist())
    try:
        changed = Architecture(one.space, (type(cell)(cell.ops, cell.edges ^ {(i, j)}), *one.cells[1:]))
    except ValueError:
        return  # no cell at all: the edge leads into an input
    arrays = space.topology.simplify(space.to_arrays([changed]))
    legal = bool(space.topology.is_legal(arrays).reshape(-1, len(space.cell_names)).all())
    if legal:
        space.validate(changed)
        space.validate(space.build(space.decisions(changed)))
    else:
        with pytest.raises(ValueError, match=r"^(cell|normal): (vertex|edge)"):
            space.validate(changed)
