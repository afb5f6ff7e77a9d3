"""Logits processors that know more about the next tokens than they say with logits, such as those of grammars."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class DraftGuide(Protocol):
    """
    A logits processor with these two methods makes speculation cheaper: its forced tokens are drafts that cost
    nothing, and draft tokens that it would exclude are not verified. It does not change what is generated.
    """

    def forced_tokens(self, input_ids: np.ndarray) -> list[int]:
        """
        Gives the tokens that it expects next, because it will exclude all others.

        Args:
            input_ids (`np.ndarray` of shape `(length,)`): tokens so far, with the prompt.

        Returns:
            `list[int]`: the tokens; none if several tokens may come next.
        """

    def count_allowed(self, input_ids: np.ndarray, draft: Sequence[int]) -> int:
        """
        Counts the first draft tokens that it would not exclude. It is called in the thread that runs the model, and
        has to be fast.

        Args:
            input_ids (`np.ndarray` of shape `(length,)`): tokens so far, with the prompt.
            draft (`Sequence[int]`): draft tokens.

        Returns:
            `int`: a number from 0 to `len(draft)`.
        """


class Guides:
    """
    The guides of one row.

    Args:
        processors (`Iterable`): logits processors of the row.
    """

    def __init__(self, processors: Iterable[Any]):
        self._guides = [processor for processor in processors if isinstance(processor, DraftGuide)]

    def __bool__(self) -> bool:
        return bool(self._guides)

    def forced_tokens(self, input_ids: np.ndarray) -> list[int]:
        """What the first guide that expects something expects."""
        return next(filter(None, (guide.forced_tokens(input_ids) for guide in self._guides)), [])

    def count_allowed(self, input_ids: np.ndarray, draft: Sequence[int]) -> int:
        """What no guide excludes."""
        return min(guide.count_allowed(input_ids, draft) for guide in self._guides)
