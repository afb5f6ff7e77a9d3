"""Answers of a decoder, and the figures of many of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass
class Generation:
    """
    What came of one request. Tokens go in and come out as ids.

    Args:
        tokens (`list[int]`): generated ids, EOS included.
        seconds (`float`): wall clock of the whole call.
        first_token_seconds (`float`): of these, until the first token.
        steps (`int`): forward passes of the model that gave tokens.
        proposed (`int`, *optional*): draft tokens; `None` if the system does not tell.
        accepted (`int`, *optional*): of these, those that were accepted.
        accepted_histogram (`list[int]`, *optional*): `[k]` counts the drafts of which `k` tokens were accepted.
        exit_histogram (`list[list[int]]`, *optional*): layer and tokens that left after it, with early exit.
        energy_joules (`float`, *optional*): that the processor took.
    """

    tokens: list[int]
    seconds: float
    first_token_seconds: float
    steps: int
    proposed: int | None = None
    accepted: int | None = None
    accepted_histogram: list[int] | None = None
    exit_histogram: list[list[int]] | None = None
    energy_joules: float | None = None


@dataclass(frozen=True)
class GenerationFigures:
    """
    Many requests. Of several repeats of a request, medians are taken.

    Args:
        tokens (`int`): generated ids of all requests, EOS included.
        seconds (`float`): the calls from end to end, summed.
        tokens_per_second (`float`): `tokens / seconds`.
        decode_tokens_per_second (`float`): without the first token of each request and the time until it.
        first_token_seconds (`float`): mean time until the first token.
        mean_accepted_length (`float`): tokens per forward pass of the model that gave tokens; 1 is plain decoding.
        acceptance_rate (`float`, *optional*): share of the proposed tokens that were accepted.
    """

    tokens: int
    seconds: float
    tokens_per_second: float
    decode_tokens_per_second: float
    first_token_seconds: float
    mean_accepted_length: float
    acceptance_rate: float | None


def generation_figures(answers: Sequence[Sequence[Generation]]) -> GenerationFigures:
    """
    Sums up.

    Args:
        answers (`Sequence[Sequence[Generation]]`): for each request its repeats.
    """
    # The tokens of a repeat are those of the first, unless a system is not deterministic.
    first = [runs[0] for runs in answers]
    tokens = sum(len(run.tokens) for run in first)
    seconds = sum(median(run.seconds for run in runs) for runs in answers)
    decode_seconds = sum(median(run.seconds - run.first_token_seconds for run in runs) for runs in answers)
    proposed = [run.proposed for run in first]
    total_proposed = None if None in proposed else sum(filter(None, proposed))
    return GenerationFigures(
        tokens=tokens,
        seconds=seconds,
        tokens_per_second=tokens / seconds,
        decode_tokens_per_second=(tokens - len(answers)) / decode_seconds if decode_seconds > 0 else 0.0,
        first_token_seconds=(seconds - decode_seconds) / len(answers),
        mean_accepted_length=tokens / sum(run.steps for run in first),
        acceptance_rate=sum(filter(None, (run.accepted for run in first))) / total_proposed
        if total_proposed
        else None,
    )


def count_equal(answers: Sequence[Sequence[Generation]], references: Sequence[Sequence[Generation]]) -> int:
    """How many requests have, in all repeats, the tokens of the reference's first."""
    pairs = zip(answers, references, strict=True)
    return sum(all(run.tokens == expected[0].tokens for run in runs) for runs, expected in pairs)
