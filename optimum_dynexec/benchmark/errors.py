"""Errors of a benchmark."""


class BenchmarkError(ValueError):
    """The benchmark cannot be run, or its results cannot be read. The message says why."""
