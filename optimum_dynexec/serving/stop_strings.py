"""Strings that end a text."""

from collections.abc import Sequence


class StopStrings:
    """
    Cuts a text that comes in pieces before the first of some strings. What may be the beginning of one is held back.

    Args:
        strings (`Sequence[str]`): the strings; none of them empty.
    """

    def __init__(self, strings: Sequence[str]):
        self._strings = tuple(strings)
        self._held = ""
        self.found = False

    def add(self, piece: str) -> str:
        """
        Adds a piece of text.

        Args:
            piece (`str`): the next text.

        Returns:
            `str`: the text that is certainly before a stop string. When one is complete, `found` is set, and all text
            before it has been given.
        """
        if self.found:
            return ""
        text = self._held + piece
        places = [place for place in (text.find(string) for string in self._strings) if place >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        held = held_back(text, self._strings)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """Gives what was held back, when no text comes any more."""
        text, self._held = self._held, ""
        return text


def held_back(text: str, strings: Sequence[str]) -> int:
    """
    The length of the longest end of a text that one of some strings begins with.

    Args:
        text (`str`): text so far.
        strings (`Sequence[str]`): strings that may be beginning.
    """
    longest = max((len(string) - 1 for string in strings), default=0)
    for length in range(min(longest, len(text)), 0, -1):
        end = text[len(text) - length :]
        if any(string.startswith(end) for string in strings):
            return length
    return 0
