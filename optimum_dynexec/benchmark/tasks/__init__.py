"""Tasks that can be measured, one file each."""

from importlib import import_module

from ...directory.config import DECODER_TASK
from ..errors import BenchmarkError
from ..models import DIFFUSION_TASK
from .base import BenchmarkTask


# Module and class by the task of the export. They are imported when they are needed, with what they need.
TASKS: dict[str, tuple[str, str]] = {
    DECODER_TASK: ("decoder", "DecoderBenchmark"),
    "text-classification": ("classifier", "ClassifierBenchmark"),
    "image-classification": ("classifier", "ClassifierBenchmark"),
    DIFFUSION_TASK: ("diffusion", "DiffusionBenchmark"),
}


def task_class(task: str) -> type[BenchmarkTask]:
    """
    What measures models of a task.

    Raises:
        [`~benchmark.BenchmarkError`]: if there is none.
    """
    if task not in TASKS:
        raise BenchmarkError(f"models for the task {task!r} cannot be measured yet; tasks are {list(TASKS)}")
    module, name = TASKS[task]
    return getattr(import_module(f".{module}", __name__), name)
