"""One search, one folder: an Optuna study that survives the death of everything around it.

A folder holds `study.db` (the trials, unless a database server keeps them), `config.toml` (what was asked for),
`environment.json` (versions, seed, machine, command) and `trials/NUMBER/` (what evaluations write). One coordinator at
a time, `run`, asks for proposals and writes results; workers only evaluate. A trial's row is the record of its state:

- running, without an architecture: the coordinator died while it asked. The trial is failed as
  `INTERRUPTED` and counts for nothing.
- running, with an architecture: the candidate is evaluated again, under the same number. Only deaths that it may have
  caused count against it, at most `max_attempts`: those of its worker, and those of a coordinator that evaluated it in
  its own process and got no further with it than before.
- finished: never touched again. Everything about a trial is written before its state, so a finished trial is whole.

Nothing is unpickled from disk.
"""

from graphnas.studies.coordinator import run
from graphnas.studies.database import DATABASE, check_server
from graphnas.studies.errors import StudyError, StudyLocked, TooManyFailures
from graphnas.studies.fidelity import FIDELITIES, Fidelity
from graphnas.studies.folder import ENVIRONMENT, create, folder_of, resume
from graphnas.studies.lease import Event
from graphnas.studies.lock import LOCK
from graphnas.studies.records import environment, to_toml, write_text
from graphnas.studies.samplers import (
    HEED_BOUNDS,
    JOINT_SAMPLERS,
    LATENT_SAMPLERS,
    OPTUNA_SAMPLERS,
    SAMPLERS,
    SEVERAL_OBJECTIVES,
    make_sampler,
    split_sampler,
)
from graphnas.studies.settings import (
    CANDIDATES,
    CONFIG,
    load_candidates,
    load_encoder,
    load_hyperparameters,
    load_space,
    read_config,
    setting,
)
from graphnas.studies.trials import (
    EXHAUSTED,
    INTERRUPTED,
    WEIGHTS,
    architecture,
    best,
    feasible,
    finished,
    hyperparameters,
    hypervolume,
    keeps_bounds,
    labels,
    pareto_set,
)
from graphnas.studies.weights import kept_weights

__all__ = [
    "CANDIDATES",
    "CONFIG",
    "DATABASE",
    "ENVIRONMENT",
    "EXHAUSTED",
    "FIDELITIES",
    "HEED_BOUNDS",
    "INTERRUPTED",
    "JOINT_SAMPLERS",
    "LATENT_SAMPLERS",
    "LOCK",
    "OPTUNA_SAMPLERS",
    "SAMPLERS",
    "SEVERAL_OBJECTIVES",
    "WEIGHTS",
    "Event",
    "Fidelity",
    "StudyError",
    "StudyLocked",
    "TooManyFailures",
    "architecture",
    "best",
    "check_server",
    "create",
    "environment",
    "feasible",
    "finished",
    "folder_of",
    "hyperparameters",
    "hypervolume",
    "keeps_bounds",
    "kept_weights",
    "labels",
    "load_candidates",
    "load_encoder",
    "load_hyperparameters",
    "load_space",
    "make_sampler",
    "pareto_set",
    "read_config",
    "resume",
    "run",
    "setting",
    "split_sampler",
    "to_toml",
    "write_text",
]
