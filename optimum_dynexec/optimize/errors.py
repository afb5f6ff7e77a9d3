"""What can go wrong when a model is optimized."""


class OptimizeError(ValueError):
    """A model that cannot be optimized as asked; the message says why and what to do."""
