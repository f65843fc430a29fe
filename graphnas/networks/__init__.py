"""Networks: cells as torch modules in their skeletons, their costs, and their export as plain source."""

from graphnas.networks.channels import vertex_channels
from graphnas.networks.costs import count_costs, count_macs, count_parameters
from graphnas.networks.export import export_source
from graphnas.networks.skeleton import NetworkSpace, StackedSkeleton, vocabulary
from graphnas.networks.stacked import StackedNetwork, build_network, initialise

__all__ = [
    "NetworkSpace",
    "StackedNetwork",
    "StackedSkeleton",
    "build_network",
    "count_costs",
    "count_macs",
    "count_parameters",
    "export_source",
    "initialise",
    "vertex_channels",
    "vocabulary",
]
