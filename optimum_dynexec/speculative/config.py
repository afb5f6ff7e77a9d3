"""From the arguments of `generate` to what the decode loop is asked to do."""

from dataclasses import dataclass
from typing import Any

from ..runtime import _C


# "early_exit" joins with trained exit heads.
SPECULATION_MODES = ("auto", "off", "prompt_lookup", "draft_model", "draft_head")
SCHEDULES = tuple(_C.lookahead_names())

# Longest draft that "auto" considers: one less than the longest forward pass that is timed at load.
AUTO_NUM_TOKENS = 31
# Longest draft that can be asked for.
MAX_NUM_TOKENS = 1024
# Match length at which a longer n-gram says no more about the next token.
AUTO_NGRAM_SIZE = 8
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
        schedule (`str`): who decides the draft length, one of [`SCHEDULES`].
        num_assistant_tokens (`int`): the draft length, or the longest one for `"auto"`.
        assistant_confidence_threshold (`float`): a draft of the assistant model or the draft head ends after a token
            less probable.
        max_matching_ngram_size (`int`): longest n-gram to look up.
    """

    prompt_lookup: bool = False
    draft_model: bool = False
    draft_head: bool = False
    schedule: str = "auto"
    num_assistant_tokens: int = AUTO_NUM_TOKENS
    assistant_confidence_threshold: float = 0.0
    max_matching_ngram_size: int = AUTO_NGRAM_SIZE

    @property
    def enabled(self) -> bool:
        """Whether anything is proposed at all."""
        return self.prompt_lookup or self.draft_model or self.draft_head

    @classmethod
    def resolve(
        cls, speculation: str | None, has_assistant: bool, given: dict[str, Any], has_draft_head: bool = False
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
                `assistant_confidence_threshold`.
            has_draft_head (`bool`, *optional*, defaults to `False`):
                Whether the model was loaded with a draft head.

        Raises:
            `ValueError`: for a value that is not accepted, or arguments that contradict each other.
        """
        lookup_tokens = given.get("prompt_lookup_num_tokens")
        if speculation is None:
            if has_assistant:
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

        prompt_lookup = speculation in ("auto", "prompt_lookup") or lookup_tokens is not None
        draft_model = has_assistant and speculation in ("auto", "draft_model")
        draft_head = has_draft_head and speculation in ("auto", "draft_head")
        if has_assistant and not draft_model:
            raise ValueError(f"`assistant_model` was given with `speculation='{speculation}'`; use 'auto' for both")

        # transformers' fixed lengths where its arguments ask for a mode, measured ones in "auto". The draft head is
        # ours, so its length is fixed only if one is asked for.
        measured = speculation == "auto" or (speculation == "draft_head" and given.get("num_assistant_tokens") is None)
        schedule = _choice("num_assistant_tokens_schedule", given, "auto" if measured else "constant")
        lengths = [given.get("num_assistant_tokens"), lookup_tokens]
        fixed = 20 if draft_model else 10
        default_length = AUTO_NUM_TOKENS if schedule == "auto" else fixed
        drafts = draft_model or speculation == "draft_head"
        length = next((n for n in (lengths if drafts else lengths[::-1]) if n is not None), default_length)
        threshold = given.get("assistant_confidence_threshold")
        if threshold is None:
            threshold = 0.4 if draft_model else 0.0
        if not isinstance(threshold, int | float) or not 0.0 <= threshold <= 1.0:
            raise ValueError(f"`assistant_confidence_threshold` must be between 0 and 1, got {threshold!r}")
        ngram_size = given.get("max_matching_ngram_size")
        if ngram_size is None:
            ngram_size = 2 if speculation == "prompt_lookup" and schedule != "auto" else AUTO_NGRAM_SIZE
        return cls(
            prompt_lookup=prompt_lookup,
            draft_model=draft_model,
            draft_head=draft_head,
            schedule=schedule,
            num_assistant_tokens=_whole("num_assistant_tokens` / `prompt_lookup_num_tokens", length, MAX_NUM_TOKENS),
            assistant_confidence_threshold=float(threshold),
            max_matching_ngram_size=_whole("max_matching_ngram_size", ngram_size, MAX_NGRAM_SIZE),
        )


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
