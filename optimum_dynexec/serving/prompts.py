"""From messages and texts to the tokens of a prompt."""

import asyncio
import copy
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import ApiError, invalid
from .requests import Message, Tool


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Result = TypeVar("Result")


class Prompts:
    """
    Makes prompts, in a thread of its own: a long text takes a while, and a tokenizer can do one thing at a time.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): tokenizer of the model. It is copied.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase"):
        self._tokenizer: Any = copy.deepcopy(tokenizer)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dynexec-prompts")

    def template(self, with_tools: bool) -> str:
        """
        The chat template of the model.

        Args:
            with_tools (`bool`): whether there are tools, for which some models have another template.

        Raises:
            [`ApiError`]: with status 400 if there is none.
        """
        try:
            return str(self._tokenizer.get_chat_template(None, [{}] if with_tools else None))
        except ValueError:
            raise invalid("This model has no chat template: use /v1/completions.", "messages") from None

    async def of_chat(self, messages: Sequence[Message], tools: Sequence[Tool] | None, opening: str = "") -> list[int]:
        """
        Makes the prompt of a chat.

        Args:
            messages (`Sequence[Message]`): the messages.
            tools (`Sequence[Tool]`, *optional*): tools that the model may call.
            opening (`str`, *optional*): text that the answer begins with.

        Raises:
            [`ApiError`]: with status 400 if the chat template does not accept them.
        """
        template = self.template(bool(tools))
        chat = [_message(message, "developer" in template) for message in messages]
        described = [tool.model_dump(exclude_none=True) for tool in tools] if tools else None

        def make() -> list[int]:
            try:
                text = self._tokenizer.apply_chat_template(
                    chat, tools=described, chat_template=template, add_generation_prompt=True, tokenize=False
                )
            except Exception as error:  # whatever the template, which is a program, cannot do with the messages
                raise invalid(f"The chat template does not accept the messages: {error}", "messages") from None
            return list(self._tokenizer(text + opening, add_special_tokens=False)["input_ids"])

        return await self.run(make)

    async def of_text(self, text: str) -> list[int]:
        """
        Makes the prompt of a text.

        Args:
            text (`str`): the text.
        """
        return await self.run(lambda: list(self._tokenizer(text)["input_ids"]))

    async def inputs_of(self, text: str, pair: str | None = None) -> dict[str, list[int]]:
        """
        Makes the inputs of an encoder.

        Args:
            text (`str`): the text.
            pair (`str`, *optional*): a second text, which is read together with it.

        Returns:
            `dict[str, list[int]]`: `input_ids`, and what else the tokenizer makes, without the attention mask.
        """

        def make() -> dict[str, list[int]]:
            made = self._tokenizer(text, pair, return_attention_mask=False)
            return {name: list(values) for name, values in made.items()}

        return await self.run(make)

    async def text_of(self, tokens: Sequence[int]) -> str:
        """
        Gives the text of a prompt.

        Args:
            tokens (`Sequence[int]`): tokens of the prompt.
        """
        return await self.run(lambda: str(self._tokenizer.decode(list(tokens), skip_special_tokens=True)))

    async def run(self, work: Callable[[], Result]) -> Result:
        """
        Runs something in this thread, so that other requests need not wait for it.

        Args:
            work (`Callable[[], Result]`): what to run.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def check_tokens(tokens: Sequence[int], vocab_size: int, param: str) -> None:
    """
    Checks the tokens of a prompt.

    Args:
        tokens (`Sequence[int]`): token ids.
        vocab_size (`int`): number of logits.
        param (`str`): the field with the prompt.

    Raises:
        [`ApiError`]: with status 400 if there is none, or one does not exist.
    """
    if not tokens:
        raise ApiError(400, f"`{param}` has no tokens: it must have at least one.", param=param)
    if max(tokens) >= vocab_size:
        raise invalid(f"`{param}` must have token ids from 0 to {vocab_size - 1}, got {max(tokens)}.", param)


def _message(message: Message, knows_developer: bool) -> dict[str, Any]:
    """A message as chat templates expect it: content is a string, arguments are an object."""
    fields = message.model_dump(exclude_none=True)
    if isinstance(message.content, list):
        fields["content"] = "\n".join(part.text for part in message.content)
    fields.setdefault("content", "")
    if message.role == "developer" and not knows_developer:
        fields["role"] = "system"
    for call in fields.get("tool_calls", ()):
        call["function"]["arguments"] = _object(call["function"]["arguments"])
    return fields


def _object(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
