"""A variational graph autoencoder of cells: encode, decode, fit, measure."""

from graphnas.encoders.autoencoder import CellAutoencoder, encoder_digest, kl_to_standard_normal, reparameterize
from graphnas.encoders.decoder import DerivationDecoder
from graphnas.encoders.fitting import fit
from graphnas.encoders.graph_encoder import GraphEncoder
from graphnas.encoders.legality import legal_cells
from graphnas.encoders.objective import SVGE, SVGE_FINE_TUNING, Recipe
from graphnas.encoders.prior import CollapseError
from graphnas.encoders.quality import quality
from graphnas.encoders.statistics import graph_statistics, structure_targets
from graphnas.encoders.svge_protocol import svge_protocol

__all__ = [
    "SVGE",
    "SVGE_FINE_TUNING",
    "CellAutoencoder",
    "CollapseError",
    "DerivationDecoder",
    "GraphEncoder",
    "Recipe",
    "encoder_digest",
    "fit",
    "graph_statistics",
    "kl_to_standard_normal",
    "legal_cells",
    "quality",
    "reparameterize",
    "structure_targets",
    "svge_protocol",
]
