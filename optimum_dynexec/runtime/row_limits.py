"""
Finds the sizes of passes with which the bits of a token's logits do not depend on other rows.

OpenVINO's kernels compute each row for itself, but it chooses another kernel for a single row, for a single query row
of a sequence, and, on some processors, for many rows. Where they add in another order, the last bits differ, and the
quantization of activations can make the difference large. So the engine keeps passes within limits. Which limits are
enough depends on the processor, the version of OpenVINO and the sizes of the products, so they are proven for each
model, by comparing bits.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..native import _C
from ..utils.remembered import recall, remember


# From the cheapest to the most expensive. AVX2 has another kernel from 81 rows on, and for products with thousands of
# inputs another one up to 4 rows.
CANDIDATES = (
    {"per_sequence": 1, "least": 2, "most": 512, "attention": 2},
    {"per_sequence": 1, "least": 2, "most": 80, "attention": 2},
    {"per_sequence": 2, "least": 2, "most": 512},
    {"per_sequence": 2, "least": 2, "most": 80},
    {"per_sequence": 2, "least": 5, "most": 512},
    {"per_sequence": 2, "least": 5, "most": 80},
    {"per_sequence": 2, "least": 8, "most": 64},
)
# The number of random ways to divide a sequence into passes that are compared.
DIVISIONS = 3
# Lengths of the beginnings of a text that run on together, and the number of tokens for which they do.
ENDS = (3, 17, 31, 32, 70)
TOGETHER = 4
# The most columns of the logits that are compared.
COLUMNS = 4096
KIND = "row-limits-2"


# Passes with and without limits whose times are compared.
TIMED_STEPS = 9
CONTEXT = 64


class NotRowInvariantError(RuntimeError):
    """The logits of a model cannot be made independent of other rows, bit for bit. The message says why."""


class TooSlowError(NotRowInvariantError):
    """The logits can be made independent of other rows, but at a cost that was not accepted."""


class RowInvariance:
    """
    The row limits of one model on one machine, which are found once and then remembered.

    Args:
        identity (`Any`, *optional*):
            Everything that the limits depend on, as values for JSON. If not set, nothing is remembered.
        max_slowdown (`float`, *optional*):
            Largest accepted time of a decoding step within the limits, relative to a step without limits. If not set,
            every time is accepted.
    """

    def __init__(self, identity: Any = None, max_slowdown: float | None = None):
        self.identity = identity
        self.max_slowdown = max_slowdown
        self._found = None if identity is None else recall(KIND, identity)

    def check(self) -> None:
        """
        Checks what is remembered, before anything is compiled.

        Raises:
            [`NotRowInvariantError`]: if it is known that there are no limits, or that they cost too much.
        """
        if self._found is None:
            return
        if not self._found["limits"]:
            raise NotRowInvariantError("the last bits of a token's logits depend on the number of tokens in a pass")
        if self.max_slowdown is not None and self._found["slowdown"] > self.max_slowdown:
            raise TooSlowError(f"the same bits in every pass make decoding {self._found['slowdown']:.2f} x as long")

    def limits(self, model: _C.PagedModel, max_tokens: int | None = None) -> _C.RowLimits:
        """
        The limits of a compiled model.

        Args:
            model (`_C.PagedModel`): compiled model. Its own limits are the last ones that were tried afterwards.
            max_tokens (`int`, *optional*): maximum number of tokens of a text, if the model has a table of positions.

        Raises:
            [`NotRowInvariantError`]: if there are no limits, or they cost too much.
        """
        if self._found is None:
            limits = find_row_limits(model, max_tokens)
            self._found = {"limits": limits, "slowdown": 1.0 if limits is None else slowdown(model)}
            if self.identity is not None:
                remember(KIND, self.identity, self._found)
        self.check()
        return _C.RowLimits(**self._found["limits"])


def slowdown(model: _C.PagedModel) -> float:
    """The time of a decoding step of one sequence within the limits of `model`, relative to a step without limits."""
    sequence, limits = _C.CachedSequence(model), (model.row_limits, _C.RowLimits())
    times: tuple[list[float], list[float]] = ([], [])
    context = min(CONTEXT, model.cache_limit - 8)
    token = model.vocab_size // 2
    sequence.forward([token] * context)
    for _ in range(TIMED_STEPS):
        for choice, seconds in zip(limits, times, strict=True):
            model.row_limits = choice
            # The first pass of a size pays for the change.
            for _ in range(2):
                start = time.perf_counter()
                sequence.forward([token])
                seconds.append(time.perf_counter() - start)
                sequence.rollback(context)
    model.row_limits = limits[0]
    # Other work of the machine only adds time.
    return min(times[0]) / min(times[1])


def find_row_limits(model: _C.PagedModel, max_tokens: int | None = None) -> dict[str, int] | None:
    """
    Proves limits by comparing the logits of one random sequence that is divided into passes in random ways.

    Args:
        model (`_C.PagedModel`): compiled model. Its own limits are the last ones that were tried afterwards.
        max_tokens (`int`, *optional*): maximum number of tokens of a text, if the model has a table of positions.

    Returns:
        `dict[str, int]`, *optional*: the first of `CANDIDATES` with which all bits are equal; `None` if there is none.
    """
    longest = min(model.cache_limit, max_tokens or model.cache_limit)
    for candidate in CANDIDATES:
        length = min(2 * candidate["most"], candidate["most"] + 64, longest)
        # Larger passes than those that were compared are not proven.
        limits = {**candidate, "most": min(candidate["most"], length)}
        if limits["most"] < max(limits["per_sequence"], limits["least"]):
            continue
        if "attention" in candidate and not model.has_attention_rows:
            continue
        model.row_limits = _C.RowLimits(**limits)
        if is_row_invariant(model, length):
            return limits
    return None


def is_row_invariant(model: _C.PagedModel, length: int, divisions: int = DIVISIONS, seed: int = 0) -> bool:
    """
    Compares the logits of random divisions of a sequence into passes with those of the longest passes.

    Args:
        model (`_C.PagedModel`): compiled model, whose limits are tested.
        length (`int`): number of tokens of the sequence.
        divisions (`int`, *optional*, defaults to 3): number of divisions.
        seed (`int`, *optional*, defaults to 0): seed of the tokens and divisions.
    """
    generator = np.random.default_rng(seed)
    tokens = generator.integers(0, model.vocab_size, length)
    # Short comparisons find most differences.
    short = tokens[:128]
    expected = _logits(model, short, [len(short)])
    for end, size in ((16, 1), (len(short), 64)):
        sizes = [min(size, end - begin) for begin in range(0, min(end, len(short)), size)]
        rows = _logits(model, short[:end], sizes)
        if not np.array_equal(rows, expected[: len(rows)]):
            return False
    if not _equal_together(model, short, expected):
        return False
    expected = _logits(model, tokens, [length])
    for number in range(divisions):
        sizes = list(_division(generator, length, (8, 24, length)[number % 3]))
        if not np.array_equal(_logits(model, tokens, sizes), expected):
            return False
    return True


def _equal_together(model: _C.PagedModel, tokens: np.ndarray, expected: np.ndarray) -> bool:
    """Whether the next tokens of several beginnings of a text have the expected logits in common passes of one row."""
    ends = [end for end in ENDS if end + TOGETHER <= len(tokens)]
    if not ends:
        return True
    sequences = [_C.CachedSequence(model) for _ in ends]
    for sequence, end in zip(sequences, ends, strict=True):
        sequence.forward(tokens[:end].tolist())
    for step in range(TOGETHER):
        places = [end + step for end in ends]
        logits = _C.CachedSequence.forward_together(sequences, tokens[places].tolist())
        if not np.array_equal(logits[:, :: _step(model)], expected[places]):
            return False
    return True


def _division(generator: np.random.Generator, length: int, largest: int) -> Iterator[int]:
    while length > 0:
        size = min(length, int(generator.integers(1, largest + 1)))
        yield size
        length -= size


def _logits(model: _C.PagedModel, tokens: np.ndarray, sizes: list[int]) -> np.ndarray:
    """float32 `[tokens, columns]`."""
    sequence, step = _C.CachedSequence(model), _step(model)
    rows, begin = [], 0
    for size in sizes:
        rows.append(sequence.forward(tokens[begin : begin + size].tolist())[:, ::step].copy())
        begin += size
    return np.concatenate(rows)


def _step(model: _C.PagedModel) -> int:
    return max(1, model.vocab_size // COLUMNS)
