"""`tool_choice` that forces a call: what is put before the answer, and the grammar of the answer."""

import json
from dataclasses import dataclass
from typing import Any

from .errors import invalid
from .requests import Tool
from .tool_parsers import Call, ToolParser


@dataclass(frozen=True)
class ForcedCall:
    """
    A tool call that the model must make. The answer is only JSON, so that it fits a grammar.

    Args:
        opening (`str`): what is put after the prompt, so that the model is within a call already.
        schema (`dict[str, Any]`): JSON schema of the answer.
        name (`str`, *optional*): function to call. If not set, the answer names it.
        arguments_key (`str`): key of the arguments in the answer, if it names the function.
    """

    opening: str
    schema: dict[str, Any]
    name: str | None
    arguments_key: str

    def parse(self, text: str) -> list[Call]:
        """Reads the answer; no call if it is not complete."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return []
        if self.name is not None:
            return [Call(self.name, text.strip())]
        return [Call(value["name"], json.dumps(value[self.arguments_key], ensure_ascii=False))]


def forced_call(parser: ToolParser, tools: list[Tool], name: str | None) -> ForcedCall:
    """
    Makes a forced call.

    Args:
        parser ([`ToolParser`]): form of the calls.
        tools (`list[Tool]`): the tools of the request.
        name (`str`, *optional*): function to call. If not set: any of them.

    Raises:
        [`ApiError`]: with status 400 if there is no function of that name.
    """
    functions = {tool.function.name: tool.function for tool in tools}
    if name is None and len(functions) == 1:
        (name,) = functions
    if name is not None:
        if name not in functions:
            raise invalid(
                f"`tool_choice` names the function {name!r}, but `tools` has {sorted(functions)}.", "tool_choice"
            )
        return ForcedCall(parser.opening_named(name), _parameters(functions[name].parameters), name, parser.arguments)
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, parser.arguments: _parameters(function.parameters)},
            "required": ["name", parser.arguments],
            "additionalProperties": False,
        }
        for name, function in functions.items()
    ]
    # A schema with definitions of its own refers to them from its root.
    if any("$defs" in (function.parameters or {}) for function in functions.values()):
        raise invalid("`tool_choice: 'required'` with `$defs` in `tools` needs a single tool.", "tool_choice")
    return ForcedCall(parser.opening, {"anyOf": calls}, None, parser.arguments)


def _parameters(schema: dict[str, Any] | None) -> dict[str, Any]:
    return schema if schema is not None else {"type": "object"}
