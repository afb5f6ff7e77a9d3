"""A message of another library that says nothing to anybody here."""

import logging
from importlib.util import find_spec


# diffusers looks for optimum-quanto by the name of the namespace `optimum`, which optimum, optimum-intel and this
# package share, and warns of that at every import.
LOGGER = "diffusers.utils.import_utils"
MESSAGE = "Multiple distributions found for package optimum."


def _is_news(record: logging.LogRecord) -> bool:
    # Where optimum-quanto is installed, diffusers may take another package's version for its version.
    return not record.getMessage().startswith(MESSAGE) or _has_quanto()


def _has_quanto() -> bool:
    return find_spec("optimum.quanto") is not None


def silence() -> None:
    """Leaves that message out, and no other. To be called before diffusers is imported."""
    logging.getLogger(LOGGER).addFilter(_is_news)
