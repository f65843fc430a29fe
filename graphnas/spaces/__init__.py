"""Search spaces: what is legal, and how a legal architecture is derived."""

from graphnas.spaces.file import SpaceFileError
from graphnas.spaces.space import Space
from graphnas.spaces.topology import Decision, Derivation, Topology

__all__ = ["Decision", "Derivation", "Space", "SpaceFileError", "Topology"]
