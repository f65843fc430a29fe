"""Cells as graphs of other libraries: networkx, GraphML files, PyTorch Geometric.

Each vertex carries its operation, as the attribute `op` or as a vocabulary code; edges carry nothing.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from graphnas.cell import OUTPUT, Cell, is_input

if TYPE_CHECKING:
    from torch_geometric.data import Data

_LONGEST = 2**22  # characters of a GraphML document
_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
# XML cannot hold other characters, and a reader turns carriage returns into line feeds.
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DECLARATION = re.compile(r"<!(?!--|\[CDATA\[)\w*")


def to_networkx(cell: Cell) -> nx.DiGraph[int]:
    """The cell as a directed graph on the vertex numbers, with the node attribute `op`."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from((vertex, {"op": op}) for vertex, op in enumerate(cell.ops))
    graph.add_edges_from(sorted(cell.edges))
    return graph


def from_networkx(graph: nx.DiGraph[Any]) -> Cell:
    """The cell of a directed acyclic graph whose nodes have the attribute `op`.

    Nodes that are the numbers 0, 1, ... in an order that a cell can have keep their numbers. Others are put in
    topological order: inputs first, by their number (`input0`, `input1`, ...); then, of the nodes whose sources are
    placed, always the one that was added to the graph first; the output last.

    Raises:
        ValueError: naming the node or edge that is wrong.
    """
    if not graph.is_directed() or graph.is_multigraph():
        raise ValueError(f"Expected a networkx.DiGraph, but got {type(graph).__name__}")
    ops: dict[Any, str] = {}
    for node, attributes in graph.nodes(data=True):
        op = attributes.get("op")
        if not isinstance(op, str) or not op:
            raise ValueError(f"Expected node {node!r} to have a name as its attribute 'op', but got {op!r:.100}")
        ops[node] = op
    outputs = [node for node, op in ops.items() if op == OUTPUT]
    if len(outputs) != 1:
        raise ValueError(f"Expected one node with op {OUTPUT!r}, but got {len(outputs)}: {outputs!r:.100}")
    inputs = [node for node, op in ops.items() if is_input(op)]
    if not inputs:
        raise ValueError("Expected a node with op 'input', but got none")
    for node in inputs:
        for source in graph.predecessors(node):
            raise ValueError(f"Edge {source!r} -> {node!r} leads into an input ({ops[node]!r})")
    for target in graph.successors(outputs[0]):
        raise ValueError(f"Edge {outputs[0]!r} -> {target!r} leads out of the output")
    order = _numbered(graph, inputs, outputs[0]) or _sorted(graph, ops, inputs, outputs[0])
    number = {node: vertex for vertex, node in enumerate(order)}
    return Cell(tuple(ops[node] for node in order), frozenset((number[i], number[j]) for i, j in graph.edges))


def _numbered(graph: nx.DiGraph[Any], inputs: list[Any], output: Any) -> list[Any]:
    """The nodes 0, 1, ... in the order of their numbers, if a cell can have it; else nothing."""
    numbers = list(range(len(graph)))
    if set(graph) == set(numbers) and set(inputs) == set(numbers[: len(inputs)]) and output == numbers[-1]:
        return numbers if all(i < j for i, j in graph.edges) else []
    return []


def _sorted(graph: nx.DiGraph[Any], ops: dict[Any, str], inputs: list[Any], output: Any) -> list[Any]:
    place = {node: added for added, node in enumerate(graph)}
    inputs = sorted(inputs, key=lambda node: (int(ops[node][5:] or 0), place[node]))
    inner = graph.subgraph(set(graph) - {*inputs, output})
    try:
        return [*inputs, *nx.lexicographical_topological_sort(inner, key=place.__getitem__), output]
    except nx.NetworkXUnfeasible:
        i, j = nx.find_cycle(inner)[0][:2]
        raise ValueError(f"Expected a graph without cycles, but edge {i!r} -> {j!r} is part of one") from None


def to_graphml(cell: Cell) -> str:
    """The cell as a GraphML document, with the vertex numbers as ids and the string attribute `op`.

    Raises:
        ValueError: if an operation name has a character that XML cannot hold.
    """
    for vertex, op in enumerate(cell.ops):
        wrong = _NOT_XML.search(op)
        if wrong:
            raise ValueError(f"Expected vertex {vertex} to have a name that XML can hold, but got {op!r:.100}")
    file = io.BytesIO()
    nx.write_graphml_xml(to_networkx(cell), file)
    return file.getvalue().decode()


def from_graphml(text: str) -> Cell:
    """The cell of a GraphML document with one directed graph whose nodes have the attribute `op`.

    Other attributes are ignored. Ids 0, 1, ... are read as vertex numbers; see `from_networkx`.

    Raises:
        ValueError: naming the node, edge, or line and column that is wrong; if there is a document type declaration
            or an entity declaration; if the text is longer than 4,194,304 characters.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"Expected a document of at most {_LONGEST:,} characters, but got {len(text):,}")
    declaration = _DECLARATION.search(text)
    if declaration:
        line = text.count("\n", 0, declaration.start()) + 1
        raise ValueError(f"Expected GraphML without declarations, but got {declaration[0]!r:.30} at line {line}")
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, UnicodeEncodeError) as error:
        raise ValueError(f"Expected a GraphML document, but {error}") from None
    # A document may leave out the namespace.
    prefix = f"{{{_NAMESPACE}}}" if root.tag == f"{{{_NAMESPACE}}}graphml" else ""
    if root.tag != f"{prefix}graphml":
        raise ValueError(f"Expected the root element graphml, but got {root.tag!r:.100}")
    graphs = root.findall(f"{prefix}graph")
    if len(graphs) != 1:
        raise ValueError(f"Expected one graph, but got {len(graphs)}")
    keys = {
        key.get("id"): key.findtext(f"{prefix}default")
        for key in root.findall(f"{prefix}key")
        if key.get("attr.name") == "op" and key.get("for", "all") in ("node", "all")
    }
    return from_networkx(_graph(graphs[0], prefix, keys))


def _graph(element: ET.Element, prefix: str, keys: dict[str | None, str | None]) -> nx.DiGraph[Any]:
    """A `graph` element whose nodes have their operation under one of the keys, or have the key's default."""
    for kind in ("hyperedge", f"node/{prefix}graph"):
        if element.find(f"{prefix}{kind}") is not None:
            raise ValueError(f"Expected nodes and edges alone, but got a {kind.split('}')[-1]}")
    default = next((value for value in keys.values() if value is not None), None)
    graph: nx.DiGraph[Any] = nx.DiGraph()
    for node in element.findall(f"{prefix}node"):
        name = node.get("id")
        if name is None or _vertex(name) in graph:
            raise ValueError(f"Expected each node to have an id of its own, but got {name!r:.100}")
        found = [data.text for data in node.findall(f"{prefix}data") if data.get("key") in keys]
        graph.add_node(_vertex(name), op=found[0] if found else default)
    for edge in element.findall(f"{prefix}edge"):
        source, target = edge.get("source"), edge.get("target")
        for end in (source, target):
            if end is None or _vertex(end) not in graph:
                raise ValueError(f"Expected edges between nodes, but got edge {source!r:.100} -> {target!r:.100}")
        if edge.get("directed", "true" if element.get("edgedefault") == "directed" else "false") != "true":
            raise ValueError(f"Expected directed edges, but edge {source!r} -> {target!r} is undirected")
        if graph.has_edge(_vertex(source), _vertex(target)):
            raise ValueError(f"Expected each edge once, but edge {source!r} -> {target!r} stands twice")
        graph.add_edge(_vertex(source), _vertex(target))
    return graph


def _vertex(name: Any) -> Any:
    """A node's id; as a number where it is one."""
    return int(name) if re.fullmatch("0|[1-9][0-9]{0,8}", name) else name


def to_pyg(cell: Cell, vocabulary: Sequence[str]) -> Data:
    """The cell as a PyTorch Geometric graph.

    Args:
        cell: Any cell of the vocabulary.
        vocabulary: `k` names in the order of their codes, such as `Space.vocabulary`.

    Returns:
        Data with `x`, `v` vocabulary codes (long), and `edge_index`, `2 x e` sorted edges (long).

    Raises:
        ValueError: naming the vertex whose operation is not in the vocabulary.
    """
    import torch
    from torch_geometric.data import Data

    code = {name: number for number, name in enumerate(vocabulary)}
    for vertex, op in enumerate(cell.ops):
        if op not in code:
            raise ValueError(f"Expected vertex {vertex} to be one of {', '.join(vocabulary)}, but got {op!r}")
    edges = np.array(sorted(cell.edges), dtype=np.int64).reshape(-1, 2)
    return Data(
        x=torch.tensor([code[op] for op in cell.ops]),
        edge_index=torch.from_numpy(edges.T.copy()),
        num_nodes=cell.size,
    )


def from_pyg(data: Data, vocabulary: Sequence[str]) -> Cell:
    """Inverse of `to_pyg`; vertices keep their numbers.

    Args:
        data: Graph with `x`, `v` codes, and `edge_index`, `2 x e`, both of whole numbers.
        vocabulary: `k` names in the order of their codes.

    Raises:
        ValueError: naming the tensor, and the vertex or edge that is wrong.
    """
    import torch

    whole = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    x, edge_index = data.x, data.edge_index
    if not isinstance(x, torch.Tensor) or x.dim() != 1 or x.dtype not in whole:
        raise ValueError(f"Expected x to be v vocabulary codes, but got {_shape(x)}")
    if not isinstance(edge_index, torch.Tensor) or edge_index.shape[:-1] != (2,) or edge_index.dtype not in whole:
        raise ValueError(f"Expected edge_index to be 2 x e vertex numbers, but got {_shape(edge_index)}")
    if data.num_nodes != x.shape[0]:
        raise ValueError(f"Expected num_nodes to be the {x.shape[0]} entries of x, but got {data.num_nodes}")
    ops = []
    for vertex, code in enumerate(x.tolist()):
        if not 0 <= code < len(vocabulary):
            raise ValueError(f"Expected x[{vertex}] to be a code from 0 to {len(vocabulary) - 1}, but got {code}")
        ops.append(vocabulary[code])
    edges: set[tuple[int, int]] = set()
    for i, j in edge_index.T.tolist():
        if (i, j) in edges:
            raise ValueError(f"Expected each edge once, but edge {(i, j)} stands twice in edge_index")
        edges.add((i, j))
    return Cell(tuple(ops), frozenset(edges))


def _shape(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"{value!r:.100}" if shape is None else f"{value.dtype} of shape {tuple(shape)}"
