"""What can go wrong when a model is tuned."""


class TuningError(ValueError):
    """A model that cannot be tuned as asked; the message says why and what to do."""
