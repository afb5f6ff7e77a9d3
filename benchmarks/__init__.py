"""Benchmarks of generation: `python -m benchmarks.llm --help`, from the root of the repository."""
