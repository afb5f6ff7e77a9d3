"""Generates for the rows of a data set of Ray Data."""

import contextlib
from collections.abc import Mapping
from typing import Any


class DynExecPredictor:
    """
    A class for `ray.data.Dataset.map_batches`. The rows of a batch are generated together. Adds the columns
    `generated_text`, `finish_reason`, `prompt_tokens`, `generated_tokens`, `forward_passes`, `drafted_tokens` and
    `accepted_tokens`.

    Args:
        directory (`str`): directory of an exported model, on every machine.
        max_new_tokens (`int`, *optional*, defaults to 128): maximum number of new tokens of a row.
        precision (`str`, *optional*): precision of the model, see [`DynExecModelForCausalLM.from_pretrained`].
        kwargs (*optional*):
            Further arguments of [`~DynExecModelForCausalLM.generate`]. Decoding is greedy unless `do_sample` is set.
    """

    def __init__(self, directory: str, max_new_tokens: int = 128, precision: str | None = None, **kwargs: Any):
        from transformers import AutoTokenizer

        from ...modeling import DynExecModelForCausalLM

        self._arguments = {"do_sample": False, "max_new_tokens": max_new_tokens, **kwargs}
        self._tokenizer = AutoTokenizer.from_pretrained(directory)
        model = DynExecModelForCausalLM.from_pretrained(directory, precision=precision, prefix_cache=True)
        self._stack = contextlib.ExitStack()
        self._manager = self._stack.enter_context(model.continuous_batching_context_manager(timeout=10.0))

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """
        Generates for a batch.

        Args:
            batch (`Mapping[str, Any]`):
                Columns, with `prompt` (texts), or else `messages` (chats, which need a chat template).

        Returns:
            `dict[str, Any]`: these columns, and those that are added.

        Raises:
            `ValueError`: if there is neither column.
            `RuntimeError`: if a row cannot be generated for.
        """
        names = [self._manager.add_request(tokens, **self._arguments) for tokens in self._prompts(batch)]
        outputs = [self._result(name) for name in names]
        statistics = [output.dynexec for output in outputs]
        decode = self._tokenizer.decode
        return {
            **batch,
            "generated_text": [decode(output.generated_tokens, skip_special_tokens=True) for output in outputs],
            "finish_reason": [output.finish_reason for output in outputs],
            "prompt_tokens": [len(output.prompt_ids) for output in outputs],
            "generated_tokens": [len(output.generated_tokens) for output in outputs],
            "forward_passes": [stats.target_forwards for stats in statistics],
            "drafted_tokens": [stats.proposed for stats in statistics],
            "accepted_tokens": [stats.accepted for stats in statistics],
        }

    def _result(self, name: str) -> Any:
        output = self._manager.get_result(name)
        if output is None:
            raise RuntimeError("no text was generated: the engine has stopped")
        if output.error is not None:
            raise RuntimeError(f"no text was generated: {output.error}")
        return output

    def close(self) -> None:
        """Ends the thread that delivers results."""
        self._stack.close()

    def _prompts(self, batch: Mapping[str, Any]) -> list[list[int]]:
        if "prompt" in batch:
            return [list(self._tokenizer(str(text))["input_ids"]) for text in batch["prompt"]]
        if "messages" not in batch:
            raise ValueError(f"the data must have a column `prompt` or `messages`, got {sorted(batch)}")
        texts = [
            self._tokenizer.apply_chat_template(
                [dict(message) for message in chat], add_generation_prompt=True, tokenize=False
            )
            for chat in batch["messages"]
        ]
        return [list(self._tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
