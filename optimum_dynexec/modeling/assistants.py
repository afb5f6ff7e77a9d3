"""Assistant models: models that draft for another model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from optimum.intel import OVModelForCausalLM

from ..native import _C
from ..runtime import Engine
from .other_tokenizer import translate
from .positions import position_limit
from .tokenizers import check_same_tokenizer


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Engines of assistants that are plain OVModelForCausalLM, for as long as those live.
_ENGINES: WeakKeyDictionary[OVModelForCausalLM, Engine] = WeakKeyDictionary()
# Their vocabularies in terms of a target, with the tokenizers of both, if these differ.
_TRANSLATIONS: WeakKeyDictionary[Engine, tuple[object, object, _C.DraftVocabulary]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Assistant:
    """
    An assistant model at work for a target.

    Args:
        engine ([`~runtime.Engine`]): engine of the assistant model.
        vocabulary (`_C.DraftVocabulary`, *optional*): its words in terms of the target, if they differ.
        name (`str`, *optional*): fingerprint of the model, if it is known.
    """

    engine: Engine
    vocabulary: _C.DraftVocabulary | None = None
    name: str | None = None


@dataclass(frozen=True)
class Tokenizers:
    """
    The tokenizers of a call whose assistant model has another one than the model.

    Args:
        target, draft (`PreTrainedTokenizerBase`): tokenizer of the model, and of the assistant model.
    """

    target: "PreTrainedTokenizerBase"
    draft: "PreTrainedTokenizerBase"


def make_assistant(
    assistant_model: OVModelForCausalLM,
    max_length: int,
    target: Engine,
    directory: str | Path,
    tokenizers: Tokenizers | None = None,
) -> Assistant:
    """
    Prepares an assistant model for a target.

    Args:
        assistant_model ([`DynExecModelForCausalLM`] or `OVModelForCausalLM`): model that drafts.
        max_length (`int`): maximum number of tokens in a sequence.
        target ([`~runtime.Engine`]): engine of the target model.
        directory (`str` or `Path`): directory of the target model, with its tokenizer.
        tokenizers ([`Tokenizers`], *optional*): tokenizers of both; only if they differ.

    Raises:
        `ValueError`: if the assistant model cannot draft, has too few positions, or has another tokenizer.
        `TypeError`: if the assistant model has another type.
    """
    if not isinstance(assistant_model, OVModelForCausalLM):
        raise TypeError(
            "`assistant_model` must be a DynExecModelForCausalLM or an OVModelForCausalLM, got"
            f" {type(assistant_model).__name__}; load it with DynExecModelForCausalLM.from_pretrained(...,"
            " export=True)"
        )
    engine = _engine_of(assistant_model)
    limit = position_limit(assistant_model.config)
    if limit is not None and max_length > limit:
        raise ValueError(f"`assistant_model` has positions for {limit} tokens, generation may reach {max_length}")
    config = getattr(assistant_model, "dynexec_config", None)
    name = None if config is None else config.model_fingerprint
    if tokenizers is not None:
        if engine.draft_vocabulary is not None:
            raise ValueError("`assistant_model` with another tokenizer: load it without `draft_vocabulary`")
        return Assistant(engine, _translation(engine, tokenizers), name)
    check_same_tokenizer(
        Path(str(directory)),
        Path(str(assistant_model.model_save_dir)),
        target.paged_model.vocab_size,
        engine.paged_model.vocab_size,
    )
    return Assistant(engine, engine.draft_vocabulary, name)


def _translation(engine: Engine, tokenizers: Tokenizers) -> _C.DraftVocabulary:
    known = _TRANSLATIONS.get(engine)
    if known is None or known[0] is not tokenizers.target or known[1] is not tokenizers.draft:
        vocabulary = translate(tokenizers.target, tokenizers.draft, engine.paged_model.vocab_size)
        known = _TRANSLATIONS[engine] = (tokenizers.target, tokenizers.draft, vocabulary)
    return known[2]


def _engine_of(assistant_model: OVModelForCausalLM) -> Engine:
    # Only the classes of this package have the attribute. Importing them here would be a circular import.
    if hasattr(type(assistant_model), "engine"):
        if assistant_model.engine is None:
            raise ValueError(f"`assistant_model` cannot draft: {assistant_model._not_pageable}")
        return assistant_model.engine
    engine = _ENGINES.get(assistant_model)
    if engine is None:
        engine = _ENGINES[assistant_model] = Engine(
            assistant_model.model,
            assistant_model._device,
            assistant_model.ov_config,
            weights_path=weights_path(assistant_model),
        )
    return engine


def weights_path(model: OVModelForCausalLM) -> Path | None:
    """The file with a model's weights; `None` if the model has no directory."""
    directory = model.model_save_dir
    return None if directory is None else (Path(str(directory)) / model._ov_model_paths["model"]).with_suffix(".bin")
