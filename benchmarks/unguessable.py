"""The cost of speculation on a text that cannot be guessed.

Greedy output of a small model repeats itself, which is easy to guess. So the text is sampled, at a temperature that
makes it almost impossible to guess, after prompts of random words.
"""

import random
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from .dynexec_systems import DynExecSystem
from .questions import encode


TEMPERATURE = 1.5
WORDS = 24
SYSTEMS = ("dynexec-plain", "dynexec-auto")


def random_prompts(tokenizer: Any, number: int, seed: int) -> list[list[int]]:
    """`number` prompts of random words of the vocabulary."""
    words = sorted({token[1:] for token in tokenizer.get_vocab() if _is_word(token)})
    if len(words) < WORDS:
        raise ValueError("The vocabulary has too few words for prompts")
    draw = random.Random(seed)
    return [encode(tokenizer, " ".join(draw.choice(words) for _ in range(WORDS))) for _ in range(number)]


def _is_word(token: str) -> bool:
    # "Ġ" and "▁" are how byte-level and SentencePiece vocabularies write a leading space.
    return len(token) > 3 and token[0] in "Ġ▁" and token[1:].isascii() and token[1:].isalpha()


def measure(
    systems: list[DynExecSystem],
    prompts: list[list[int]],
    max_new_tokens: int,
    repeats: int,
    seed: int,
    progress: Callable[[Iterable[Any]], Iterable[Any]],
) -> dict[str, Any]:
    """
    Samples from each prompt with each system, in turns, with the same seeds.

    Returns:
        `dict[str, Any]`: for each system, tokens per second from the medians over `repeats`, and the numbers of
        proposed and accepted tokens; the `ratio` of the second to the first, and the `ratios` of the repeats; `equal`
        of `runs` answers had the same tokens. With the same seed, this is expected where only prompt lookup proposes.
    """
    runs: dict[str, dict[tuple[int, int], Any]] = {system.name: {} for system in systems}
    for system in systems:
        system.generate(prompts[-1], min(16, max_new_tokens))
    for repeat, index in progress([(r, i) for r in range(repeats) for i in range(len(prompts))]):
        order = systems if (repeat + index) % 2 == 0 else systems[::-1]
        for system in order:
            runs[system.name][repeat, index] = system.generate(
                prompts[index],
                max_new_tokens,
                do_sample=True,
                temperature=TEMPERATURE,
                top_k=0,
                top_p=1.0,
                min_new_tokens=max_new_tokens,
                seed=seed + repeat * len(prompts) + index,
            )
    result: dict[str, Any] = {"temperature": TEMPERATURE, "seed": seed, "repeats": repeats, "prompts": len(prompts)}
    for name, by_key in runs.items():
        medians = [median(by_key[r, i].seconds for r in range(repeats)) for i in range(len(prompts))]
        proposed = sum(run.proposed for run in by_key.values())
        result[name] = {
            "tokens_per_second": max_new_tokens * len(prompts) / sum(medians),
            "proposed": proposed,
            "accepted": sum(run.accepted for run in by_key.values()),
            "tokens": sum(len(run.tokens) for run in by_key.values()),
        }
    plain, dynamic = (runs[system.name] for system in systems)
    result["runs"] = len(plain)
    result["equal"] = sum(run.tokens == dynamic[key].tokens for key, run in plain.items())
    result["ratios"] = [
        sum(plain[r, i].seconds for i in range(len(prompts))) / sum(dynamic[r, i].seconds for i in range(len(prompts)))
        for r in range(repeats)
    ]
    speeds = [result[system.name]["tokens_per_second"] for system in systems]
    result["ratio"] = speeds[1] / speeds[0]
    return result
