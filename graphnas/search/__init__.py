"""Optuna samplers that propose architectures: latent Bayesian optimisation, evolution, random search."""

from graphnas.search.candidates import Encoder
from graphnas.search.evolution import RegularizedEvolutionSampler
from graphnas.search.latent_bo import LatentBOSampler
from graphnas.search.sampler import CellSampler, RandomCellSampler

__all__ = ["CellSampler", "Encoder", "LatentBOSampler", "RandomCellSampler", "RegularizedEvolutionSampler"]
