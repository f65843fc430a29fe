"""Training of candidate networks."""

from graphnas.training.config import TrainingConfig
from graphnas.training.trainer import TrainingDiverged, TrainingOutcome, evaluate_split, predict, train

__all__ = ["TrainingConfig", "TrainingDiverged", "TrainingOutcome", "evaluate_split", "predict", "train"]
