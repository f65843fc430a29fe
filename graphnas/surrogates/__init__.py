"""Surrogate benchmarks: trainings that were made once answer for those that were not."""

from graphnas.surrogates.archive import Archive, split
from graphnas.surrogates.assessment import MEANING, assess, held_out, leave_one_sampler_out, tune
from graphnas.surrogates.ensemble import Ensemble
from graphnas.surrogates.kinds import ENSEMBLES
from graphnas.surrogates.surrogate import Surrogate, SurrogateEvaluator, fit_surrogate

__all__ = [
    "ENSEMBLES",
    "MEANING",
    "Archive",
    "Ensemble",
    "Surrogate",
    "SurrogateEvaluator",
    "assess",
    "fit_surrogate",
    "held_out",
    "leave_one_sampler_out",
    "split",
    "tune",
]
