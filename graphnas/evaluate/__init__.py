"""Evaluators: from an architecture, a budget and a seed to a Result."""

from graphnas.evaluate.protocol import EvaluationFailed, Evaluator, Report, Result
from graphnas.evaluate.table import NASBench101Table, TableEvaluator
from graphnas.evaluate.training import TestedNetwork, TrainingEvaluator

__all__ = [
    "EvaluationFailed",
    "Evaluator",
    "NASBench101Table",
    "Report",
    "Result",
    "TableEvaluator",
    "TestedNetwork",
    "TrainingEvaluator",
]
