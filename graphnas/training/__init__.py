"""Training of candidate networks."""

from graphnas.training.config import TrainingConfig
from graphnas.training.one_shot import PathDistribution, path_accuracy, train_shared_weights
from graphnas.training.trainer import TrainingDiverged, TrainingOutcome, evaluate_split, predict, train

__all__ = [
    "PathDistribution",
    "TrainingConfig",
    "TrainingDiverged",
    "TrainingOutcome",
    "evaluate_split",
    "path_accuracy",
    "predict",
    "train",
    "train_shared_weights",
]
