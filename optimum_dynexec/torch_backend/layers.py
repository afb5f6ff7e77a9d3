"""Finds the layers of a transformers model by structure and watches them while the model runs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class StopForward(Exception):
    """Ends a forward pass after a layer, because the later layers are not needed."""


def find_layers(model: nn.Module) -> list[nn.Module]:
    """
    Finds the layers of a model: the list of modules with attention whose length is the configuration's number of
    layers.

    Args:
        model (`transformers.PreTrainedModel`): model to search.

    Raises:
        `ValueError`: if there is no such list, or more than one. Models that use a layer several times (ALBERT) or
            have layers in stages (Swin, ResNet) have none.
    """
    config: Any = model.config
    number = getattr(config.get_text_config(), "num_hidden_layers", None)
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    found = [layers for layers in lists if len(layers) == number and all(map(_is_layer, layers))]
    if len(found) != 1:
        raise ValueError(
            f"the layers of this {config.model_type} cannot be found: it has {len(found)} lists of {number} modules"
            " with attention, and exits need exactly one. Use the OpenVINO classes for it"
        )
    return list(found[0])


@contextmanager
def watching(
    layers: list[nn.Module], which: Iterable[int], see: Callable[[int, torch.Tensor], bool]
) -> Iterator[None]:
    """
    Passes the hidden states after some layers to a function while a model runs.

    Args:
        layers (`list[nn.Module]`): layers from [`find_layers`].
        which (`Iterable[int]`): indices of the layers to watch, from 0.
        see (`Callable`):
            called with the index of the layer and its hidden states `[batch, length, hidden_size]`; if it returns
            `True`, the forward pass ends with [`StopForward`].
    """

    def hook_of(number: int) -> Callable[..., None]:
        def hook(
            _module: nn.Module,
            _inputs: tuple[torch.Tensor, ...],
            output: torch.Tensor | tuple[torch.Tensor, ...] | list[torch.Tensor],
        ) -> None:
            if see(number, output[0] if isinstance(output, tuple | list) else output):
                raise StopForward

        return hook

    handles = [layers[number].register_forward_hook(hook_of(number)) for number in which]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_layer(module: nn.Module) -> bool:
    inner = [child for child in module.modules() if child is not module]
    in_stages = any(isinstance(child, nn.ModuleList) and any(map(_has_attention, child)) for child in inner)
    return _has_attention(module) and not in_stages


def _has_attention(module: nn.Module) -> bool:
    return any("attention" in type(child).__name__.lower() for child in module.modules())
