"""From requests to choices that can be generated."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llguidance import LLMatcher
from transformers import LogitsProcessor

from ..modeling.continuous_batching import ContinuousBatchingManager
from ..speculative.arguments import SPECULATION_MODES
from .arguments import ServeArguments
from .base_service import BaseService
from .choice import Choice
from .errors import ApiError, invalid, too_long
from .grammar import Grammars
from .loading import Loaded
from .metrics import Metrics
from .prompts import check_tokens
from .requests import Generation
from .sampling import LogitBias, read_logit_bias, sampling_arguments, seeds
from .token_texts import TokenTexts


# Modes of speculation that use an assistant model.
WITH_ASSISTANT = (None, "auto", "draft_model")


@dataclass(frozen=True)
class Task:
    """
    What a request asks to generate.

    Args:
        request ([`~serving.requests.Generation`]): request.
        prompts (`Sequence[list[int]]`): tokens of the prompts.
        param (`str`): the field with the prompts.
        max_tokens (`int`, *optional*): maximum number of new tokens. If not set: as many as the context has room for.
        tenant (`str`): name of the API key.
        logprobs (`int`, *optional*): number of most probable tokens with their log probabilities.
        grammar (`LLMatcher`, *optional*): grammar of the text.
        keep (`frozenset[int]`): special tokens that are part of the text.
        continues (`bool`): whether the text continues that of the prompt.
        default_tokens (`int`, *optional*): number of new tokens without `max_tokens`, if the context has room.
    """

    request: Generation
    prompts: Sequence[list[int]]
    param: str
    max_tokens: int | None
    tenant: str
    logprobs: int | None = None
    grammar: LLMatcher | None = None
    keep: frozenset[int] = frozenset()
    continues: bool = False
    default_tokens: int | None = None

    @property
    def count(self) -> int:
        """The number of choices."""
        return len(self.prompts) * (self.request.n or 1)


class Service(BaseService):
    """
    What all requests share that generate.

    Args:
        loaded ([`~serving.loading.Loaded`]): model and tokenizer.
        manager ([`ContinuousBatchingManager`]): manager of the model, which runs.
        name (`str`): name of the model.
        arguments ([`ServeArguments`]): arguments of the server.
    """

    what = "generation"
    metrics: Metrics

    def __init__(self, loaded: Loaded, manager: ContinuousBatchingManager, name: str, arguments: ServeArguments):
        super().__init__(name, arguments, loaded.tokenizer, loaded.max_model_len)
        self.loaded = loaded
        self._manager = manager
        self.metrics = Metrics(loaded.engine, self.admission, name)
        self.vocab_size = loaded.engine.paged_model.vocab_size
        self._special = frozenset(loaded.tokenizer.all_special_ids) | frozenset(loaded.eos_token_ids)

    def is_running(self) -> bool:
        """Whether results are delivered."""
        return self._manager.is_running()

    @cached_property
    def grammars(self) -> Grammars:
        """Makes grammars. It takes up to a second, so it is made when it is needed first, in another thread."""
        return Grammars(self.loaded.tokenizer, self.vocab_size, self.loaded.eos_token_ids)

    @cached_property
    def token_texts(self) -> TokenTexts:
        """Texts of single tokens."""
        return TokenTexts(self.grammars.tokenizer)

    def special_tokens(self, texts: Sequence[str]) -> frozenset[int]:
        """The special tokens that are some texts."""
        found = self.loaded.tokenizer.convert_tokens_to_ids(list(texts))
        return frozenset(token for token in found if token in self._special)

    def choices(self, task: Task) -> list[Choice]:
        """
        Makes the choices of a request.

        Args:
            task ([`Task`]): what to generate.

        Raises:
            [`ApiError`]: with status 400 if something is not accepted.
        """
        count = task.count
        if count > self.admission.max_running:
            raise invalid(
                f"The request asks for {count} choices, but this server generates {self.admission.max_running} at a"
                " time: reduce `n` or the number of prompts.",
                "n",
            )
        lengths = [self._new_tokens(task, prompt) for prompt in task.prompts]
        common = self._common_arguments(task)
        bias = read_logit_bias(task.request.logit_bias, self.vocab_size)
        left_out = self._special - task.keep
        made = []
        for index, seed in enumerate(seeds(task.request.seed, count)):
            place = index // (task.request.n or 1)
            prompt = task.prompts[place]
            arguments = {**common, "max_new_tokens": lengths[place], "seed": seed}
            processors: list[LogitsProcessor] = [LogitBias(bias)] if bias else []
            if task.grammar is not None:
                processors.append(self.grammars.processor(task.grammar, len(prompt)))
            if processors:
                arguments["logits_processor"] = processors
            wants_pieces = bool(task.request.stream)
            stops = task.request.stops
            made.append(
                Choice(
                    self._manager,
                    prompt,
                    arguments,
                    self._decode,
                    left_out,
                    stops,
                    wants_pieces,
                    self._explain,
                    task.continues,
                )
            )
        return made

    def _explain(self, error: Exception) -> ApiError:
        """Messages of the library may name the directory of the model, which is no one's business."""
        directory = str(self.loaded.model.model_save_dir)
        return invalid(str(error).replace(directory, self.name))

    def _decode(self, tokens: list[int]) -> str:
        # Cleaning up would take spaces back that have been sent.
        return str(self.loaded.tokenizer.decode(tokens, clean_up_tokenization_spaces=False))

    def _new_tokens(self, task: Task, prompt: list[int]) -> int:
        check_tokens(prompt, self.vocab_size, task.param)
        limit = self.loaded.max_model_len
        room = max(limit - len(prompt), 1)
        wanted = task.max_tokens if task.max_tokens is not None else min(task.default_tokens or room, room)
        if len(prompt) + wanted > limit:
            raise too_long(len(prompt), wanted, limit, task.param)
        return wanted

    def _common_arguments(self, task: Task) -> dict[str, Any]:
        request, arguments = task.request, sampling_arguments(task.request, self.loaded.defaults)
        # The texts of one key are neither drafts nor cached prefixes for another.
        salt = "\n".join(filter(None, (task.tenant, request.cache_salt)))
        arguments |= {"cache_salt": salt, "draft_scope": salt}
        if task.logprobs is not None:
            arguments["logprobs"] = task.logprobs
        if request.early_exit is not None:
            arguments["early_exit"] = request.early_exit
            return {**arguments, "speculation": request.speculation} if request.speculation else arguments
        mode = request.speculation or self.arguments.speculation
        if mode is not None and mode not in SPECULATION_MODES:
            modes = list(SPECULATION_MODES)
            raise invalid(f"`speculation` must be one of {modes}, got {mode[:50]!r}.", "speculation")
        if mode is not None:
            arguments["speculation"] = mode
        if self.loaded.assistant is not None and mode in WITH_ASSISTANT:
            arguments["assistant_model"] = self.loaded.assistant
        return arguments
