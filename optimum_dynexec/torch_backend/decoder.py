"""Runs one sequence on a decoder of transformers, with a KV cache that can be rolled back."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache

from ..heads.modules import Batch, HeadModule
from .heads import scatter
from .layers import StopForward, find_layers, watching


if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Decoder:
    """
    Runs those tokens of one sequence that have not run yet.

    `cached` counts the tokens that all layers have run. `states` contains, for each watched layer, the hidden
    states after it, `[tokens, hidden_size]`, and under `None` the hidden states that the unembedding reads.

    Args:
        model (`transformers.PreTrainedModel`): decoder.
        watched (`Iterable[int | None]`, *optional*): layers whose hidden states are kept.
    """

    def __init__(self, model: "PreTrainedModel", watched: Iterable[int | None] = ()):
        self.model = model
        self.watched = set(watched)
        self.cached = 0
        self.states: dict[int | None, torch.Tensor] = {}
        self._layers = find_layers(model) if any(layer is not None for layer in self.watched) else []
        # Without the configuration, the cache keeps everything, even where attention has a window, so it can be
        # cropped.
        self._cache = DynamicCache()
        # The number of tokens that the first layers have run.
        self._ahead = 0

    def run(self, tokens: list[int], leave: Callable[[int], bool] = lambda layer: False) -> torch.Tensor | None:
        """
        Runs `tokens[cached:]`.

        Args:
            tokens (`list[int]`): whole sequence, including a draft if there is one.
            leave (`Callable`, *optional*): called after each watched layer; if it returns
                `True`, the layers after it do not run, and the tokens do not count as cached.

        Returns:
            `torch.Tensor` float32 of shape `(rows, vocab_size)` on the CPU; `None` if `leave` ended the pass.
        """
        self.rollback(self.cached)
        logits = self._forward(tokens, [layer for layer in self.watched if layer is not None], leave)
        if logits is not None:
            self.cached = len(tokens)
        return logits

    def run_first(self, tokens: list[int], last: int) -> None:
        """Runs only the layers up to `last`, for drafting, on the tokens that they have not run yet."""
        self._forward(tokens, [last], lambda layer: True)

    def rollback(self, length: int) -> None:
        """Removes all tokens but the first `length`, of which all layers have run `min(length, cached)`."""
        self._cache.crop(length)
        self.cached = self._ahead = min(self.cached, length)
        self.states = {layer: states[:length] for layer, states in self.states.items()}

    @torch.no_grad()
    def _forward(self, tokens: list[int], layers: list[int], leave: Callable[[int], bool]) -> torch.Tensor | None:
        def keep(layer: int | None, hidden: torch.Tensor) -> None:
            before = self.states.get(layer, hidden[0, :0])[: self._ahead]
            self.states[layer] = torch.cat([before, hidden[0]])

        def see(layer: int, hidden: torch.Tensor) -> bool:
            keep(layer, hidden)
            return leave(layer)

        last = None
        if None in self.watched:
            output = self.model.get_output_embeddings()
            last = output.register_forward_pre_hook(lambda _, inputs: keep(None, inputs[0]))
        try:
            with watching(self._layers, layers, see):
                ids = torch.tensor([tokens[self._ahead :]], device=self.model.device)
                found = self.model(input_ids=ids, past_key_values=self._cache, use_cache=True)
            return found.logits[0].float().cpu()
        except StopForward:
            return None
        finally:
            self._ahead = len(tokens)
            if last is not None:
                last.remove()

    # ---- heads -------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def exit_logits(self, head: HeadModule, length: int) -> torch.Tensor:
        """The logits of an exit head after `length` tokens: float32 `[vocab_size]`, on the CPU."""
        features = self.states[head.config.layer][:length].float()
        # The label of a row is the next token, so the batch needs a position for it.
        padded = torch.nn.functional.pad(features, (0, 0, 0, 1))
        (rows,) = head(Batch(padded, padded, [length + 1], [length]), 1)
        return scatter(head.logits(rows)[0], head).cpu()

    @torch.no_grad()
    def draft_logits(self, head: HeadModule, tokens: list[int], drafted: list[int]) -> torch.Tensor:
        """
        The logits of the draft head after `tokens`, of which the last one has not run, and after its own draft.

        Its row of token *i* takes the hidden state of token *i* and the embedding of token *i* + 1; after the last
        known hidden state, the head's own output takes its place.
        """
        length = len(tokens) + len(drafted) + 1
        ids = torch.tensor([*tokens, *drafted, 0], device=self.model.device)
        embeddings = self.model.get_input_embeddings()(ids).float()
        read = torch.cat([self.states[layer] for layer in (*head.config.feature_layers, None)], dim=-1)
        features = read[: len(tokens) - 1].float()
        features = torch.nn.functional.pad(features, (0, 0, 0, length - len(features)))
        steps = head(Batch(features, embeddings, [length], [len(tokens)]), len(drafted) + 1)
        return scatter(head.logits(steps[-1][:1])[0], head).cpu()


@torch.no_grad()
def check_embeddings(model: "PreTrainedModel") -> None:
    """
    Checks that the first layer reads the rows of the embedding table, possibly with embeddings of positions added: a
    draft head reads these rows too.

    Raises:
        `ValueError`: if the rows are scaled or normalised first.
    """
    read: list[torch.Tensor] = []

    def see(_module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        read.append(args[0] if args else kwargs["hidden_states"])

    ids = torch.tensor([[1, 2, 3]], device=model.device)
    handle = find_layers(model)[0].register_forward_pre_hook(see, with_kwargs=True)
    try:
        for tokens in (ids, ids.roll(1)):
            model(input_ids=tokens, use_cache=False)
            read[-1] = read[-1] - model.get_input_embeddings()(tokens)
    finally:
        handle.remove()
    # What is added for a position does not depend on the token at that position.
    if not torch.allclose(read[0], read[1], atol=1e-4):
        raise ValueError(
            f"the torch backend cannot use a draft head with this {model.config.model_type}: it changes embeddings"
            " before its"
            " first layer. Use DynExecModelForCausalLM"
        )
