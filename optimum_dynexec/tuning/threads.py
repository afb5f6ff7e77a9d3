"""The numbers of threads to try."""

from ..utils.cpus import usable_cpus
from .arguments import TuningArguments


def thread_counts(args: TuningArguments) -> list[int]:
    """The numbers that the caller gives, or else half of the processors, and all processors."""
    if args.threads is not None:
        return list(args.threads)
    cpus = usable_cpus()
    return sorted({max(1, cpus // 2), cpus})


def thread_config(threads: int | None) -> dict[str, str]:
    """The OpenVINO property for a number of threads; `{}` if OpenVINO chooses."""
    return {} if threads is None else {"INFERENCE_NUM_THREADS": str(threads)}
