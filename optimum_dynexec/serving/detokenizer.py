"""Text of tokens that come one after the other."""

from collections.abc import Callable, Collection, Sequence


REPLACEMENT = "\ufffd"
# A character has at most 4 bytes, so at most 3 of them wait for another.
UNFINISHED = 3
# Tokens that are decoded once more with the next ones. Spaces can depend on the token before.
CONTEXT = 6
LONGEST = 32


class Detokenizer:
    """
    Gives the text of tokens as they come. The pieces together are the text of all tokens, and no piece ends within a
    character.

    Args:
        decode (`Callable[[list[int]], str]`): decodes token ids, all of them as text.
        left_out (`Collection[int]`, *optional*): tokens that have no text, such as those that end a sequence.
        before (`Sequence[int]`, *optional*): tokens of the text that these tokens continue.
    """

    def __init__(self, decode: Callable[[list[int]], str], left_out: Collection[int] = (), before: Sequence[int] = ()):
        self._decode = decode
        self._left_out = left_out
        self._window = [token for token in before[-CONTEXT:] if token not in left_out]
        text = decode(self._window) if self._window else ""
        self._given = len(text) - min(_open_end(text), UNFINISHED)  # characters of the window's text

    def add(self, token: int) -> str:
        """
        Adds a token.

        Args:
            token (`int`): token id.

        Returns:
            `str`: the text that is certain now; without a character that later tokens may complete.
        """
        if token in self._left_out:
            return ""
        self._window.append(token)
        text = self._decode(self._window)
        open_end = _open_end(text)
        certain = text[: len(text) - min(open_end, UNFINISHED)]
        piece, self._given = certain[self._given :], max(self._given, len(certain))
        if open_end == 0 and len(self._window) > LONGEST:
            self._window = self._window[-CONTEXT:]
            self._given = len(self._decode(self._window))
        return piece

    def finish(self) -> str:
        """Gives the rest of the text when no token comes any more."""
        text = self._decode(self._window) if self._window else ""
        piece, self._given = text[self._given :], len(text)
        return piece


def _open_end(text: str) -> int:
    """Characters at the end that later tokens may complete."""
    return len(text) - len(text.rstrip(REPLACEMENT))
