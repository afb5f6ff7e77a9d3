"""How many threads are worth trying."""

from ..utils.cpus import usable_cpus
from .arguments import TuningArguments


def thread_counts(args: TuningArguments) -> list[int]:
    """Half of the processors, and all; those that are asked for, if any are."""
    if args.threads is not None:
        return list(args.threads)
    cpus = usable_cpus()
    return sorted({max(1, cpus // 2), cpus})


def thread_config(threads: int | None) -> dict[str, str]:
    """The OpenVINO property; none if the choice is left to OpenVINO."""
    return {} if threads is None else {"INFERENCE_NUM_THREADS": str(threads)}
