"""The two kinds of requests that generate: what each generates, and how it is answered."""

from collections.abc import Callable, Sequence

from llguidance import LLMatcher

from .answers import Answer
from .chat_answer import ChatAnswer
from .choice import Choice
from .completion_answer import CompletionAnswer
from .forced_calls import ForcedCall, forced_call
from .requests import ChatRequest, CompletionRequest, NamedTool
from .service import Service, Task
from .tool_parsers import ToolParser, parser_for


# What OpenAI's API generates for a completion that does not say how much.
COMPLETION_TOKENS = 16

# Makes the answer of the choices.
MakeAnswer = Callable[[Sequence[Choice]], Answer]


async def chat_task(service: Service, request: ChatRequest, tenant: str) -> tuple[Task, MakeAnswer]:
    """
    Reads a chat.

    Args:
        service ([`Service`]): what all requests share.
        request ([`~serving.requests.ChatRequest`]): request.
        tenant (`str`): name of the API key.

    Raises:
        [`ApiError`]: if it cannot be answered.
    """
    service.check_model(request.model)
    parser: ToolParser | None = None
    forced: ForcedCall | None = None
    tools = request.tools if request.tool_choice != "none" else None
    if tools:
        parser = parser_for(service.prompts.template(with_tools=True))
        if request.tool_choice == "required":
            forced = forced_call(parser, tools, None)
        elif isinstance(request.tool_choice, NamedTool):
            forced = forced_call(parser, tools, request.tool_choice.function.name)
    prompt = await service.prompts.of_chat(request.messages, tools, forced.opening if forced else "")
    texts = None
    if request.logprobs:
        texts = await service.prompts.run(lambda: service.token_texts)
    task = Task(
        request,
        [prompt],
        "messages",
        request.max_completion_tokens or request.max_tokens,
        tenant,
        (request.top_logprobs or 0) if request.logprobs else None,
        await service.prompts.run(lambda: _grammar(service, request, forced)),
        service.special_tokens([*parser.starts, *parser.ends]) if parser is not None else frozenset(),
    )

    def answer(choices: Sequence[Choice]) -> Answer:
        several = request.parallel_tool_calls is not False
        return ChatAnswer(service.name, choices, request.include_usage, parser, forced, texts, several)

    return task, answer


async def completion_task(service: Service, request: CompletionRequest, tenant: str) -> tuple[Task, MakeAnswer]:
    """
    Reads a completion.

    Args:
        service ([`Service`]): what all requests share.
        request ([`~serving.requests.CompletionRequest`]): request.
        tenant (`str`): name of the API key.

    Raises:
        [`ApiError`]: if it cannot be answered.
    """
    service.check_model(request.model)
    given = request.prompt
    prompts: list[list[int]] = []
    for one in [given] if isinstance(given, str) or isinstance(given[0], int) else given:
        prompts.append(await service.prompts.of_text(one) if isinstance(one, str) else list(one))
    task = Task(
        request,
        prompts,
        "prompt",
        request.max_tokens,
        tenant,
        logprobs=request.logprobs,
        continues=True,
        default_tokens=COMPLETION_TOKENS,
    )
    count = request.n or 1
    echoes = [await service.prompts.text_of(prompt) if request.echo else "" for prompt in prompts]
    texts = None
    if request.logprobs is not None:
        texts = await service.prompts.run(lambda: service.token_texts)

    def answer(choices: Sequence[Choice]) -> Answer:
        repeated = [echo for echo in echoes for _ in range(count)]
        return CompletionAnswer(service.name, choices, request.include_usage, repeated, texts)

    return task, answer


def _grammar(service: Service, request: ChatRequest, forced: ForcedCall | None) -> LLMatcher | None:
    if forced is not None:
        return service.grammars.of_schema(forced.schema, "tools")
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return None
    schema = {"type": "object"} if wanted.json_schema is None else wanted.json_schema.schema_
    return service.grammars.of_schema(schema, "response_format")
