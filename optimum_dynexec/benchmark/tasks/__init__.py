"""Tasks that can be measured, one per file."""

from importlib import import_module

from ...directory.config import DECODER_TASK
from ..errors import BenchmarkError
from ..models import DIFFUSION_TASK
from .base import BenchmarkTask


# Module and class by the task of the export. A module is only imported when it is needed.
TASKS: dict[str, tuple[str, str]] = {
    DECODER_TASK: ("decoder", "DecoderBenchmark"),
    "text-classification": ("encoder", "EncoderBenchmark"),
    "image-classification": ("encoder", "EncoderBenchmark"),
    DIFFUSION_TASK: ("diffusion", "DiffusionBenchmark"),
}


def task_class(task: str) -> type[BenchmarkTask]:
    """
    Gives the class that measures models for a task.

    Raises:
        [`~benchmark.BenchmarkError`]: if there is no such class.
    """
    if task not in TASKS:
        raise BenchmarkError(f"models for the task {task!r} cannot be measured; the supported tasks are {list(TASKS)}")
    module, name = TASKS[task]
    return getattr(import_module(f".{module}", __name__), name)
