"""Errors of an optimization."""


class OptimizeError(ValueError):
    """The model cannot be optimized as requested. The message says why and what to do."""
