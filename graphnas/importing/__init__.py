"""Networks of any origin as graphs of cells: traced, coarsened, cut into blocks, and recognised."""

from graphnas.importing.blocks import Block, Macro, macro_structure
from graphnas.importing.cells import graph_of_cell
from graphnas.importing.coarsening import Account, CoarseGraph, Vertex, coarsen
from graphnas.importing.onnx_file import read_onnx
from graphnas.importing.operators import ImportFailed, Operator, OperatorGraph
from graphnas.importing.recognition import FoundCell, recognise_cells
from graphnas.importing.skeletons import Recognised, recognise_network
from graphnas.importing.tracing import trace

__all__ = [
    "Account",
    "Block",
    "CoarseGraph",
    "FoundCell",
    "ImportFailed",
    "Macro",
    "Operator",
    "OperatorGraph",
    "Recognised",
    "Vertex",
    "coarsen",
    "graph_of_cell",
    "macro_structure",
    "read_onnx",
    "recognise_cells",
    "recognise_network",
    "trace",
]
