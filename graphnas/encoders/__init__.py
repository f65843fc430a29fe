"""A variational graph autoencoder of cells: encode, decode, fit, measure."""

from graphnas.encoders.autoencoder import CellAutoencoder, kl_to_standard_normal, reparameterize
from graphnas.encoders.decoder import DerivationDecoder
from graphnas.encoders.fitting import fit
from graphnas.encoders.graph_encoder import GraphEncoder
from graphnas.encoders.quality import quality
from graphnas.encoders.statistics import graph_statistics, structure_targets

__all__ = [
    "CellAutoencoder",
    "DerivationDecoder",
    "GraphEncoder",
    "fit",
    "graph_statistics",
    "kl_to_standard_normal",
    "quality",
    "reparameterize",
    "structure_targets",
]
