"""Evaluators: from an architecture, a budget and a seed to a Result; and the benchmark tables behind one of them."""

from graphnas.data_folder import data_folder
from graphnas.evaluate.darts import DARTSTable
from graphnas.evaluate.digits101 import Digits101Table
from graphnas.evaluate.enas import ENASTable
from graphnas.evaluate.imports import Imported, import_file
from graphnas.evaluate.nasbench101 import NASBench101Table
from graphnas.evaluate.nasbench201 import NASBench201Table
from graphnas.evaluate.protocol import EvaluationFailed, Evaluator, Report, Result
from graphnas.evaluate.proxy import ProxyEvaluator
from graphnas.evaluate.recipe import TrainingRecipe, read_recipe
from graphnas.evaluate.table import Table, TableEvaluator
from graphnas.evaluate.tables import TABLES, open_table
from graphnas.evaluate.training import TestedNetwork, TrainingEvaluator

__all__ = [
    "TABLES",
    "DARTSTable",
    "Digits101Table",
    "ENASTable",
    "EvaluationFailed",
    "Evaluator",
    "Imported",
    "NASBench101Table",
    "NASBench201Table",
    "ProxyEvaluator",
    "Report",
    "Result",
    "Table",
    "TableEvaluator",
    "TestedNetwork",
    "TrainingEvaluator",
    "TrainingRecipe",
    "data_folder",
    "import_file",
    "open_table",
    "read_recipe",
]
