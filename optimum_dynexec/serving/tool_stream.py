"""Separates the tool calls from the rest of a text that comes in pieces."""

from .stop_strings import held_back
from .tool_parsers import Call, ToolParser


class ToolStream:
    """
    Gives the text before the first tool call at once, and keeps the rest until the text is complete.

    Args:
        parser ([`ToolParser`]): form of the calls.
    """

    def __init__(self, parser: ToolParser):
        self._parser = parser
        self._held = ""
        self._in_calls = self._over = False

    def add(self, piece: str) -> str:
        """
        Adds a piece of text.

        Returns:
            `str`: the text that is certainly no part of a call.
        """
        if self._over:
            return piece
        self._held += piece
        if self._in_calls:
            return ""
        return self._before_a_call() if not self._parser.only_at_start else self._unless_it_starts()

    def finish(self) -> tuple[str, list[Call]]:
        """
        Ends the text.

        Returns:
            `tuple[str, list[Call]]`: the rest of the text, and the calls.
        """
        text, self._held = self._held, ""
        calls = self._parser.parse(text) if self._in_calls else []
        return ("", calls) if calls else (text, [])

    def _before_a_call(self) -> str:
        places = [place for place in map(self._held.find, self._parser.starts) if place >= 0]
        self._in_calls = bool(places)
        end = min(places) if places else len(self._held) - held_back(self._held, self._parser.starts)
        text, self._held = self._held[:end], self._held[end:]
        return text

    def _unless_it_starts(self) -> str:
        begun = self._held.lstrip()
        self._in_calls = begun.startswith(self._parser.starts)
        if self._in_calls or any(start.startswith(begun) for start in self._parser.starts):
            return ""
        self._over, text, self._held = True, self._held, ""
        return text
