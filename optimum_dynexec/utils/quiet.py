"""Suppresses messages of other libraries that are of no use here. Everything else that they say is shown."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec


# diffusers looks for optimum-quanto by the namespace `optimum`, which optimum, optimum-intel and this package share,
# and warns at every import that several packages provide it.
LOGGER = "diffusers.utils.import_utils"
MESSAGE = "Multiple distributions found for package optimum."

# optimum-intel and diffusers import these classes, so every import without torchvision gives the messages.
IMPORT_LOGGER = "transformers.utils.import_utils"
IMPORT_MESSAGES = (
    "`CLIPImageProcessor` requires torchvision",
    "`SiglipImageProcessor` requires torchvision",
    "`Siglip2ImageProcessorFast` is deprecated",
)

# What exports by optimum-intel make transformers say, by logger: the beginnings of the messages. None of it is about
# something that the user of a command can change.
KNOWN_MESSAGES = {
    "transformers.configuration_utils": ("`torch_dtype` is deprecated",),
    "transformers.modeling_utils": ("`torch_dtype` is deprecated", "`loss_type=None` was set in the config"),
    "transformers.masking_utils": ("`cache_position` is deprecated as an arg",),
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


def _without(*beginnings: str) -> Callable[[logging.LogRecord], bool]:
    return lambda record: not record.getMessage().startswith(beginnings)


def silence() -> None:
    """
    Suppresses the messages that imports give, and no others. It must be called before diffusers and optimum-intel
    are imported.
    """
    logging.getLogger(LOGGER).addFilter(_is_news)
    logging.getLogger(IMPORT_LOGGER).addFilter(_without(*IMPORT_MESSAGES))


@contextmanager
def without_known_messages() -> Iterator[None]:
    """Suppresses the known messages of exports, and no others, until the context ends."""
    with ExitStack() as stack, warnings.catch_warnings():
        for name, beginnings in KNOWN_MESSAGES.items():
            logger, is_news = logging.getLogger(name), _without(*beginnings)
            logger.addFilter(is_news)
            stack.callback(logger.removeFilter, is_news)
        for text in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=text)
        yield
