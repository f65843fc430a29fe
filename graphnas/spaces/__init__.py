"""Search spaces: what is legal, and how a legal architecture is derived; and those of training hyperparameters."""

from graphnas.spaces.file import SpaceFileError
from graphnas.spaces.hyperparameters import Hyperparameter, HyperparameterSpace, read_hyperparameters
from graphnas.spaces.space import Space
from graphnas.spaces.topology import Decision, Derivation, Topology

__all__ = [
    "Decision",
    "Derivation",
    "Hyperparameter",
    "HyperparameterSpace",
    "Space",
    "SpaceFileError",
    "Topology",
    "read_hyperparameters",
]
