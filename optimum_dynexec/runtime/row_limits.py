"""
Finds the sizes of passes with which the bits of a token's logits do not depend on other rows.

OpenVINO's kernels compute each row for itself, but it chooses another kernel for a single row, for a single query row
of a sequence, and, on some processors, for many rows. Where they add in another order, the last bits differ, and the
quantization of activations can make the difference large. So the engine keeps passes within limits. Which limits are
enough depends on the processor, the version of OpenVINO and the sizes of the products, so they are proven for each
model, by comparing bits.
"""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..native import _C
from ..utils.remembered import recall, remember


logger = logging.getLogger(__name__)

# From the cheapest to the most expensive. AVX2 has another kernel from 81 rows on, and for products with thousands of
# inputs another one up to 4 rows.
CANDIDATES = (
    {"per_sequence": 2, "least": 2, "most": 512},
    {"per_sequence": 2, "least": 2, "most": 80},
    {"per_sequence": 2, "least": 5, "most": 512},
    {"per_sequence": 2, "least": 5, "most": 80},
    {"per_sequence": 2, "least": 8, "most": 64},
)
# The number of random ways to divide a sequence into passes that are compared.
DIVISIONS = 4
# The most columns of the logits that are compared.
COLUMNS = 4096
KIND = "row-limits"


class NotRowInvariantError(RuntimeError):
    """No limits make the logits of a model independent of other rows, bit for bit."""


def row_limits(model: _C.PagedModel, identity: Any = None, max_tokens: int | None = None) -> _C.RowLimits:
    """
    The limits with which the logits of a compiled model are row-invariant. They are remembered.

    Args:
        model (`_C.PagedModel`): compiled model. Its own limits are the last ones that were tried afterwards.
        identity (`Any`, *optional*):
            Everything that the result depends on, as values for JSON. If not set, nothing is remembered.
        max_tokens (`int`, *optional*): maximum number of tokens of a text, if the model has a table of positions.

    Raises:
        [`NotRowInvariantError`]: if there are no such limits on this machine.
    """
    known = None if identity is None else recall(KIND, identity)
    if known is None:
        known = find_row_limits(model, max_tokens)
        if identity is not None:
            remember(KIND, identity, known or {})
    if not known:
        raise NotRowInvariantError("the last bits of a token's logits depend on the number of tokens in a pass")
    return _C.RowLimits(**known)


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
        divisions (`int`, *optional*, defaults to 4): number of divisions.
        seed (`int`, *optional*, defaults to 0): seed of the tokens and divisions.
    """
    generator = np.random.default_rng(seed)
    tokens = generator.integers(0, model.vocab_size, length)
    # A short comparison finds most differences.
    short = tokens[: min(length, 128)]
    if not np.array_equal(_logits(model, short, [len(short)]), _logits(model, short, _halves(len(short)))):
        return False
    whole = _logits(model, tokens, [length])
    sizes = [1, 8, 24, length][:divisions] + [24] * (divisions - 4)
    for largest in sizes:
        # Single rows make as many passes as there are tokens, so that only some of them are run in this way.
        end = min(length, 32) if largest == 1 else length
        rows = _logits(model, tokens[:end], list(_division(generator, end, largest)))
        if not np.array_equal(rows, whole[:end]):
            return False
    return True


def _halves(length: int) -> list[int]:
    return [length - length // 2, length // 2] if length > 1 else [length]


def _division(generator: np.random.Generator, length: int, largest: int) -> Iterator[int]:
    while length > 0:
        size = min(length, int(generator.integers(1, largest + 1)))
        yield size
        length -= size


def _logits(model: _C.PagedModel, tokens: np.ndarray, sizes: list[int]) -> np.ndarray:
    """float32 `[tokens, columns]`."""
    sequence, step = _C.CachedSequence(model), max(1, model.vocab_size // COLUMNS)
    rows, begin = [], 0
    for size in sizes:
        rows.append(sequence.forward(tokens[begin : begin + size].tolist())[:, ::step].copy())
        begin += size
    return np.concatenate(rows)
