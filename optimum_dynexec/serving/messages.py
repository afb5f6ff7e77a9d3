"""What a server says, on stderr."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


OURS = ("optimum_dynexec", "uvicorn")


@contextmanager
def messages(level: str) -> Iterator[None]:
    """
    Shows our messages and those of the HTTP server, until the context ends.

    Args:
        level (`str`): level of ours. Those of the HTTP server are shown from `"warning"` on, or with `"debug"`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in OURS]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    verbosity = transformers_logging.get_verbosity()
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level.upper())
    if level == "info":
        loggers[1].setLevel(logging.WARNING)
    # transformers warns about arguments of requests, which their senders cannot see.
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        for logger, (handlers, propagate, previous) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(previous)
