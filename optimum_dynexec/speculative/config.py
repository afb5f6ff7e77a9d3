"""From the arguments of `generate` to what the decode loop is asked to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..native import _C


SPECULATION_MODES = ("auto", "off", "prompt_lookup", "draft_model", "draft_head", "early_exit")
SCHEDULES = tuple(_C.lookahead_names())

# Longest draft that "auto" considers: one less than the longest forward pass that is timed at load.
AUTO_NUM_TOKENS = 31
# Longest draft that can be asked for.
MAX_NUM_TOKENS = 1024
# Match length at which a longer n-gram says no more about the next token.
AUTO_NGRAM_SIZE = 8
NO_EXIT_HEADS = (
    "exit heads, and the model has none: train them with `optimum-cli dynexec train-heads --layers ...` and load the"
    " model again"
)
# What csrc/kernels/ngram_index.h takes.
MAX_NGRAM_SIZE = 64


@dataclass(frozen=True)
class SpeculationConfig:
    """
    How one `generate` call speculates.

    Args:
        prompt_lookup (`bool`): propose what followed an earlier occurrence of the last tokens.
        draft_model (`bool`): propose what the assistant model writes.
        draft_head (`bool`): propose what the model's own draft head predicts.
        exit_layers (`tuple[int, ...]`): propose what the model's exit heads after these layers predict.
        schedule (`str`): who decides the draft length, one of [`SCHEDULES`].
        num_assistant_tokens (`int`): the draft length, or the longest one for `"auto"`.
        assistant_confidence_threshold (`float`): a draft of the assistant model or a head ends after a token less
            probable; with the schedule `"disco"`, one that is less probably accepted.
        max_matching_ngram_size (`int`): longest n-gram to look up.
    """

    prompt_lookup: bool = False
    draft_model: bool = False
    draft_head: bool = False
    exit_layers: tuple[int, ...] = ()
    schedule: str = "auto"
    num_assistant_tokens: int = AUTO_NUM_TOKENS
    assistant_confidence_threshold: float = 0.0
    max_matching_ngram_size: int = AUTO_NGRAM_SIZE

    @property
    def enabled(self) -> bool:
        """Whether anything is proposed at all."""
        return self.prompt_lookup or self.draft_model or self.draft_head or bool(self.exit_layers)

    @classmethod
    def resolve(
        cls,
        speculation: str | None,
        has_assistant: bool,
        given: dict[str, Any],
        has_draft_head: bool = False,
        exit_layers: Sequence[int] = (),
    ) -> "SpeculationConfig":
        """
        Reads transformers' arguments and ours.

        Args:
            speculation (`str`, *optional*):
                One of [`SPECULATION_MODES`]. Unset: what the other arguments ask for, as in transformers, or else
                `"auto"`.
            has_assistant (`bool`):
                Whether an `assistant_model` was given.
            given (`dict[str, Any]`):
                Those of transformers' arguments that the user set (not its defaults): `prompt_lookup_num_tokens`,
                `max_matching_ngram_size`, `num_assistant_tokens`, `num_assistant_tokens_schedule`,
                `assistant_confidence_threshold`, `assistant_early_exit`.
            has_draft_head (`bool`, *optional*, defaults to `False`):
                Whether the model was loaded with a draft head.
            exit_layers (`Sequence[int]`, *optional*, defaults to none):
                The layers after which the model was loaded with an exit head.

        Raises:
            `ValueError`: for a value that is not accepted, or arguments that contradict each other.
        """
        lookup_tokens = given.get("prompt_lookup_num_tokens")
        early_exit = given.get("assistant_early_exit")
        if speculation is None:
            if early_exit is not None:
                speculation = "early_exit"
            elif has_assistant:
                speculation = "draft_model"
            elif lookup_tokens is not None:
                speculation = "prompt_lookup"
            else:
                speculation = "auto"
        if speculation not in SPECULATION_MODES:
            raise ValueError(f"`speculation` must be one of {list(SPECULATION_MODES)}, got {speculation!r}")
        if speculation == "off":
            return cls()
        if speculation == "draft_model" and not has_assistant:
            raise ValueError("`speculation='draft_model'` needs an `assistant_model`")

        if speculation == "draft_head" and not has_draft_head:
            raise ValueError(
                "`speculation='draft_head'` needs a draft head, and the model has none: train one with"
                " `optimum-cli dynexec train-heads` and load the model again"
            )

        exits = tuple(exit_layers) if early_exit is None else (_exit_layer(early_exit, exit_layers),)
        if speculation == "early_exit" and not exits:
            raise ValueError(f"`speculation='early_exit'` needs {NO_EXIT_HEADS}")

        prompt_lookup = speculation in ("auto", "prompt_lookup") or lookup_tokens is not None
        draft_model = has_assistant and speculation in ("auto", "draft_model")
        draft_head = has_draft_head and speculation in ("auto", "draft_head")
        if speculation not in ("auto", "early_exit"):
            if early_exit is not None:
                raise ValueError(
                    f"`assistant_early_exit` was given with `speculation='{speculation}'`; use 'early_exit' or 'auto'"
                )
            exits = ()
        if has_assistant and not draft_model:
            raise ValueError(f"`assistant_model` was given with `speculation='{speculation}'`; use 'auto' for both")

        # transformers' fixed lengths where its arguments ask for a mode, measured ones in "auto". The modes of heads
        # are ours, so their length is fixed only if one is asked for.
        heads = speculation in ("draft_head", "early_exit") and early_exit is None
        measured = speculation == "auto" or (heads and given.get("num_assistant_tokens") is None)
        schedule = _choice("num_assistant_tokens_schedule", given, "auto" if measured else "constant")
        lengths = [given.get("num_assistant_tokens"), lookup_tokens]
        assistant = draft_model or early_exit is not None
        fixed = 20 if assistant else 10
        default_length = AUTO_NUM_TOKENS if schedule == "auto" else fixed
        drafts = draft_model or speculation in ("draft_head", "early_exit")
        length = next((n for n in (lengths if drafts else lengths[::-1]) if n is not None), default_length)
        threshold = given.get("assistant_confidence_threshold")
        if threshold is None:
            threshold = 0.4 if assistant or schedule == "disco" else 0.0
        if not isinstance(threshold, int | float) or not 0.0 <= threshold <= 1.0:
            raise ValueError(f"`assistant_confidence_threshold` must be between 0 and 1, got {threshold!r}")
        ngram_size = given.get("max_matching_ngram_size")
        if ngram_size is None:
            ngram_size = 2 if speculation == "prompt_lookup" and schedule != "auto" else AUTO_NGRAM_SIZE
        return cls(
            prompt_lookup=prompt_lookup,
            draft_model=draft_model,
            draft_head=draft_head,
            exit_layers=exits,
            schedule=schedule,
            num_assistant_tokens=_whole("num_assistant_tokens` / `prompt_lookup_num_tokens", length, MAX_NUM_TOKENS),
            assistant_confidence_threshold=float(threshold),
            max_matching_ngram_size=_whole("max_matching_ngram_size", ngram_size, MAX_NGRAM_SIZE),
        )


def _exit_layer(early_exit: Any, exit_layers: Sequence[int]) -> int:
    """transformers counts the layers that are run; ours is the last of them."""
    if not isinstance(early_exit, int) or isinstance(early_exit, bool) or early_exit < 1:
        raise ValueError(f"`assistant_early_exit` must be a whole number of layers from 1, got {early_exit!r}")
    if not exit_layers:
        raise ValueError(f"`assistant_early_exit` needs {NO_EXIT_HEADS}")
    if early_exit - 1 not in exit_layers:
        raise ValueError(
            f"`assistant_early_exit={early_exit}` drafts with the first {early_exit} layers, but the model has exit"
            f" heads after {[layer + 1 for layer in exit_layers]} layers: use one of these, or train another with"
            f" `optimum-cli dynexec train-heads --layers {early_exit - 1}`"
        )
    return early_exit - 1


def _choice(name: str, given: dict[str, Any], default: str) -> str:
    value = given.get(name)
    if value is None:
        return default
    if value not in SCHEDULES:
        raise ValueError(f"`{name}` must be one of {list(SCHEDULES)}, got {value!r}")
    return value


def _whole(name: str, value: Any, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= limit:
        raise ValueError(f"`{name}` must be a whole number from 1 to {limit}, got {value!r}")
    return value
