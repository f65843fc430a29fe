"""Networks: cells as torch modules in their skeletons, their costs, and their export as plain source."""

from graphnas.networks.build import SKELETONS, Network, build_network, initialise, read_skeleton
from graphnas.networks.channels import vertex_channels
from graphnas.networks.costs import count_costs, count_macs, count_parameters, log_costs
from graphnas.networks.darts import DARTSNetwork, DARTSSkeleton
from graphnas.networks.enas import ENASNetwork, ENASSkeleton
from graphnas.networks.export import export_source
from graphnas.networks.nasbench201 import NASBench201Network, NASBench201Skeleton
from graphnas.networks.operations import MODULES, make_operation, make_operations
from graphnas.networks.shared_weights import SharedWeights
from graphnas.networks.skeleton import NetworkSpace, Skeleton, vocabulary
from graphnas.networks.stacked import StackedNetwork, StackedSkeleton

__all__ = [
    "MODULES",
    "SKELETONS",
    "DARTSNetwork",
    "DARTSSkeleton",
    "ENASNetwork",
    "ENASSkeleton",
    "NASBench201Network",
    "NASBench201Skeleton",
    "Network",
    "NetworkSpace",
    "SharedWeights",
    "Skeleton",
    "StackedNetwork",
    "StackedSkeleton",
    "build_network",
    "count_costs",
    "count_macs",
    "count_parameters",
    "export_source",
    "initialise",
    "log_costs",
    "make_operation",
    "make_operations",
    "read_skeleton",
    "vertex_channels",
    "vocabulary",
]
