"""What can keep a candidate from coming back."""


class EngineError(RuntimeError):
    """A candidate did not come back from where it ran."""


class WorkerLost(EngineError):
    """The process that evaluated a candidate died; another attempt may succeed."""


class TimeLimitExceeded(EngineError):
    """A candidate ran past its time limit and was killed."""
