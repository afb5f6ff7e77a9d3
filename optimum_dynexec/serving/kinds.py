"""Which service serves a model: it follows from the task that it was exported for."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ..directory.config import DECODER_TASK, DynExecConfig
from .arguments import ServeArguments
from .base_service import BaseService
from .batching import Batching
from .encoder_loading import load_encoder
from .encoder_service import ClassifierService, EmbeddingService, EncoderService
from .errors import ServeError
from .loading import check_exported, load
from .service import Service


# Opens the service of a directory: its directory, the name of the model, and the arguments of the server.
Opening = Callable[[Path, str, ServeArguments], AbstractContextManager[BaseService]]


@contextmanager
def _open_decoder(directory: Path, name: str, arguments: ServeArguments) -> Iterator[BaseService]:
    loaded = load(directory, arguments)
    with loaded.model.continuous_batching_context_manager(block=True, timeout=10.0) as manager:
        yield Service(loaded, manager, name, arguments)


def _opening(kind: type[EncoderService]) -> Opening:
    @contextmanager
    def open_encoder(directory: Path, name: str, arguments: ServeArguments) -> Iterator[BaseService]:
        loaded = load_encoder(directory, arguments, kind.model_class)
        pad = getattr(loaded.model.config, "pad_token_id", None) or 0
        batching = Batching(loaded.model, arguments.max_running, pad)
        try:
            yield kind(loaded, batching, name, arguments)
        finally:
            batching.close()

    return open_encoder


# For each task, what opens its service.
KINDS: dict[str, Opening] = {
    DECODER_TASK: _open_decoder,
    "feature-extraction": _opening(EmbeddingService),
    "text-classification": _opening(ClassifierService),
}


def open_service(directory: Path, name: str, arguments: ServeArguments) -> AbstractContextManager[BaseService]:
    """
    Loads a model and opens its service.

    Args:
        directory (`Path`): directory of an exported model.
        name (`str`): name of the model.
        arguments ([`ServeArguments`]): arguments of the server.

    Raises:
        [`ServeError`]: if the model cannot be served.
    """
    check_exported(directory)
    task = _task(directory)
    if task not in KINDS:
        raise ServeError(f"{directory} was exported for {task!r}, but only {sorted(KINDS)} can be served")
    return KINDS[task](directory, name, arguments)


def _task(directory: Path) -> str:
    """A directory without our configuration was exported by optimum-intel, and its class finds out what it is."""
    try:
        return DynExecConfig.from_pretrained(directory).task
    except FileNotFoundError:
        return DECODER_TASK
    except ValueError as error:
        raise ServeError(str(error)) from None
