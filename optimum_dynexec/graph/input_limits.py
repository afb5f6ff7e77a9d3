"""The longest text, and the sizes of images, that a model takes: found in its graph.

A model that looks up positions in a table has no more positions than rows. Beyond them OpenVINO fails with a message
about broadcasting, or reads zeros, so the limit is found before.
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
    Args:
        tokens (`int`): the most that a text may have.
        padding_counts (`bool`): whether padding takes up positions too. RoBERTa numbers tokens only.
    """

    tokens: int
    padding_counts: bool


def find_length_limit(model: "Model", pad_token_id: int | None = None) -> LengthLimit | None:
    """
    Finds the length of texts at which a model's table of positions ends.

    Args:
        model (`openvino.Model`): as exported; left as it is.
        pad_token_id (`int`, *optional*): of the tokenizer.

    Returns:
        [`LengthLimit`], or `None` for a model without such a table.
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
    Whether all operations of a model fit an input of this shape.

    Args:
        model (`openvino.Model`): as exported; left as it is.
        name (`str`): of the input.
        shape (`tuple[int, ...]`): with the batch.
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
    """`None` if what is looked up are not positions: words, types, or distances, which end at a largest."""
    import openvino as ov

    rows, indices = table.input_value(0).get_shape()[0], table.input_value(1)
    source = indices.get_node()
    while source.get_type_name() == "Convert":
        source = source.input_value(0).get_node()
    if source.get_type_name() == "Parameter":
        return None  # words and types, as they are given
    parameters = parameters_before([indices.get_node()])
    names = {next(iter(node.output(0).get_names()), "") for node in parameters}
    if "input_ids" not in names or not names <= {"input_ids", "attention_mask"}:
        return None
    lookup = ov.Model([indices], parameters)
    lookup.reshape({name: ov.PartialShape([-1, -1]) for name in names})
    compiled = ov.Core().compile_model(lookup, "CPU")
    # Of one word that is no special token: the indices of positions grow with the length, those of words do not.
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
