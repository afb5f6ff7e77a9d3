"""Errors of `from_pretrained` in words: a model that is not there, and a model of another class."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..directory.config import DYNEXEC_CONFIG_NAME, MODEL_CLASSES, DynExecConfig


# The packages whose errors say that a Hub id does not exist or that the Hub cannot be reached.
_NETWORK = ("huggingface_hub", "httpx", "requests")


@contextmanager
def missing_model_is_named(model_id: str | Path) -> Iterator[None]:
    """
    Names the model in the error if it is neither a directory nor on the Hub.

    Raises:
        `OSError`: if the model is not there, or the Hub cannot be reached.
    """
    try:
        yield
    except Exception as error:
        network = isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _NETWORK
        if Path(model_id).exists() or not network:
            raise
        raise OSError(
            f"there is no directory {str(model_id)!r}, and no model of this name could be loaded from the Hub: {error}"
        ) from error


def check_directory(export_feature: str, model_id: str | Path) -> None:
    """
    Checks before a model is read that its directory was exported for the task of a class, see [`check_task`]. Hub ids
    and directories without our configuration pass.
    """
    directory = Path(model_id)
    if (directory / DYNEXEC_CONFIG_NAME).is_file():
        check_task(export_feature, DynExecConfig.from_pretrained(directory).task, directory)


def check_task(export_feature: str, task: str, directory: Path) -> None:
    """
    Checks that a directory was exported for the task of a class.

    Args:
        export_feature (`str`): task of the class, as optimum-intel calls it.
        task (`str`): task of the directory.
        directory (`Path`): directory of the model, for the message.

    Raises:
        `ValueError`: if the directory is for another task. The message names the class to use.
    """
    if task.removesuffix("-with-past") != export_feature.removesuffix("-with-past"):
        raise ValueError(
            f"{directory} was exported for the task {task!r}: load it with `DynExec{MODEL_CLASSES[task]}`, or export"
            f" the model again with `optimum-cli export dynexec --task {export_feature}`"
        )
