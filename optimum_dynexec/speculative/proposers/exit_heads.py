"""Proposes what the model's first layers and the exit head after them predict (LayerSkip, arXiv 2404.16710)."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...native import _C
from ...utils.numbers import whole_number
from .base import DraftParts, Proposer, Request


NO_EXIT_HEADS = (
    "exit heads, and the model has none: train them with `optimum-cli dynexec train-heads --layers ..."
    " --no-draft-head` and load the model again"
)


@dataclass(frozen=True)
class ExitHeads(Proposer):
    """
    The exit head after one layer.

    Args:
        layer (`int`): layer after which the head drafts.
    """

    name = "exit_heads"

    layer: int

    @classmethod
    def requested(cls, request: Request) -> Sequence["ExitHeads"]:
        """
        Uses the exit heads in their own mode and in `"auto"`: the one that the call names, or all if the lookahead
        chooses between them, or else the first.
        """
        layers, early_exit = request.exit_layers, request.arguments.assistant_early_exit
        if request.lookahead != "auto":
            layers = layers[:1]
        if early_exit is not None:
            layers = [_exit_layer(early_exit, request.exit_layers)]
            if request.mode not in ("auto", cls.name):
                raise ValueError(
                    f"`assistant_early_exit` was given with `speculation={request.mode!r}`; use 'exit_heads' or 'auto'"
                )
        if request.mode == cls.name and not layers:
            raise ValueError(f"`speculation='exit_heads'` needs {NO_EXIT_HEADS}")
        return tuple(map(cls, layers)) if request.mode in ("auto", cls.name) else ()

    def params(self, parts: DraftParts) -> _C.ProposerParams:
        """The parameters for the engine."""
        return _C.ProposerParams(
            self.name,
            head=parts.exit_heads[self.layer],
            segment=parts.segments[self.layer],
            memory=f"{self.name}/{self.layer}",
        )


def _exit_layer(early_exit: int, exit_layers: Sequence[int]) -> int:
    """transformers counts the layers that are run; ours is the last of them."""
    early_exit = whole_number("assistant_early_exit", early_exit, 1)
    if not exit_layers:
        raise ValueError(f"`assistant_early_exit` needs {NO_EXIT_HEADS}")
    if early_exit - 1 not in exit_layers:
        raise ValueError(
            f"`assistant_early_exit={early_exit}` drafts with the first {early_exit} layers, but the model has exit"
            f" heads after {[layer + 1 for layer in exit_layers]} layers: use one of these, or train another with"
            f" `optimum-cli dynexec train-heads --layers {early_exit - 1} --no-draft-head`"
        )
    return early_exit - 1
