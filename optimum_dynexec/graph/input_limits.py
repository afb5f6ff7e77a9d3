"""Finds the maximum length of a text and the sizes of images that a model takes, from its graph.

A model that looks up positions in a table has no more positions than the table has rows. For longer texts OpenVINO
fails with a message about broadcasting, or reads zeros, so the limit is checked before.
"""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .walks import parameters_before


if TYPE_CHECKING:
    from openvino import Model, Node


logger = logging.getLogger(__name__)

# Lengths at which the indices of a lookup are compared.
SHORT, LONG = 2, 5
WORD = 9


@dataclass(frozen=True)
class LengthLimit:
    """
    The maximum length of a text.

    Args:
        tokens (`int`): maximum number of tokens in a text.
        padding_counts (`bool`): whether padding takes up positions too. In RoBERTa it does not.
    """

    tokens: int
    padding_counts: bool


def find_length_limit(model: "Model", pad_token_id: int | None = None) -> LengthLimit | None:
    """
    Finds the maximum length of a text for a model with a table of positions.

    Args:
        model (`openvino.Model`): exported model. It is not modified.
        pad_token_id (`int`, *optional*): id of the tokenizer's padding token.

    Returns:
        [`LengthLimit`], or `None` if the model has no such table.
    """
    model = model.clone()
    ids = [value for value in model.inputs if "input_ids" in value.get_names()]
    if not ids or ids[0].get_partial_shape()[-1].is_static:
        return None
    tables = [node for node in model.get_ops() if node.get_type_name() == "Gather" and _is_table(node)]
    limits = [limit for table in tables if (limit := _limit_of(table, pad_token_id)) is not None]
    return min(limits, key=lambda limit: limit.tokens, default=None)


def takes_shape(model: "Model", name: str, shape: tuple[int, ...]) -> bool:
    """
    Whether all operations of a model accept an input of this shape.

    Args:
        model (`openvino.Model`): exported model. It is not modified.
        name (`str`): name of the input.
        shape (`tuple[int, ...]`): shape of the input, with the batch dimension.
    """
    from openvino import PartialShape

    try:
        model.clone().reshape({name: PartialShape(list(shape))})
    except RuntimeError as error:
        logger.debug("`%s` cannot have the shape %s: %s", name, shape, error)
        return False
    return True


def _is_table(gather: "Node") -> bool:
    data = gather.input_value(0)
    return (
        data.get_partial_shape().is_static and len(data.get_shape()) == 2 and not parameters_before([data.get_node()])
    )


def _limit_of(table: "Node", pad_token_id: int | None) -> LengthLimit | None:
    """The limit of a table; `None` if it does not hold positions, but words, types, or distances (with a maximum)."""
    import openvino as ov

    rows, indices = table.input_value(0).get_shape()[0], table.input_value(1)
    source = indices.get_node()
    while source.get_type_name() == "Convert":
        source = source.input_value(0).get_node()
    if source.get_type_name() == "Parameter":
        return None  # words and types: their ids are inputs of the model
    parameters = parameters_before([indices.get_node()])
    names = {next(iter(node.output(0).get_names()), "") for node in parameters}
    if "input_ids" not in names or not names <= {"input_ids", "attention_mask"}:
        return None
    lookup = ov.Model([indices], parameters)
    lookup.reshape({name: ov.PartialShape([-1, -1]) for name in names})
    compiled = ov.Core().compile_model(lookup, "CPU")
    # A text of one repeated word, not a special token: indices of positions grow with its length, those of words do
    # not.
    word, padding = (WORD if pad_token_id != WORD else WORD + 1), pad_token_id or 0

    def largest(length: int, padded: int = 0) -> int:
        values = {
            "input_ids": np.array([[word] * length + [padding] * padded]),
            "attention_mask": np.array([[1] * length + [0] * padded]),
        }
        return int(np.max(compiled({name: values[name] for name in names})[0]))

    if largest(LONG) - largest(SHORT) != LONG - SHORT:
        return None
    tokens = rows - (largest(LONG) - (LONG - 1))
    if tokens < LONG or largest(tokens) != rows - 1:
        return None
    return LengthLimit(tokens, largest(SHORT, LONG - SHORT) != largest(SHORT))
