"""Reads the arguments of `generate` that configure the decode loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..native import _C
from ..utils.numbers import finite_number, whole_number
from .arguments import SpeculationArguments


# What decides the draft length; transformers calls it `num_assistant_tokens_schedule`.
LOOKAHEADS = tuple(_C.lookahead_names())

# Longest draft that "auto" considers: one less than the number of rows in the longest forward pass that is timed at
# load.
AUTO_NUM_TOKENS = 31
# Longest draft that can be asked for.
MAX_NUM_TOKENS = 1024
# transformers' draft lengths and threshold for prompt lookup and for assistant models.
LOOKUP_NUM_TOKENS = 10
ASSISTANT_NUM_TOKENS = 20
ASSISTANT_THRESHOLD = 0.4
# transformers' longest n-gram, and the length from which a longer match gives no more information about the next
# token.
LOOKUP_NGRAM_SIZE = 2
AUTO_NGRAM_SIZE = 8
# Limit of csrc/kernels/ngram_index.h.
MAX_NGRAM_SIZE = 64
NO_EXIT_HEADS = (
    "exit heads, and the model has none: train them with `optimum-cli dynexec train-heads --layers ...` and load the"
    " model again"
)


@dataclass(frozen=True)
class SpeculationConfig:
    """
    How one `generate` call speculates.

    Args:
        prompt_lookup (`bool`): propose what followed an earlier occurrence of the last tokens.
        draft_model (`bool`): propose what the assistant model writes.
        draft_head (`bool`): propose what the model's own draft head predicts.
        exit_layers (`tuple[int, ...]`): propose what the model's exit heads after these layers predict.
        lookahead (`str`): what decides the draft length, one of [`LOOKAHEADS`].
        num_assistant_tokens (`int`): the draft length, or the longest one for `"auto"`.
        assistant_confidence_threshold (`float`): a draft of the assistant model or a head ends after a token less
            probable; with the lookahead `"disco"`, one that is less probably accepted.
        max_matching_ngram_size (`int`): longest n-gram to look up.
    """

    prompt_lookup: bool = False
    draft_model: bool = False
    draft_head: bool = False
    exit_layers: tuple[int, ...] = ()
    lookahead: str = "auto"
    num_assistant_tokens: int = AUTO_NUM_TOKENS
    assistant_confidence_threshold: float = 0.0
    max_matching_ngram_size: int = AUTO_NGRAM_SIZE

    @property
    def enabled(self) -> bool:
        """Whether anything is proposed at all."""
        return self.prompt_lookup or self.draft_model or self.draft_head or bool(self.exit_layers)

    @classmethod
    def resolve(
        cls, arguments: SpeculationArguments, has_draft_head: bool = False, exit_layers: Sequence[int] = ()
    ) -> SpeculationConfig:
        """
        Decides what a call does.

        Args:
            arguments ([`SpeculationArguments`]):
                What it says.
            has_draft_head (`bool`, *optional*, defaults to `False`):
                Whether the model was loaded with a draft head.
            exit_layers (`Sequence[int]`, *optional*, defaults to none):
                The layers after which the model was loaded with an exit head.

        Raises:
            `ValueError`: for a value that is not accepted, or arguments that contradict each other.
        """
        mode = arguments.mode
        if mode == "off":
            return cls()
        sources = _sources(mode, arguments, has_draft_head, exit_layers)
        lookahead, num_tokens = _length(mode, arguments, sources)
        return replace(
            sources,
            lookahead=lookahead,
            num_assistant_tokens=num_tokens,
            assistant_confidence_threshold=_threshold(arguments, sources, lookahead),
            max_matching_ngram_size=_ngram_size(mode, arguments, lookahead),
        )


def _sources(
    mode: str, arguments: SpeculationArguments, has_draft_head: bool, exit_layers: Sequence[int]
) -> SpeculationConfig:
    """Who proposes: in `"auto"` all there are, else the one of the mode, with prompt lookup where it is asked for."""
    exits = tuple(exit_layers)
    if arguments.assistant_early_exit is not None:
        exits = (_exit_layer(arguments.assistant_early_exit, exit_layers),)
        if mode not in ("auto", "exit_heads"):
            raise ValueError(
                f"`assistant_early_exit` was given with `speculation='{mode}'`; use 'exit_heads' or 'auto'"
            )
    if arguments.has_assistant and mode not in ("auto", "draft_model"):
        raise ValueError(f"`assistant_model` was given with `speculation='{mode}'`; use 'auto' for both")
    if mode == "draft_model" and not arguments.has_assistant:
        raise ValueError("`speculation='draft_model'` needs an `assistant_model`")
    if mode == "draft_head" and not has_draft_head:
        raise ValueError(
            "`speculation='draft_head'` needs a draft head, and the model has none: train one with"
            " `optimum-cli dynexec train-heads` and load the model again"
        )
    if mode == "exit_heads" and not exits:
        raise ValueError(f"`speculation='exit_heads'` needs {NO_EXIT_HEADS}")
    return SpeculationConfig(
        prompt_lookup=mode in ("auto", "prompt_lookup") or arguments.prompt_lookup_num_tokens is not None,
        draft_model=arguments.has_assistant,
        draft_head=has_draft_head and mode in ("auto", "draft_head"),
        exit_layers=exits if mode in ("auto", "exit_heads") else (),
    )


def _length(mode: str, arguments: SpeculationArguments, sources: SpeculationConfig) -> tuple[str, int]:
    """
    What decides the draft length, and the length or the longest one: transformers' fixed lengths where its arguments
    ask for a mode, measured ones in `"auto"`. The modes of heads are ours, so their length is fixed only if one is
    asked for.
    """
    asked, lookup = arguments.num_assistant_tokens, arguments.prompt_lookup_num_tokens
    heads = mode in ("draft_head", "exit_heads")
    measured = mode == "auto" or (heads and asked is None and arguments.assistant_early_exit is None)
    lookahead = arguments.num_assistant_tokens_schedule
    if lookahead is None:
        lookahead = "auto" if measured else "constant"
    if lookahead not in LOOKAHEADS:
        raise ValueError(f"`num_assistant_tokens_schedule` must be one of {list(LOOKAHEADS)}, got {lookahead!r}")
    default = ASSISTANT_NUM_TOKENS if _has_assistant(arguments, sources) else LOOKUP_NUM_TOKENS
    if lookahead == "auto":
        default = AUTO_NUM_TOKENS
    # Where prompt lookup is all there is or one of all, its own argument counts first.
    first, second = (asked, lookup) if heads or sources.draft_model else (lookup, asked)
    length = first if first is not None else second if second is not None else default
    return lookahead, whole_number("num_assistant_tokens` / `prompt_lookup_num_tokens", length, 1, MAX_NUM_TOKENS)


def _threshold(arguments: SpeculationArguments, sources: SpeculationConfig, lookahead: str) -> float:
    """How sure a draft must be to go on."""
    asked = arguments.assistant_confidence_threshold
    if asked is not None:
        return finite_number("assistant_confidence_threshold", asked, 0, 1)
    return ASSISTANT_THRESHOLD if _has_assistant(arguments, sources) or lookahead == "disco" else 0.0


def _ngram_size(mode: str, arguments: SpeculationArguments, lookahead: str) -> int:
    asked = arguments.max_matching_ngram_size
    if asked is not None:
        return whole_number("max_matching_ngram_size", asked, 1, MAX_NGRAM_SIZE)
    return LOOKUP_NGRAM_SIZE if mode == "prompt_lookup" and lookahead != "auto" else AUTO_NGRAM_SIZE


def _has_assistant(arguments: SpeculationArguments, sources: SpeculationConfig) -> bool:
    """Whether something drafts that transformers calls an assistant, for which it has defaults."""
    return sources.draft_model or arguments.assistant_early_exit is not None


def _exit_layer(early_exit: int, exit_layers: Sequence[int]) -> int:
    """transformers counts the layers that are run; ours is the last of them."""
    early_exit = whole_number("assistant_early_exit", early_exit, 1)
    if not exit_layers:
        raise ValueError(f"`assistant_early_exit` needs {NO_EXIT_HEADS}")
    if early_exit - 1 not in exit_layers:
        raise ValueError(
            f"`assistant_early_exit={early_exit}` drafts with the first {early_exit} layers, but the model has exit"
            f" heads after {[layer + 1 for layer in exit_layers]} layers: use one of these, or train another with"
            f" `optimum-cli dynexec train-heads --layers {early_exit - 1}`"
        )
    return early_exit - 1
