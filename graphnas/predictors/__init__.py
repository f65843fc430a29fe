"""Performance predictors: from an architecture, and what little is known of it, to how good it is."""

from graphnas.predictors.averaged import AveragedPredictor, BaggedPredictor
from graphnas.predictors.catalogue import PREDICTORS, PredictorKind, make_predictor
from graphnas.predictors.encodings import ENCODINGS, encoding, latent_encoding
from graphnas.predictors.extrapolation import CurveExtrapolation
from graphnas.predictors.gaussian_process import ModelFittingError
from graphnas.predictors.graph_networks import GraphNetworkPredictor
from graphnas.predictors.latent_network import LatentNetworkPredictor
from graphnas.predictors.measures import MEASURES, prediction_measures
from graphnas.predictors.normal_scored import NormalScoredPredictor
from graphnas.predictors.partial_curves import CurveRegression, EarlyStopping, SumOfTrainingLosses
from graphnas.predictors.perceptrons import PerceptronPredictor
from graphnas.predictors.processes import ProcessPredictor
from graphnas.predictors.protocol import Info, Needs, Prediction, Predictor
from graphnas.predictors.regression import EstimatorPredictor
from graphnas.predictors.sequences import SequencePredictor
from graphnas.predictors.zero_cost import ScorePredictor

__all__ = [
    "ENCODINGS",
    "MEASURES",
    "PREDICTORS",
    "AveragedPredictor",
    "BaggedPredictor",
    "CurveExtrapolation",
    "CurveRegression",
    "EarlyStopping",
    "EstimatorPredictor",
    "GraphNetworkPredictor",
    "Info",
    "LatentNetworkPredictor",
    "ModelFittingError",
    "Needs",
    "NormalScoredPredictor",
    "PerceptronPredictor",
    "Prediction",
    "Predictor",
    "PredictorKind",
    "ProcessPredictor",
    "ScorePredictor",
    "SequencePredictor",
    "SumOfTrainingLosses",
    "encoding",
    "latent_encoding",
    "make_predictor",
    "prediction_measures",
]
