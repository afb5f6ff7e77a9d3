"""JSON that follows a schema, token by token, with llguidance."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from llguidance.hf import from_tokenizer
from transformers import LogitsProcessor

from .errors import invalid


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# What llguidance says about a grammar must not repeat it.
LIMITS = LLParserLimits(verbose_errors=False)
# Between tokens of JSON. Without a limit, a model can write spaces for ever.
OPTIONS: Any = {"whitespace_pattern": r"[ \n\r\t]{1,40}"}


class Grammars:
    """
    Makes grammars for a model.

    Args:
        tokenizer (`PreTrainedTokenizerFast`): tokenizer of the model.
        vocab_size (`int`): number of logits.
        eos_token_ids (`Sequence[int]`): tokens that end a sequence.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", vocab_size: int, eos_token_ids: Sequence[int]):
        self.tokenizer: LLTokenizer = from_tokenizer(
            tokenizer, n_vocab=max(vocab_size, len(tokenizer)), eos_token=list(eos_token_ids)
        )

    def of_schema(self, schema: dict[str, Any], param: str) -> LLMatcher:
        """
        Compiles a JSON schema. It takes up to a second.

        Args:
            schema (`dict[str, Any]`): JSON schema.
            param (`str`): the field of the request with the schema.

        Returns:
            `LLMatcher`: a matcher that has read nothing.

        Raises:
            [`ApiError`]: with status 400 if the schema has something that is not supported.
        """
        try:
            text = LLMatcher.grammar_from_json_schema(json.dumps(schema, allow_nan=False), overrides=OPTIONS)
            matcher = LLMatcher(self.tokenizer, text, limits=LIMITS, log_level=0)
            problem = matcher.get_error() if matcher.is_error() else None
        except (ValueError, RecursionError) as error:
            problem = str(error)
        if problem is not None:
            raise invalid(f"The schema in `{param}` cannot be used: {problem}. Change that part of it.", param)
        return matcher

    def processor(self, matcher: LLMatcher, prompt_length: int) -> "GrammarLogitsProcessor":
        """
        Makes the logits processor of one sequence.

        Args:
            matcher (`LLMatcher`): matcher of [`of_schema`], which is copied.
            prompt_length (`int`): number of prompt tokens.
        """
        return GrammarLogitsProcessor(matcher.deep_copy(), self.tokenizer, prompt_length)


class GrammarLogitsProcessor(LogitsProcessor):
    """
    Excludes the tokens that a grammar does not allow next. It is a function of the tokens so far: when a draft token
    was rejected, the next call has other tokens than the last one, and the matcher goes back to what both have in
    common.

    Args:
        matcher (`LLMatcher`): matcher that has read nothing.
        tokenizer (`LLTokenizer`): tokenizer of the matcher.
        prompt_length (`int`): number of prompt tokens.
    """

    def __init__(self, matcher: LLMatcher, tokenizer: LLTokenizer, prompt_length: int):
        self._matcher, self._eos, self._prompt_length = matcher, list(tokenizer.eos_tokens), prompt_length
        self._mask = np.zeros((tokenizer.vocab_size + 31) // 32, dtype=np.int32)
        self._has_mask = False  # whether `_mask` is that of the next token
        self._read: list[int] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        allowed = torch.from_numpy(self.allowed(input_ids[0, self._prompt_length :].tolist()))
        # A model may have more logits than its tokenizer has tokens.
        padded = torch.zeros(scores.shape[1], dtype=torch.bool)
        size = min(len(allowed), len(padded))
        padded[:size] = allowed[:size]
        return scores.masked_fill(~padded, -torch.inf)

    def allowed(self, tokens: list[int]) -> np.ndarray:
        """
        Gives the tokens that may come next.

        Args:
            tokens (`list[int]`): tokens so far, without the prompt.

        Returns:
            `np.ndarray` of shape `(vocab_size,)`: `True` where a token is allowed.

        Raises:
            `RuntimeError`: if the grammar has become too complex.
        """
        return self._next() if self._follow(tokens) else self._only_end()

    def forced_tokens(self, input_ids: np.ndarray) -> list[int]:
        """What the grammar forces, in the tokens of the tokenizer: see [`DraftGuide`]."""
        if not self._follow(input_ids[self._prompt_length :].tolist()):
            return []
        forced = self._matcher.compute_ff_tokens()
        if forced:
            return list(forced)
        (only,) = np.nonzero(self._next())
        return only.tolist() if len(only) == 1 else []

    def count_allowed(self, input_ids: np.ndarray, draft: Sequence[int]) -> int:
        """How far a draft follows the grammar: see [`DraftGuide`]."""
        if not self._follow(input_ids[self._prompt_length :].tolist()):
            return 0
        return int(self._matcher.validate_tokens(list(draft)))

    def _follow(self, tokens: list[int]) -> bool:
        """Brings the matcher to these tokens. Returns `False` if they do not follow the grammar."""
        common = next(
            (i for i, (a, b) in enumerate(zip(self._read, tokens, strict=False)) if a != b),
            min(len(self._read), len(tokens)),
        )
        if common == len(self._read) == len(tokens):
            return True
        self._has_mask = False
        if common < len(self._read):
            self._matcher.rollback(len(self._read) - common)
            self._read = self._read[:common]
        rest = tokens[common:]
        taken = self._matcher.try_consume_tokens(rest)
        self._read += rest[:taken]
        if self._matcher.is_error():
            raise RuntimeError("the grammar of `response_format` has become too complex for the text")
        return taken == len(rest)

    def _next(self) -> np.ndarray:
        if not self._has_mask:
            self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
            self._has_mask = True
        return np.unpackbits(self._mask.view(np.uint8), bitorder="little").astype(bool)

    def _only_end(self) -> np.ndarray:
        allowed = np.zeros(len(self._mask) * 32, dtype=bool)
        allowed[self._eos] = True
        return allowed
