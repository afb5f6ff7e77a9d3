"""Suppresses a message of another library that is of no use here."""

import logging
from importlib.util import find_spec


# diffusers looks for optimum-quanto by the namespace `optimum`, which optimum, optimum-intel and this package share,
# and warns at every import that several packages provide it.
LOGGER = "diffusers.utils.import_utils"
MESSAGE = "Multiple distributions found for package optimum."


def _is_news(record: logging.LogRecord) -> bool:
    # If optimum-quanto is installed, diffusers may mistake another package's version for its version.
    return not record.getMessage().startswith(MESSAGE) or _has_quanto()


def _has_quanto() -> bool:
    return find_spec("optimum.quanto") is not None


def silence() -> None:
    """Suppresses that message, and no other. It must be called before diffusers is imported."""
    logging.getLogger(LOGGER).addFilter(_is_news)
