"""Tool calls are found in the texts of models, in each form, whole and in pieces."""

import json

import pytest

from optimum_dynexec.serving.errors import ApiError
from optimum_dynexec.serving.tool_parsers import Call, HermesParser, LlamaParser, MistralParser, parser_for
from optimum_dynexec.serving.tool_stream import ToolStream


HERMES = 'tools {"name": <function-name>, "arguments": <args>} within <tool_call></tool_call>'
MISTRAL = '{% if tools %}[AVAILABLE_TOOLS]{% endif %}[TOOL_CALLS] "arguments"'
LLAMA = 'tools Respond in the format {"name": function name, "parameters": dictionary}. <|python_tag|>'
WEATHER = Call("weather", '{"city": "Bern"}')
TIME = Call("time", "{}")

TEXTS = {
    "hermes": (HERMES, '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>', "", [WEATHER]),
    "hermes, text before": (
        HERMES,
        'Let me see. <tool_call>{"name": "weather", "arguments": {"city": "Bern"}}</tool_call>',
        "Let me see. ",
        [WEATHER],
    ),
    "hermes, two": (
        HERMES,
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>',
        "",
        [WEATHER, TIME],
    ),
    "hermes, end missing": (
        HERMES,
        '<tool_call>{"name": "weather", "arguments": {"city": "Bern"}}',
        "",
        [WEATHER],
    ),
    "hermes, broken": (HERMES, '<tool_call>{"name": "wea', '<tool_call>{"name": "wea', []),
    "hermes, no call": (HERMES, "1 < 2 and <tool", "1 < 2 and <tool", []),
    "mistral": (MISTRAL, '[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Bern"}}]', "", [WEATHER]),
    "mistral, two": (
        MISTRAL,
        '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Bern"}}, {"name": "time", "arguments": {}}]',
        "",
        [WEATHER, TIME],
    ),
    "llama": (LLAMA, '{"name": "weather", "parameters": {"city": "Bern"}}', "", [WEATHER]),
    "llama, tag": (LLAMA, '<|python_tag|>{"name": "weather", "parameters": {"city": "Bern"}}', "", [WEATHER]),
    "llama, two": (
        LLAMA,
        '{"name": "weather", "parameters": {"city": "Bern"}}; {"name": "time", "parameters": {}}',
        "",
        [WEATHER, TIME],
    ),
    "llama, a text with JSON": (LLAMA, 'A set is {1, 2}, not {"name": 1}.', 'A set is {1, 2}, not {"name": 1}.', []),
    "llama, JSON that is no call": (LLAMA, '{"answer": 4}', '{"answer": 4}', []),
    "llama, arguments as a string": (
        LLAMA,
        '{"name": "weather", "parameters": "{\\"city\\": \\"Bern\\"}"}',
        "",
        [WEATHER],
    ),
}


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("name", TEXTS)
def test_calls_are_found_in_pieces_of_any_size(name, size):
    template, text, content, calls = TEXTS[name]
    stream = ToolStream(parser_for(template))
    before = "".join(stream.add(text[i : i + size]) for i in range(0, len(text), size))
    rest, found = stream.finish()
    assert (before + rest, found) == (content, calls)


def test_text_before_a_call_is_not_kept():
    stream = ToolStream(HermesParser())
    assert stream.add("Let me see. <tool") == "Let me see. "
    assert stream.add("s are") == "<tools are"


@pytest.mark.parametrize(
    ("template", "kind"), [(HERMES, HermesParser), (MISTRAL, MistralParser), (LLAMA, LlamaParser)]
)
def test_the_chat_template_decides(template, kind):
    assert type(parser_for(template)) is kind


@pytest.mark.parametrize("template", ["{{ messages }}", "tools <tool_call><function=name></tool_call> arguments"])
def test_other_templates_are_refused(template):
    with pytest.raises(ApiError, match="does not describe tool calls") as caught:
        parser_for(template)
    assert caught.value.status == 400


@pytest.mark.parametrize("parser", [HermesParser(), MistralParser(), LlamaParser()])
def test_an_opening_with_arguments_is_a_call(parser):
    """What is put before a forced answer, and the answer, are a call in the model's own form."""
    text = parser.opening_named("weather") + '{"city": "Bern"}}' + ("]" if "][" in parser.opening else "")
    assert parser.parse(text) == [WEATHER]
    assert json.loads(WEATHER.arguments) == {"city": "Bern"}
