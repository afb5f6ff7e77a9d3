"""Errors about graphs."""


class NotSegmentableError(ValueError):
    """The model cannot be cut between its layers. The message says why."""


class NotPageableError(ValueError):
    """The model's state cannot be kept in the blocks of a paged KV cache. The message says why."""
