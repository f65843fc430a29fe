"""Optuna samplers that propose architectures: latent Bayesian optimisation, and what it is compared with."""

from graphnas.encoders.protocol import Encoder
from graphnas.search.bananas import BananasSampler
from graphnas.search.bohb import BOHBSampler
from graphnas.search.evolution import RegularizedEvolutionSampler
from graphnas.search.feature_bo import FeatureBOSampler
from graphnas.search.gradient import Ascended, GradientSearchSampler, gradient_search
from graphnas.search.guided import PredictorGuidedSampler
from graphnas.search.joint_bo import LatentJointSampler
from graphnas.search.latent_bo import LatentBOSampler
from graphnas.search.local_search import LocalSearchSampler
from graphnas.search.npenas import NPENASSampler
from graphnas.search.pareto_bo import LatentParetoSampler
from graphnas.search.pool import PoolSampler
from graphnas.search.sampler import CandidateList, CellSampler, RandomCellSampler
from graphnas.search.trees import TreeEnsembleSampler

__all__ = [
    "Ascended",
    "BOHBSampler",
    "BananasSampler",
    "CandidateList",
    "CellSampler",
    "Encoder",
    "FeatureBOSampler",
    "GradientSearchSampler",
    "LatentBOSampler",
    "LatentJointSampler",
    "LatentParetoSampler",
    "LocalSearchSampler",
    "NPENASSampler",
    "PoolSampler",
    "PredictorGuidedSampler",
    "RandomCellSampler",
    "RegularizedEvolutionSampler",
    "TreeEnsembleSampler",
    "gradient_search",
]
