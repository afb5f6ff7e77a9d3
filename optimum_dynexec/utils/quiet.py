"""Suppresses messages of other libraries that are of no use here. Everything else that they say is shown."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec


# diffusers looks for optimum-quanto by the namespace `optimum`, which optimum, optimum-intel and this package share,
# and warns at every import that several packages provide it.
LOGGER = "diffusers.utils.import_utils"
MESSAGE = "Multiple distributions found for package optimum."

# What imports and exports by optimum-intel make transformers say, by logger: the beginnings of the messages. None of
# it is about something that the user can change.
KNOWN_MESSAGES = {
    "transformers.utils.import_utils": "`CLIPImageProcessor` requires torchvision",
    "transformers.configuration_utils": "`torch_dtype` is deprecated",
    "transformers.modeling_utils": ("`torch_dtype` is deprecated", "`loss_type=None` was set in the config"),
    "transformers.masking_utils": "`cache_position` is deprecated as an arg",
}
# Warnings of torch.jit.trace, which optimum-intel uses; named by their text because torch may not be loaded yet.
KNOWN_WARNINGS = (
    r"(?s).*might cause the trace to be incorrect",
    r"(?s).*results are registered as constants in the trace",
)


def _is_news(record: logging.LogRecord) -> bool:
    # If optimum-quanto is installed, diffusers may mistake another package's version for its version.
    return not record.getMessage().startswith(MESSAGE) or _has_quanto()


def _has_quanto() -> bool:
    return find_spec("optimum.quanto") is not None


def silence() -> None:
    """Suppresses that message, and no other. It must be called before diffusers is imported."""
    logging.getLogger(LOGGER).addFilter(_is_news)


@contextmanager
def without_known_messages() -> Iterator[None]:
    """Suppresses the known messages of other libraries, and no others, until the context ends."""
    with ExitStack() as stack, warnings.catch_warnings():
        for name, beginnings in KNOWN_MESSAGES.items():
            logger = logging.getLogger(name)

            def is_news(record: logging.LogRecord, beginnings: str | tuple[str, ...] = beginnings) -> bool:
                return not record.getMessage().startswith(beginnings)

            logger.addFilter(is_news)
            stack.callback(logger.removeFilter, is_news)
        for text in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=text)
        yield
