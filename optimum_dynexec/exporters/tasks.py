"""Which task a model is exported for."""

import json
from pathlib import Path

from .errors import ExportError


DECODER_TASK = "text-generation-with-past"


def resolve_task(model_name_or_path: str, task: str) -> str:
    """
    Settles the task, from the model's architecture where `"auto"` is asked for.

    optimum-intel infers the task of a model on the Hub from its model card, and of a local directory not at all.

    Args:
        model_name_or_path (`str`):
            Id on the Hub or local directory.
        task (`str`):
            `"auto"` or a task's name.

    Returns:
        `str`: `"text-generation-with-past"`, the task that decoders are exported for; or `"auto"` for a model on the
        Hub, whose task is not known before it is downloaded.

    Raises:
        [`ExportError`]: if the task is another one, or cannot be inferred.
    """
    if task == "auto" and not Path(model_name_or_path).is_dir():
        return task
    if task != "auto":
        if task not in {DECODER_TASK, "causal-lm-with-past"}:
            raise ExportError(f"the task '{task}' cannot be exported; accepted are 'auto' and '{DECODER_TASK}'")
        return DECODER_TASK
    architecture = _architecture(Path(model_name_or_path))
    inferred = _infer(architecture)
    if inferred is None:
        raise ExportError(
            f"the task of {model_name_or_path} cannot be inferred from its architecture, {architecture}; if it is a "
            f"decoder, give the task '{DECODER_TASK}'"
        )
    if inferred != DECODER_TASK.removesuffix("-with-past"):
        raise ExportError(
            f"{model_name_or_path} is a model for the task '{inferred}' ({architecture}); only decoders, for the task "
            f"'{DECODER_TASK}', can be exported"
        )
    return DECODER_TASK


def _architecture(directory: Path) -> str | None:
    path = directory / "config.json"
    if not path.is_file():
        raise ExportError(f"{directory} is not a model: it has no config.json")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
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
