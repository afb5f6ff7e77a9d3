"""The decode loops, draft and verify and early exit, one sequence at a time and in simple code."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from transformers.generation.logits_process import LogitsProcessorList

from ..heads.modules import HeadModule
from ..modeling.logits_processors import NATIVE
from ..speculative.config import SpeculationConfig
from .decoder import Decoder
from .exit_rule import TokenExitRule
from .lookaheads import LOOKAHEADS
from .proposers import PROPOSERS, Proposer
from .proposers.base import Draft, Sources
from .verification import distribution, draw, verify


if TYPE_CHECKING:
    from transformers import PreTrainedModel


# The number of tokens that may wait for the layers that they skipped. If more wait, the full model runs them, which
# changes no decision.
MOST_WAITING = 64


@dataclass
class Sequence:
    """
    One sequence of a call.

    Args:
        padding (`list[int]`): padding before the prompt; processors and criteria see it, as in transformers.
        prompt (`list[int]`): token ids of the prompt.
        max_new_tokens (`int`): maximum number of tokens to generate.
        do_sample (`bool`): whether to sample; otherwise the most probable token is chosen.
        processors (`LogitsProcessorList`): processors that change the distribution.
        should_stop (`Callable`): called with ids `[1, length]` after each token.
        on_token (`Callable`): called with each token.
        generator (`torch.Generator`): random generator.
    """

    padding: list[int]
    prompt: list[int]
    max_new_tokens: int
    do_sample: bool
    processors: LogitsProcessorList
    should_stop: Callable[[torch.Tensor], bool]
    on_token: Callable[[int], None]
    generator: torch.Generator
    tokens: list[int] = field(init=False)
    finished: bool = False

    def __post_init__(self) -> None:
        self.tokens = list(self.prompt)

    @property
    def begun(self) -> bool:
        """Whether only the last token has not run. In a prompt of one token, there is no token before it."""
        return len(self.tokens) > len(self.prompt) or len(self.prompt) == 1

    @property
    def remaining(self) -> int:
        """The number of tokens that may still be generated."""
        return self.max_new_tokens - (len(self.tokens) - len(self.prompt))

    def ids(self, tokens: list[int]) -> torch.Tensor:
        """The ids in the form of transformers, `[1, length]`."""
        return torch.tensor([[*self.padding, *tokens]])

    def distribution(self, logits: torch.Tensor, tokens: list[int]) -> torch.Tensor:
        """The distribution of the token after `tokens`: float64 `[vocab_size]`."""
        return distribution(logits, self.ids(tokens), self.processors, self.do_sample)

    def draft_distribution(self, logits: torch.Tensor, tokens: list[int]) -> torch.Tensor:
        """
        What a draft token is drawn from. Processors that may remember what they were called with are left out, as in
        the engine: they are to see tokens that stand alone, each once.
        """
        known = all(type(processor) in NATIVE for processor in self.processors)
        processors = self.processors if known else LogitsProcessorList()
        return distribution(logits, self.ids(tokens), processors, self.do_sample)

    def append(self, token: int) -> None:
        """Adds a token."""
        self.tokens.append(token)
        self.on_token(token)
        self.finished = self.remaining <= 0 or self.should_stop(self.ids(self.tokens))


class Counts:
    """The counts of a call; see [`~speculative.GenerationStats`]."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.numbers: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.accepted: Counter[int] = Counter()
        self.exits: Counter[int] = Counter()
        self.proposers: dict[str, Counter[str]] = {}
        self.time_to_first_token: float | None = None

    def time(self, name: str, since: float) -> float:
        """Adds the time since `since` to a phase and returns the present time."""
        now = time.perf_counter()
        self.seconds[name] += now - since
        if self.time_to_first_token is None and name == "decide":
            self.time_to_first_token = now - self.start
        return now

    def totals(self) -> dict[str, float]:
        """The times of the call so far."""
        total = time.perf_counter() - self.start
        first = total if self.time_to_first_token is None else self.time_to_first_token
        return {"total_seconds": total, "time_to_first_token": first}


def speculate(
    sequence: Sequence,
    decoder: Decoder,
    config: SpeculationConfig,
    heads: dict[int | None, HeadModule],
    assistant: "PreTrainedModel | None",
    counts: Counts,
) -> None:
    """
    Generates: drafts, runs the model on the draft in one pass, keeps the accepted tokens and rolls back the rest.

    Args:
        sequence ([`Sequence`]): sequence to continue.
        decoder ([`~torch_backend.decoder.Decoder`]): new decoder of the model.
        config ([`~speculative.SpeculationConfig`]): sources and length of drafts.
        heads (`dict[int | None, HeadModule]`): heads of the model by layer; the draft head has the key `None`.
        assistant (`transformers.PreTrainedModel`, *optional*): assistant model.
        counts ([`Counts`]): counts of the call, which are updated.
    """
    sources = Sources(config, decoder, heads, assistant, sequence.draft_distribution, sequence.generator)
    proposers = [kind(sources) for kind in PROPOSERS if kind.name in config.names]
    lookahead = LOOKAHEADS[config.lookahead](config.num_assistant_tokens)
    while not sequence.finished:
        since = time.perf_counter()
        begun = sequence.begun
        # One token comes from the model itself, no matter how many draft tokens are accepted.
        limit = min(lookahead.length, sequence.remaining - 1)
        proposer, draft = _draft(proposers, sequence.tokens, limit) if begun and limit > 0 else (None, Draft())
        since = counts.time("propose", since)
        rows = decoder.run([*sequence.tokens, *draft.tokens])
        assert rows is not None  # nothing leaves early
        since = counts.time("run" if begun else "prefill", since)
        accepted = _decide(sequence, draft, rows)
        decoder.rollback(len(sequence.tokens) - 1)
        counts.time("decide", since)
        counts.numbers.update(verifications=1, target_forwards=1, prefill_forwards=not begun)
        if proposer is not None:
            counts.accepted[accepted] += 1
            proposer.proposed += len(draft.tokens)
            proposer.accepted += accepted
            lookahead.observe(len(draft.tokens), accepted)
    for proposer in proposers:
        found = counts.proposers.setdefault(proposer.name, Counter())
        found.update(proposed=proposer.proposed, accepted=proposer.accepted, forwards=proposer.forwards)


def leave_early(sequence: Sequence, decoder: Decoder, rule: TokenExitRule, counts: Counts) -> None:
    """
    Generates. Each token comes from the first exit that is confident, or else from the full model.

    Args:
        sequence ([`Sequence`]): sequence to continue.
        decoder ([`~torch_backend.decoder.Decoder`]): new decoder that watches the exit layers.
        rule ([`~torch_backend.exit_rule.TokenExitRule`]): rule for when tokens leave.
        counts ([`Counts`]): counts of the call, which are updated.
    """
    while not sequence.finished:
        since = time.perf_counter()
        begun = sequence.begun
        rule.begin(decides=begun or rule.prefill)
        few = len(sequence.tokens) - decoder.cached <= MOST_WAITING

        def leave(layer: int, few: bool = few) -> bool:
            return rule.leaves(layer, sequence.tokens, decoder) and few

        rows = decoder.run(sequence.tokens, leave)
        since = counts.time("run" if begun else "prefill", since)
        row = rule.logits if rule.logits is not None else rows[-1]  # type: ignore[index]
        sequence.append(draw(sequence.distribution(row, sequence.tokens), sequence.generator))
        counts.time("decide", since)
        counts.exits[rule.layer] += 1
        counts.numbers.update(verifications=1, target_forwards=1, prefill_forwards=not begun)


def _draft(proposers: list[Proposer], tokens: list[int], limit: int) -> tuple[Proposer | None, Draft]:
    for proposer in proposers:
        draft = proposer.propose(tokens, limit)
        if draft.tokens:
            return proposer, draft
    return None, Draft()


def _decide(sequence: Sequence, draft: Draft, rows: torch.Tensor) -> int:
    """Adds the accepted tokens of a draft and one more token. Returns the number of accepted draft tokens."""
    accepted = 0
    for i, row in enumerate(rows[-len(draft.tokens) - 1 :]):
        p = sequence.distribution(row, sequence.tokens)
        stands = False
        if i < len(draft.tokens):
            token, stands = verify(p, draft.distributions[i], draft.tokens[i], sequence.generator)
        else:
            token = draw(p, sequence.generator)
        sequence.append(token)
        accepted += stands
        if not stands or sequence.finished:
            break
    return accepted
