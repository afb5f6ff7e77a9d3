"""Texts that a decoder writes itself, as calibration data for its quantization."""

import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


# The source that is not a file: the model itself.
SELF = "self"


def own_texts(
    directory: Path,
    prompts: list[list[int]] | None,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    max_samples: int,
    max_length: int,
    seed: int,
) -> list[list[int]]:
    """
    Has a decoder answer prompts. Without prompts, it continues single tokens that are drawn from its vocabulary, and
    samples, so that the texts differ: the data-free calibration of LLM-QAT (arXiv 2305.17888).

    Args:
        directory (`Path`): directory of the exported decoder.
        prompts (`list[list[int]]`, *optional*): token ids of each prompt.
        tokenizer (`PreTrainedTokenizerBase`): tokenizer of the model.
        max_samples (`int`): number of texts if there are no prompts.
        max_length (`int`): maximum number of tokens that are added to a prompt.
        seed (`int`): random seed of the order and of sampling.

    Returns:
        `list[list[int]]`: token ids of each text, its prompt included.
    """
    from ..data.continuations import ContinuationArguments, own_continuations
    from ..modeling import DynExecModelForCausalLM

    alone = prompts is None
    if prompts is None:
        prompts = _single_tokens(tokenizer, max_samples, seed)
    answering = ContinuationArguments(max_new_tokens=max_length, sampled_every=int(alone), temperature=1.0, seed=seed)
    model = DynExecModelForCausalLM.from_pretrained(directory)
    with tempfile.TemporaryDirectory() as place:
        return [text.tokens for text in own_continuations(model, prompts, place, answering)]


def _single_tokens(tokenizer: "PreTrainedTokenizerBase", max_samples: int, seed: int) -> list[list[int]]:
    special = set(tokenizer.all_special_ids)
    ordinary = [token for token in range(len(tokenizer)) if token not in special]
    first = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    drawn = random.Random(seed).sample(ordinary, min(max_samples, len(ordinary)))
    return [[*first, token] for token in drawn]
