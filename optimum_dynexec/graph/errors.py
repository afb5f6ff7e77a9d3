"""What a graph cannot do."""


class NotSegmentableError(ValueError):
    """The model cannot be cut between its layers; the message says why."""


class NotPageableError(ValueError):
    """The model's state cannot be kept in the blocks of a paged KV cache; the message says why."""
