"""Tool calls in the text of a model, in the forms that chat templates ask for."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from .errors import invalid


@dataclass(frozen=True)
class Call:
    """
    A tool call.

    Args:
        name (`str`): name of the function.
        arguments (`str`): its arguments, as JSON.
    """

    name: str
    arguments: str


class ToolParser(ABC):
    """
    One form of tool calls.

    `starts`, `ends`: what a call begins and ends with. `only_at_start`: whether only a text that begins with it is a
    call. `opening` and `opening_named`: what is put before the answer when a call is forced, up to the JSON of a call,
    or up to that of its arguments. `arguments`: the key of the arguments in the JSON.
    """

    starts: ClassVar[tuple[str, ...]]
    ends: ClassVar[tuple[str, ...]] = ()
    only_at_start: ClassVar[bool] = False
    opening: ClassVar[str] = ""
    arguments: ClassVar[str] = "arguments"

    @classmethod
    @abstractmethod
    def fits(cls, template: str) -> bool:
        """Whether a chat template asks for this form."""

    @abstractmethod
    def parse(self, text: str) -> list[Call]:
        """
        Reads the calls of a text that begins with one of `starts`.

        Returns:
            `list[Call]`: the calls; empty if the text has another form after all.
        """

    def opening_named(self, name: str) -> str:
        """What is put before the arguments when a call of a function is forced."""
        return f'{self.opening}{{"name": {json.dumps(name)}, "{self.arguments}": '


class HermesParser(ToolParser):
    """`<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, once for each call: Hermes, Qwen 2.5, Qwen 3."""

    starts = ("<tool_call>",)
    ends = ("</tool_call>",)
    opening = "<tool_call>\n"

    @classmethod
    def fits(cls, template: str) -> bool:
        # Qwen3-Coder has XML in the same tags.
        return "<tool_call>" in template and "arguments" in template and "<function=" not in template

    def parse(self, text: str) -> list[Call]:
        blocks = [block.partition("</tool_call>")[0] for block in text.split("<tool_call>")[1:]]
        calls = [call for block in blocks for call in _calls(block)]
        return calls if len(calls) == len(blocks) else []


class MistralParser(ToolParser):
    """`[TOOL_CALLS][{"name": ..., "arguments": {...}}, ...]`: Mistral."""

    starts = ("[TOOL_CALLS]",)
    opening = "[TOOL_CALLS][ "

    @classmethod
    def fits(cls, template: str) -> bool:
        return "[TOOL_CALLS]" in template

    def parse(self, text: str) -> list[Call]:
        return list(_calls(text.partition("[TOOL_CALLS]")[2]))


class LlamaParser(ToolParser):
    """`{"name": ..., "parameters": {...}}` as the whole answer: Llama 3.1, 3.2 and 3.3."""

    starts = ("<|python_tag|>", "{")
    only_at_start = True
    arguments = "parameters"

    @classmethod
    def fits(cls, template: str) -> bool:
        return '"parameters"' in template and '"name"' in template

    def parse(self, text: str) -> list[Call]:
        calls = list(_calls(text.strip().removeprefix("<|python_tag|>").replace("}; {", "}, {")))
        return calls if text.strip().startswith(self.starts) else []


PARSERS: tuple[type[ToolParser], ...] = (MistralParser, HermesParser, LlamaParser)


def parser_for(template: str) -> ToolParser:
    """
    The parser of the form that a chat template asks for.

    Args:
        template (`str`): chat template, in Jinja.

    Raises:
        [`ApiError`]: with status 400 if the form is none of those that are known.
    """
    if "tools" in template:
        for kind in PARSERS:
            if kind.fits(template):
                return kind()
    raise invalid(
        "`tools` cannot be used with this model: its chat template does not describe tool calls in the form of Hermes,"
        " Mistral or Llama 3. Leave out `tools`.",
        "tools",
    )


def _calls(text: str) -> Iterator[Call]:
    """The calls in JSON: one object, several after each other, or a list. None if something is not JSON."""
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        try:
            value, end = decoder.raw_decode(text)
        except (ValueError, RecursionError):
            return
        values = value if isinstance(value, list) else [value]
        calls = [_call(one) for one in values]
        if None in calls:
            return
        found += calls
        text = text[end:].lstrip(" \n\t,;")
    yield from (call for call in found if call is not None)


def _call(value: Any) -> Call | None:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments: Any = next((value[key] for key in ("arguments", "parameters") if key in value), {})
    if isinstance(arguments, str):
        return Call(value["name"], arguments)
    if not isinstance(arguments, dict):
        return None
    return Call(value["name"], json.dumps(arguments, ensure_ascii=False))
