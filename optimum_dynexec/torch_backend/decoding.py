"""The decode loops: draft and verify, and leave early. One sequence at a time, as plainly as it can be said."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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


# Tokens that left early wait to be run by the layers they skipped. When more wait, the full model runs them, which
# changes no decision.
MOST_WAITING = 64


@dataclass
class Sequence:
    """
    One sequence of a call.

    Args:
        padding (`list[int]`): what stands before the prompt; processors and criteria see it, as in transformers.
        prompt (`list[int]`): its tokens.
        max_new_tokens (`int`): most tokens to generate.
        do_sample (`bool`): sample, or take the most probable token.
        processors (`LogitsProcessorList`): what shapes the distribution.
        should_stop (`Callable`): asked about ids `[1, length]` after every token.
        on_token (`Callable`): is handed every token.
        generator (`torch.Generator`): of the random numbers.
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
        """Whether only the last token is left to run. A prompt of one token has nothing to run before it."""
        return len(self.tokens) > len(self.prompt) or len(self.prompt) == 1

    @property
    def remaining(self) -> int:
        """How many tokens may still be generated."""
        return self.max_new_tokens - (len(self.tokens) - len(self.prompt))

    def ids(self, tokens: list[int]) -> torch.Tensor:
        """As transformers would show them, `[1, length]`."""
        return torch.tensor([[*self.padding, *tokens]])

    def distribution(self, logits: torch.Tensor, tokens: list[int]) -> torch.Tensor:
        """What comes after `tokens` is drawn from it: float64 `[vocab_size]`."""
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
        """Takes a token."""
        self.tokens.append(token)
        self.on_token(token)
        self.finished = self.remaining <= 0 or self.should_stop(self.ids(self.tokens))


class Counts:
    """What a call did; see [`~speculative.GenerationStats`]."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.numbers: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.accepted: Counter[int] = Counter()
        self.exits: Counter[int] = Counter()
        self.proposers: dict[str, Counter[str]] = {}
        self.time_to_first_token: float | None = None

    def time(self, name: str, since: float) -> float:
        """Adds the time since then to a phase; gives the time now."""
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
    heads: dict[Any, HeadModule],
    assistant: Any,
    counts: Counts,
) -> None:
    """
    Generates: draft, run the model over the draft in one pass, keep what stands, roll the rest back.

    Args:
        sequence ([`Sequence`]): to continue.
        decoder ([`~torch_backend.decoder.Decoder`]): fresh, of the model.
        config ([`~speculative.SpeculationConfig`]): who proposes, how much.
        heads (`dict[int | None, HeadModule]`): of the model, by layer; `None` is the draft head's.
        assistant (`transformers.PreTrainedModel`, *optional*): the assistant model.
        counts ([`Counts`]): added to.
    """
    sources = Sources(config, decoder, heads, assistant, sequence.draft_distribution, sequence.generator)
    proposers = [kind(sources) for kind in PROPOSERS if kind.wanted(config)]
    lookahead = LOOKAHEADS[config.lookahead](config.num_assistant_tokens)
    while not sequence.finished:
        since = time.perf_counter()
        begun = sequence.begun
        # One token comes from the model itself, whatever stands of the draft.
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
    Generates; every token comes from the first exit that is sure, or else from the full model.

    Args:
        sequence ([`Sequence`]): to continue.
        decoder ([`~torch_backend.decoder.Decoder`]): fresh, watching the layers of the exits.
        rule ([`~torch_backend.exit_rule.TokenExitRule`]): when tokens leave.
        counts ([`Counts`]): added to.
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
    """Takes the tokens of a draft that stand, and one more; gives how many of the draft stand."""
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
