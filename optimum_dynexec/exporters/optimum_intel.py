"""optimum-intel's export command, called from Python with its options by name."""

from argparse import ArgumentParser, Namespace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub.constants import HF_HUB_CACHE
from optimum.commands.export.openvino import OVExportCommand, parse_args_openvino

from ..directory.errors import ExportError
from .family_versions import check_transformers


# Options of `export openvino` that make no sense here, with the reason.
DENIED_OPTIONS = {
    "disable_stateful": "a stateless model has no KV cache to page",
    "framework": "PyTorch is the only one",
    "library": "only models of transformers can be exported",
}
# Options that this package has arguments for, or fills in.
OWN_OPTIONS = {"model", "output", "task"}


def default_options() -> dict[str, Any]:
    """The options of optimum-intel's export that apply here and their defaults."""
    options = vars(_default_arguments())
    return {name: value for name, value in options.items() if name not in {*DENIED_OPTIONS, *OWN_OPTIONS}}


def export_openvino(model_name_or_path: str, output: Path, task: str, options: dict[str, Any]) -> None:
    """
    Exports a model as `optimum-cli export openvino` does.

    Args:
        model_name_or_path (`str`):
            Id on the Hub or local directory of a transformers model.
        output (`Path`):
            Directory to write to.
        task (`str`):
            The task to export for.
        options (`dict[str, Any]`):
            Values for some of the options in [`default_options`].
    """
    arguments = _default_arguments()
    vars(arguments).update(options, model=model_name_or_path, output=output, task=task, library="transformers")
    OVExportCommand(None, args=arguments, from_defaults_factory=True, parser=ArgumentParser()).run()


def check_architecture(model_name_or_path: str, task: str, **loading: Any) -> None:
    """
    Raises a clear error for models that cannot be exported. The message of optimum-intel is about code that one could
    write to make the export possible.

    Args:
        model_name_or_path (`str`):
            Id on the Hub or local directory.
        task (`str`):
            Task to export for.
        loading (*optional*):
            Arguments of `AutoConfig.from_pretrained`.

    Raises:
        [`ExportError`]: if optimum-intel does not export models of this type, or not with this version of
            transformers.
    """
    import optimum.exporters.openvino.model_configs  # noqa: F401  fills the registry
    from optimum.exporters.tasks import TasksManager
    from transformers import AutoConfig

    try:
        model_type = AutoConfig.from_pretrained(model_name_or_path, **loading).model_type
    except (OSError, ValueError, ImportError):
        # The export itself reports what is wrong.
        return
    try:
        tasks = TasksManager.get_supported_tasks_for_model_type(model_type, "openvino", library_name="transformers")
    except KeyError:
        raise ExportError(
            f"optimum-intel {version('optimum-intel')} does not export models of the type {model_type!r},"
            f" neither for the task {task!r} nor for any other"
        ) from None
    if task in tasks:
        check_transformers(model_type, tasks[task].func)


def _default_arguments() -> Namespace:
    parser = ArgumentParser()
    parse_args_openvino(parser)
    # The default of optimum-intel ignores HF_HUB_CACHE.
    parser.set_defaults(cache_dir=HF_HUB_CACHE)
    return parser.parse_args(["--model", "model", "output"])
