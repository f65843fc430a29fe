"""What can be wrong with a search in a folder."""

from __future__ import annotations


class StudyError(ValueError):
    """A folder does not hold the search that was asked for, or holds one already."""


class StudyLocked(StudyError):
    """Another coordinator is at work on the folder."""


class TooManyFailures(RuntimeError):
    """So many candidates failed that the search has stopped; resuming goes on."""
