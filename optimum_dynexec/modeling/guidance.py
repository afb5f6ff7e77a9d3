"""Classifier-free guidance for a model that keeps its KV cache in the inference request."""

from typing import TYPE_CHECKING, Any

import torch


if TYPE_CHECKING:
    from optimum.intel import OVModelForCausalLM
    from transformers.modeling_outputs import CausalLMOutputWithPast


class UnconditionalBranch:
    """
    The model as the processor of `guidance_scale` calls it between the steps of `generate`, for the text without its
    prompt. An OpenVINO model keeps its KV cache in the inference request. This branch has its own request, so it does
    not overwrite the cache of the text (in optimum-intel it does).

    Args:
        model (`OVModelForCausalLM`): model that generates.
    """

    def __init__(self, model: "OVModelForCausalLM"):
        self._model = model
        self._state: tuple[Any, int, Any] | None = None

    def __call__(self, input_ids: torch.Tensor, **kwargs: Any) -> "CausalLMOutputWithPast":
        """Has the arguments and the output of the model's `forward`."""
        model = self._model
        outer = (model.request, model._past_length, model.next_beam_idx)
        if self._state is None:
            self._state = (model.request.get_compiled_model().create_infer_request(), 0, None)
        model.request, model._past_length, model.next_beam_idx = self._state
        try:
            output = model(input_ids, **kwargs)
            self._state = (model.request, model._past_length, model.next_beam_idx)
        finally:
            model.request, model._past_length, model.next_beam_idx = outer
        return output
