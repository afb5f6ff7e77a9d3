"""transformers' pipelines, which log an error about every model of a class that they do not know."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar


if TYPE_CHECKING:
    from transformers.models.auto.auto_factory import _BaseAutoModelClass


Model = TypeVar("Model", bound=type)


def known_to_pipelines(auto_class: "type[_BaseAutoModelClass]") -> Callable[[Model], Model]:
    """
    Decorates a class of models that `transformers.pipeline` is to take without complaint.

    Args:
        auto_class: transformers' `AutoModelFor…` of the same task. optimum-intel enters each class there under the key
            `AutoConfig` when a model is loaded, where the next one takes its place. Ours stand under themselves.
    """

    def enter(model_class: Model) -> Model:
        auto_class._model_mapping.register(model_class, model_class)
        return model_class

    return enter
