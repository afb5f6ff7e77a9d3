"""The answers of a decoder, and the figures of many answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass
class Generation:
    """
    The answer to one request.

    Args:
        tokens (`list[int]`): generated token ids, EOS included.
        seconds (`float`): wall-clock time of the whole call in seconds.
        first_token_seconds (`float`): time until the first token in seconds.
        steps (`int`): number of forward passes of the model that gave tokens.
        proposed (`int`, *optional*): number of draft tokens; `None` if the system does not report it.
        accepted (`int`, *optional*): number of accepted draft tokens.
        accepted_histogram (`list[int]`, *optional*): number of drafts with `k` accepted tokens, for each `k` from 0.
        exit_histogram (`list[list[int]]`, *optional*): with early exit, each layer and the number of tokens that left
            after it.
        energy_joules (`float`, *optional*): energy of the processor in joules.
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
    The figures of many requests, from the medians over the repeats of each request.

    Args:
        tokens (`int`): number of generated tokens of all requests, EOS included.
        seconds (`float`): sum of the times of the whole calls in seconds.
        tokens_per_second (`float`): `tokens / seconds`.
        decode_tokens_per_second (`float`): speed without the first token of each request and the time until it.
        first_token_seconds (`float`): mean time until the first token in seconds.
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
    Computes the figures of many requests.

    Args:
        answers (`Sequence[Sequence[Generation]]`): repeats of each request.
    """
    # All repeats have the tokens of the first one, unless a system is not deterministic.
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
    """The number of requests whose repeats all have the tokens of the reference's first repeat."""
    pairs = zip(answers, references, strict=True)
    return sum(all(run.tokens == expected[0].tokens for run in runs) for runs, expected in pairs)
