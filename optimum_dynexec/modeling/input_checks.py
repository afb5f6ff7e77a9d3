"""Inputs of encoders that are longer or larger than the model takes, refused before OpenVINO sees them."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph.encoder_boundaries import MAIN_INPUTS
from ..graph.input_limits import LengthLimit, find_length_limit, takes_shape


if TYPE_CHECKING:
    from openvino import Model
    from transformers import PretrainedConfig


class InputChecks:
    """
    Args:
        model (`openvino.Model`): as exported.
        config (`PretrainedConfig`): of the model.
    """

    def __init__(self, model: "Model", config: "PretrainedConfig"):
        self._model, self._config = model, config
        self._sizes: dict[tuple[int, ...], bool] = {}

    @cached_property
    def _limit(self) -> LengthLimit | None:
        return find_length_limit(self._model, getattr(self._config, "pad_token_id", None))

    def check(self, inputs: Mapping[str, Any], *, first: int = 0, padding_dropped: bool = False) -> None:
        """
        Args:
            inputs (`Mapping[str, np.ndarray or torch.Tensor]`): inputs of a batch, by name.
            first (`int`, *optional*, defaults to 0): number of the first input of the batch, for the message.
            padding_dropped (`bool`, *optional*, defaults to `False`):
                Whether padding after the longest text is dropped before the model runs.

        Raises:
            `ValueError`: if a text has more tokens than the model has positions, or an image has a size that the
                model does not take. The message names the input, its size and the limit.
        """
        if inputs.get("input_ids") is not None:
            self._check_length(inputs, first, padding_dropped)
            return
        for name in MAIN_INPUTS:
            if inputs.get(name) is not None and len(inputs[name].shape) > 2:
                self._check_size(name, tuple(inputs[name].shape), first)

    def _check_length(self, inputs: Mapping[str, Any], first: int, padding_dropped: bool) -> None:
        ids, limit = inputs["input_ids"], self._limit
        width = ids.shape[-1]
        if limit is None or len(ids.shape) != 2 or width <= limit.tokens:
            return
        mask = inputs.get("attention_mask")
        mask = np.ones(tuple(ids.shape), bool) if mask is None else np.asarray(mask) != 0
        lengths = mask.sum(1)
        remedy = f"tokenize with `truncation=True, max_length={limit.tokens}`"
        if lengths.max() > limit.tokens:
            row = int(np.argmax(lengths > limit.tokens))
            raise ValueError(
                f"input {first + row} (counted from 0) has {lengths[row]} tokens, but this {self._config.model_type}"
                f" takes at most {limit.tokens}: {remedy}"
            )
        occupied = int(np.flatnonzero(mask.any(0)).max(initial=-1)) + 1 if padding_dropped else width
        if limit.padding_counts and occupied > limit.tokens:
            raise ValueError(
                f"the inputs are padded to {width} tokens, but this {self._config.model_type} takes at most"
                f" {limit.tokens}: {remedy}, and pad to the longest input (`padding=True`)"
            )

    def _check_size(self, name: str, shape: tuple[int, ...], first: int) -> None:
        size = shape[1:]
        if size not in self._sizes:
            self._sizes[size] = takes_shape(self._model, name, (1, *size))
        if not self._sizes[size]:
            expected = getattr(self._config, "image_size", None) if name == "pixel_values" else None
            known = f"; it was made for images of {expected}" if expected is not None else ""
            raise ValueError(
                f"input {first} (counted from 0) has the shape {list(size)} in `{name}`, which this"
                f" {self._config.model_type} does not take{known}: resize with the model's own processor"
            )
