"""What can be wrong with a benchmark."""


class BenchmarkError(ValueError):
    """A benchmark that cannot be run, or results that cannot be read."""
