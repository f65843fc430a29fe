"""Where evaluations run: worker processes of this machine, a Ray cluster, or any `concurrent.futures.Executor`.

A study hands an executor one call of `evaluate` per candidate. What travels is the architecture as JSON, the budget,
the seed and a folder; what comes back is a Result as JSON. The evaluator itself travels once per worker where the
executor offers `share` (as those here do) and with every call elsewhere.
"""

from graphnas.engines.errors import EngineError, TimeLimitExceeded, WorkerLost
from graphnas.engines.evaluation import PROGRESS, evaluate, objective_values, read_progress
from graphnas.engines.local import LocalProcesses
from graphnas.engines.ray_tasks import RayTasks

__all__ = [
    "PROGRESS",
    "EngineError",
    "LocalProcesses",
    "RayTasks",
    "TimeLimitExceeded",
    "WorkerLost",
    "evaluate",
    "objective_values",
    "read_progress",
]
