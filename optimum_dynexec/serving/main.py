"""Serves a model."""

import importlib.util
from pathlib import Path

from .arguments import ServeArguments
from .errors import ServeError, not_installed


NEEDED = ("fastapi", "uvicorn", "prometheus_client", "llguidance")


def serve(directory: str | Path, arguments: ServeArguments | None = None) -> int:
    """
    Serves an exported model with OpenAI's API, until the process gets SIGTERM or SIGINT. It then refuses new requests,
    finishes those that run, and returns.

    Args:
        directory (`str` or `Path`): directory of an exported model.
        arguments ([`ServeArguments`], *optional*): arguments.

    Returns:
        `int`: the number of requests that were answered.

    Raises:
        [`ServeError`]: if a library is missing, or the model cannot be served.
    """
    check_installed()
    arguments = arguments or ServeArguments()
    if not Path(directory).is_dir():
        raise ServeError(f"there is no directory {directory}")
    from .messages import messages

    with messages(arguments.log_level):
        return _serve(Path(directory), arguments)


def check_installed() -> None:
    """
    Checks that the libraries of the extra `serve` are there.

    Raises:
        [`ServeError`]: if one is not installed.
    """
    for library in NEEDED:
        if importlib.util.find_spec(library) is None:
            raise not_installed(library)


def _serve(directory: Path, arguments: ServeArguments) -> int:
    from .app import make_app
    from .keys import ApiKeys
    from .kinds import open_service
    from .server import run

    keys = ApiKeys(arguments.api_key_file)
    name = arguments.served_model_name or directory.resolve().name
    with open_service(directory, name, arguments) as service:
        run(make_app(service, keys), service)
    return service.answered
