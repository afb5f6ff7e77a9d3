"""Loads an encoder of a server."""

import logging
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from ..modeling.encoder import DynExecEncoderMixin
from .arguments import ServeArguments
from .errors import ServeError
from .loading import load_tokenizer


logger = logging.getLogger(__name__)

# Arguments that only decoders have.
OF_DECODERS = ("kv_cache_gb", "draft", "speculation")
CALIBRATED = "calibrated"


@dataclass(frozen=True)
class LoadedEncoder:
    """
    What is served.

    Args:
        directory (`Path`): directory of the model.
        model ([`~modeling.encoder.DynExecEncoderMixin`]): model.
        tokenizer (`PreTrainedTokenizerBase`): its tokenizer.
        max_model_len (`int`): maximum number of tokens of a text.
        early_exit (`str`, *optional*): early exit of requests that do not set it.
        no_early_exit (`str`, *optional*): why there is no early exit.
    """

    directory: Path
    model: DynExecEncoderMixin
    tokenizer: PreTrainedTokenizerBase
    max_model_len: int
    early_exit: str | None
    no_early_exit: str | None


def load_encoder(directory: Path, arguments: ServeArguments, model_class: type[DynExecEncoderMixin]) -> LoadedEncoder:
    """
    Loads what is served. Requests have early exit if the model is calibrated.

    Args:
        directory (`Path`): directory of an exported model.
        arguments ([`ServeArguments`]): arguments of the server.
        model_class (`type`): class of the model.

    Raises:
        [`ServeError`]: if the model cannot be served.
    """
    for name in OF_DECODERS:
        if getattr(arguments, name) is not None:
            raise ServeError(f"`{name}` is for decoders, but {directory} has an encoder: leave it out")
    tokenizer = load_tokenizer(directory)
    model = model_class.from_pretrained(directory, precision=arguments.precision, device=arguments.device)
    problem = _why_not_calibrated(model, directory)
    is_calibrated = model.dynexec_config is not None and model.dynexec_config.calibration is not None
    if problem is not None and is_calibrated:
        logger.warning("The calibration is not used: %s", problem)
    return LoadedEncoder(
        directory,
        model,
        tokenizer,
        _max_length(model, tokenizer, arguments.max_model_len),
        CALIBRATED if problem is None else None,
        problem,
    )


def _why_not_calibrated(model: DynExecEncoderMixin, directory: Path) -> str | None:
    try:
        model._params(CALIBRATED)
    except ValueError as error:
        # Clients see it, and the directory is no business of theirs.
        return str(error).replace(str(directory), "the model")
    return None


def _max_length(model: DynExecEncoderMixin, tokenizer: PreTrainedTokenizerBase, asked: int | None) -> int:
    limit = model._checks._limit
    # A tokenizer without a limit of its own has a very large number.
    found = min(tokenizer.model_max_length, 1 << 20) if limit is None else limit.tokens
    if asked is not None and asked > found:
        raise ServeError(f"`max_model_len` is {asked}, but the model takes at most {found} tokens")
    return asked or found
