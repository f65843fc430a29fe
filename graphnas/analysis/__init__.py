"""What a latent space is like (smoothness, ranking from few labels, one report), and what architectures are in it."""

from graphnas.analysis.any_origin import (
    Embedded,
    KnownCells,
    PredictedValue,
    embed_architectures,
    embed_cell,
    embed_network,
    points_of,
    predict_values,
)
from graphnas.analysis.encoder_report import encoder_report, hand_made_encodings
from graphnas.analysis.explanation import Explanation, PartEffect, explain
from graphnas.analysis.interpolation import Waypoint, interpolate
from graphnas.analysis.labels import LabelledCells, labelled_cells
from graphnas.analysis.latent_smoothness import EditPairs, draw_pairs, latent_smoothness, smoothness
from graphnas.analysis.prediction import prediction
from graphnas.analysis.proxy_targets import proxy_targets
from graphnas.analysis.ranking import LabelDraw, compare_encodings, gp_ranking, label_draws
from graphnas.analysis.split import TrainingSplit, is_listed, training_split
from graphnas.analysis.trust import Finding, Trust, diagnose
from graphnas.analysis.walks import random_edits, random_walks

__all__ = [
    "EditPairs",
    "Embedded",
    "Explanation",
    "Finding",
    "KnownCells",
    "LabelDraw",
    "LabelledCells",
    "PartEffect",
    "PredictedValue",
    "TrainingSplit",
    "Trust",
    "Waypoint",
    "compare_encodings",
    "diagnose",
    "draw_pairs",
    "embed_architectures",
    "embed_cell",
    "embed_network",
    "encoder_report",
    "explain",
    "gp_ranking",
    "hand_made_encodings",
    "interpolate",
    "is_listed",
    "label_draws",
    "labelled_cells",
    "latent_smoothness",
    "points_of",
    "predict_values",
    "prediction",
    "proxy_targets",
    "random_edits",
    "random_walks",
    "smoothness",
    "training_split",
]
