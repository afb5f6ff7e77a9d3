"""Finds the task that a model is exported for."""

import json
import os
from pathlib import Path

from ..directory.config import DECODER_TASK, ENCODER_TASKS
from ..directory.errors import ExportError


TASKS = (DECODER_TASK, *ENCODER_TASKS)


def resolve_task(model_name_or_path: str, task: str, cache_dir: str | None = None) -> str:
    """
    Determines the task: with `"auto"`, from the model's architecture.

    optimum-intel infers the task of a model on the Hub from its model card. It cannot infer that of a local directory.

    Args:
        model_name_or_path (`str`):
            Id on the Hub or local directory.
        task (`str`):
            `"auto"` or a task's name.
        cache_dir (`str`, *optional*):
            Directory for downloads, instead of the default one.

    Returns:
        `str`: one of `TASKS`.

    Raises:
        [`ExportError`]: if the task is not supported or cannot be inferred.
    """
    if task in {DECODER_TASK, "causal-lm-with-past"}:
        return DECODER_TASK
    if task in TASKS:
        return task
    if task != "auto":
        raise ExportError(f"the task '{task}' cannot be exported; accepted are 'auto' and {list(TASKS)}")
    architecture = _architecture(model_name_or_path, cache_dir)
    inferred = _infer(architecture)
    if inferred is None:
        raise ExportError(
            f"the task of {model_name_or_path} cannot be inferred from its architecture, {architecture}; give one of "
            f"{list(TASKS)}"
        )
    if inferred == DECODER_TASK.removesuffix("-with-past"):
        return DECODER_TASK
    if inferred not in TASKS:
        raise ExportError(
            f"{model_name_or_path} is a model for the task '{inferred}' ({architecture}), which cannot be exported; "
            f"accepted are {list(TASKS)}"
        )
    return inferred


def _architecture(model_name_or_path: str, cache_dir: str | None) -> str | None:
    from transformers.utils import cached_file

    path: str | None
    if os.path.isdir(model_name_or_path):
        path = os.path.join(model_name_or_path, "config.json")
        if not os.path.isfile(path):
            raise ExportError(f"{model_name_or_path} is not a model: it has no config.json")
    else:
        try:
            path = cached_file(model_name_or_path, "config.json", cache_dir=cache_dir)
        except (OSError, RuntimeError) as error:
            # huggingface_hub asks again with a client that it has closed, which raises a RuntimeError, if there is no
            # network.
            raise ExportError(
                f"{model_name_or_path} is not a local directory and cannot be downloaded: {error}"
            ) from error
    try:
        config = json.loads(Path(str(path)).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{path} is not valid JSON: {error}") from error
    architectures = config.get("architectures") if isinstance(config, dict) else None
    if isinstance(architectures, list) and architectures and isinstance(architectures[0], str):
        return architectures[0]
    return None


def _infer(architecture: str | None) -> str | None:
    import transformers
    from optimum.exporters.tasks import TasksManager

    model_class = getattr(transformers, architecture or "", None)
    if not isinstance(model_class, type) or not issubclass(model_class, transformers.PreTrainedModel):
        return None
    try:
        return TasksManager.infer_task_from_model(model_class)
    except ValueError:
        # A class without a task, such as a bare encoder.
        return None
