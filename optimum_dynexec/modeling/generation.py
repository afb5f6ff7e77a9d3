"""One `generate` call on the engine: from padded `input_ids` to requests, and from results to padded sequences."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from transformers.generation.logits_process import LogitsProcessorList
from transformers.generation.stopping_criteria import StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from ..native import _C
from ..runtime import Engine
from ..speculative.config import SpeculationConfig
from ..speculative.proposers import DraftParts
from ..speculative.stats import GenerationStats
from .assistants import Assistant
from .draft_guide import Guides
from .logits_processors import native_params


@dataclass
class GenerationJob:
    """
    The arguments of `generate` after transformers has read them.

    Args:
        input_ids (`torch.LongTensor` of shape `(batch_size, prompt_length)`): prompts with their padding.
        attention_mask (`torch.LongTensor` of shape `(batch_size, prompt_length)`): mask that is 0 at padding.
        do_sample (`bool`): whether tokens are sampled; otherwise the most probable token is taken.
        max_length (`int`): maximum length of a sequence, prompt and padding included.
        eos_token_ids (`list[int]`): tokens that end a sequence.
        pad_token_id (`int`, *optional*): token that fills shorter sequences up to the longest.
        logits_processors (`list[LogitsProcessorList]`): processors of each row, in the order in which they apply.
        stopping_criteria (`StoppingCriteriaList`): other criteria that end a sequence, evaluated after each token.
        seed (`int`): seed of the random numbers; each sequence has its own stream.
        speculation ([`SpeculationConfig`]): draft sources and number of draft tokens.
        early_exit (`_C.EarlyExitParams`, *optional*): parameters of early exit; only without speculation.
        assistant ([`~modeling.assistants.Assistant`], *optional*): assistant model.
        streamer (`BaseStreamer`, *optional*): object that receives the tokens as they are generated.
        draft_scope (`str`): scope of the texts that drafts may come from.
        cache_salt (`str`, *optional*, defaults to `""`): requests with the same salt may share their first KV blocks.
        max_time (`float`, *optional*): seconds after which the sequences end; only of [`submit`].
        logprobs (`int`, *optional*):
            Number of the most probable tokens whose log probabilities are events of [`submit`], with those of the
            tokens themselves.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    do_sample: bool
    max_length: int
    eos_token_ids: list[int]
    pad_token_id: int | None
    logits_processors: list[LogitsProcessorList]
    stopping_criteria: StoppingCriteriaList
    seed: int
    speculation: SpeculationConfig
    early_exit: _C.EarlyExitParams | None
    assistant: Assistant | None
    streamer: BaseStreamer | None
    draft_scope: str
    cache_salt: str = ""
    max_time: float | None = None
    logprobs: int | None = None

    def run(self, engine: Engine, memory: _C.SpeculationMemory | None = None) -> tuple[torch.Tensor, GenerationStats]:
        """
        Generates on `engine`.

        Args:
            engine ([`Engine`]): engine of the model.
            memory (`_C.SpeculationMemory`, *optional*):
                What draft sources have learned in earlier calls; this call adds to it. If not set, what they learn in
                this call is lost.

        Returns:
            `tuple`: the sequences, a `torch.LongTensor` of shape `(batch_size, length)` that starts with `input_ids`
            and is filled up with `pad_token_id`; and the [`GenerationStats`].

        Raises:
            `ValueError`: if a prompt is empty, a token id is outside the vocabulary, or the sequences have different
                lengths and there is no `pad_token_id`.
        """
        result = engine.loop.generate(
            self._requests(),
            self._speculation_params(engine),
            memory,
            process_logits=self.process_logits,
            should_stop=self.should_stop,
            on_tokens=self._on_tokens() if self.streamer is not None else None,
            early_exit=self.early_exit,
            forced=self.forced,
            count_allowed=self.count_allowed,
        )
        if self.streamer is not None:
            self.streamer.end()
        return self._padded(result.tokens), GenerationStats.from_engine(
            result.stats, engine.layers, self.speculation.exit_layers
        )

    def submit(self, engine: Engine, outbox: _C.Outbox, memory: _C.SpeculationMemory | None = None) -> _C.Call:
        """
        Starts to generate on `engine`, without waiting.

        Args:
            engine ([`Engine`]): engine of the model.
            outbox (`_C.Outbox`):
                Receiver of the events. `DECIDE` is answered with `process_logits`, `should_stop` and `forced`.
            memory (`_C.SpeculationMemory`, *optional*): see [`run`].

        Raises:
            `ValueError`: if a prompt is empty, or a token id is outside the vocabulary.
        """
        callbacks = self.process_logits is not None or self.should_stop is not None
        return engine.loop.submit(
            self._requests(),
            self._speculation_params(engine),
            outbox,
            memory,
            callbacks,
            self.early_exit,
            self.max_time,
            self.count_allowed,
        )

    @cached_property
    def _native_params(self) -> _C.LogitsParams | None:
        """The logits processors as the decode loop applies them; `None` if it does not cover them."""
        return native_params(self.logits_processors[0], self.do_sample, self.input_ids.shape[1])

    def _requests(self) -> list[_C.SequenceRequest]:
        params = self._native_params
        if params is None:
            params = _C.LogitsParams()
            params.do_sample = self.do_sample
        return [self._request(row, params) for row in range(self.input_ids.shape[0])]

    def _request(self, row: int, params: _C.LogitsParams) -> _C.SequenceRequest:
        request = _C.SequenceRequest()
        request.prompt = self.input_ids[row][self.attention_mask[row].bool()].tolist()
        request.logits = params
        request.max_new_tokens = max(self.max_length - self.input_ids.shape[1], 0)
        request.eos_token_ids = self.eos_token_ids
        request.seed = self.seed
        request.draft_scope = self.draft_scope
        request.cache_salt = self.cache_salt
        request.logprobs = self.logprobs
        return request

    def _speculation_params(self, engine: Engine) -> _C.SpeculationParams:
        config = self.speculation
        parts = DraftParts(
            draft_head=None if engine.draft_head is None else engine.draft_head.native,
            exit_heads={layer: head.native for layer, head in engine.exit_heads.items()},
            segments={layer: segment for segment, layer in enumerate(engine.layers)},
            draft_model=None if self.assistant is None else self.assistant.engine.paged_model,
            draft_vocabulary=None if self.assistant is None else self.assistant.vocabulary,
            draft_name=None if self.assistant is None else self.assistant.name,
        )
        params = _C.SpeculationParams()
        params.proposers = [proposer.params(parts) for proposer in config.proposers]
        if self.forced is not None:
            params.proposers = [_C.ProposerParams("forced_tokens"), *params.proposers]
        params.assistant_confidence_threshold = config.assistant_confidence_threshold
        params.lookahead = config.lookahead
        params.num_assistant_tokens = config.num_assistant_tokens
        return params

    def _padded_ids(self, row: int, tokens: np.ndarray) -> torch.Tensor:
        """The sequence so far, with the padding of its prompt, as transformers would pass it to a processor."""
        prompt = self.input_ids[row]
        generated = tokens[int(self.attention_mask[row].sum()) :]
        return torch.cat([prompt, torch.from_numpy(generated)])[None]

    @property
    def process_logits(self) -> Callable[[int, np.ndarray, np.ndarray], None] | None:
        """Applies the logits processors to the logits of a row; `None` if the decode loop applies them itself."""
        if self._native_params is not None:
            return None

        def process_logits(row: int, tokens: np.ndarray, logits: np.ndarray) -> None:
            scores = torch.from_numpy(logits)[None]
            processed = self.logits_processors[row](self._padded_ids(row, tokens), scores)
            scores.copy_(processed)

        return process_logits

    @property
    def should_stop(self) -> Callable[[int, np.ndarray], bool] | None:
        """Asks the stopping criteria whether a row ends; `None` if there are none."""
        criteria = self.stopping_criteria
        if not criteria:
            return None

        def should_stop(row: int, tokens: np.ndarray) -> bool:
            ids = self._padded_ids(row, tokens)
            # As in transformers, every criterion is evaluated after every token: some of them count their calls.
            return any([bool(torch.as_tensor(criterion(ids, None)).all()) for criterion in criteria])

        return should_stop

    @cached_property
    def _guides(self) -> list[Guides]:
        return [Guides(processors) for processors in self.logits_processors]

    @property
    def forced(self) -> Callable[[int, np.ndarray], list[int]] | None:
        """Asks the guides of a row for the tokens that come next; `None` without guides or speculation."""
        if not self.speculation.proposers or not any(self._guides):
            return None

        def forced(row: int, tokens: np.ndarray) -> list[int]:
            return self._guides[row].forced_tokens(self._padded_ids(row, tokens)[0].numpy())

        return forced

    @property
    def count_allowed(self) -> Callable[[int, np.ndarray, list[int]], int] | None:
        """Asks the guides of a row which draft tokens they allow; `None` without guides or speculation."""
        if self.forced is None:
            return None

        def count_allowed(row: int, tokens: np.ndarray, draft: list[int]) -> int:
            return self._guides[row].count_allowed(self._padded_ids(row, tokens)[0].numpy(), draft)

        return count_allowed

    def _on_tokens(self) -> Callable[[int, list[int]], None]:
        streamer = self.streamer
        assert streamer is not None

        def on_tokens(_: int, tokens: list[int]) -> None:
            for token in tokens:
                streamer.put(torch.tensor([token]))

        return on_tokens

    def _padded(self, generated: list[list[int]]) -> torch.Tensor:
        longest = max(map(len, generated))
        if self.pad_token_id is None and any(len(tokens) < longest for tokens in generated):
            raise ValueError("Sequences of different lengths came out, and no `pad_token_id` is set to fill them up")
        out = torch.full((len(generated), longest), self.pad_token_id or 0, dtype=torch.long)
        for row, tokens in enumerate(generated):
            out[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        return torch.cat([self.input_ids, out], dim=1)
