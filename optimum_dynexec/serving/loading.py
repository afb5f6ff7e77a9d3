"""Loads the model of a server, with a KV cache of the size that was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimum.intel.openvino.utils import OV_XML_FILE_NAME
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ..modeling import DynExecModelForCausalLM
from ..runtime import Engine
from ..utils.versions import given_values
from .arguments import ServeArguments
from .errors import ServeError


@dataclass(frozen=True)
class Loaded:
    """
    What is served.

    Args:
        model ([`DynExecModelForCausalLM`]): model.
        engine ([`~runtime.Engine`]): its engine.
        tokenizer (`PreTrainedTokenizerBase`): its tokenizer.
        assistant ([`DynExecModelForCausalLM`], *optional*): model that drafts for it.
        max_model_len (`int`): maximum number of tokens of a prompt and its answer.
        eos_token_ids (`list[int]`): tokens that end an answer.
        defaults (`Mapping[str, Any]`): what `generation_config.json` sets.
    """

    model: DynExecModelForCausalLM
    engine: Engine
    tokenizer: PreTrainedTokenizerBase
    assistant: DynExecModelForCausalLM | None
    max_model_len: int
    eos_token_ids: list[int]
    defaults: Mapping[str, Any]


def load(directory: str | Path, arguments: ServeArguments) -> Loaded:
    """
    Loads a decoder that is served.

    Args:
        directory (`str` or `Path`): directory of an exported model.
        arguments ([`ServeArguments`]): arguments of the server.

    Raises:
        [`ServeError`]: if the model cannot be served.
    """
    check_exported(directory)
    tokenizer = load_tokenizer(directory)
    model = _load_sized(directory, arguments)
    assistant = None
    if arguments.draft is not None:
        # It only proposes, so its arithmetic changes no token.
        assistant = DynExecModelForCausalLM.from_pretrained(
            arguments.draft, precision="fast", exit_layers=[], device=arguments.device
        )
    defaults = given_values(model.generation_config)
    eos = defaults.get("eos_token_id", tokenizer.eos_token_id)
    engine = _engine(model)
    return Loaded(
        model,
        engine,
        tokenizer,
        assistant,
        context_length(model, engine, arguments.max_model_len),
        [] if eos is None else [eos] if isinstance(eos, int) else list(eos),
        defaults,
    )


def check_exported(directory: str | Path) -> None:
    """
    Checks that a directory has an exported model.

    Args:
        directory (`str` or `Path`): directory.

    Raises:
        [`ServeError`]: if it has none.
    """
    if not (Path(directory) / OV_XML_FILE_NAME).is_file():
        raise ServeError(
            f"{directory} is not an exported model: it has no {OV_XML_FILE_NAME}. Make one with `optimum-cli export"
            " dynexec`"
        )


def load_tokenizer(directory: str | Path) -> PreTrainedTokenizerBase:
    """
    Loads the tokenizer of a model.

    Args:
        directory (`str` or `Path`): directory of the model.

    Raises:
        [`ServeError`]: if it has no fast one.
    """
    tokenizer = AutoTokenizer.from_pretrained(directory)
    if not tokenizer.is_fast:
        raise ServeError(f"{directory} has no tokenizer.json, which the server needs: save a fast tokenizer there")
    return tokenizer


def _load_sized(directory: str | Path, arguments: ServeArguments) -> DynExecModelForCausalLM:
    def load_with(tokens: int | None) -> DynExecModelForCausalLM:
        return DynExecModelForCausalLM.from_pretrained(
            directory,
            precision=arguments.precision,
            max_cache_tokens=tokens,
            prefix_cache=arguments.prefix_cache,
            device=arguments.device,
        )

    if arguments.kv_cache_gb is None:
        return load_with(None)
    size = int(arguments.kv_cache_gb * 1e9)
    # Only a loaded model knows the type of its KV cache, so it is loaded twice.
    model = load_with(None)
    tokens = size // bytes_per_token(_engine(model))
    if tokens < 1:
        raise ServeError(f"`kv_cache_gb` is {arguments.kv_cache_gb:g}, which is less than a token needs")
    del model
    return load_with(tokens)


def _engine(model: DynExecModelForCausalLM) -> Engine:
    if model.engine is None:
        raise ServeError(f"this model cannot be served: {model._not_pageable}")
    return model.engine


def bytes_per_token(engine: Engine) -> int:
    """
    Bytes of the keys and values of a token.

    Args:
        engine ([`~runtime.Engine`]): engine that has run.
    """
    model = engine.paged_model
    return model.cache_bytes // (model.num_blocks * model.block_size)


def context_length(model: DynExecModelForCausalLM, engine: Engine, asked: int | None) -> int:
    """
    The maximum number of tokens of a prompt and its answer.

    Args:
        model ([`DynExecModelForCausalLM`]): model.
        engine ([`~runtime.Engine`]): its engine.
        asked (`int`, *optional*): number that was asked for.

    Raises:
        [`ServeError`]: if the model has no room for that.
    """
    room = engine.paged_model.cache_limit
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or room
    if asked is None:
        return min(positions, room)
    if asked > positions:
        raise ServeError(f"`max_model_len` is {asked}, but the model has positions for {positions} tokens")
    if asked > room:
        raise ServeError(f"`max_model_len` is {asked}, but the KV cache has room for {room} tokens: enlarge it")
    return asked
