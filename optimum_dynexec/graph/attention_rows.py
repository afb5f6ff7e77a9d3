"""
Lets PagedAttention see more query rows than the products of a model.

OpenVINO has a kernel of its own for a sequence with a single query row, which adds in another order than the others.
With two rows for each sequence, all passes have the same bits. Rows that only PagedAttention sees cost far less than
rows of the whole model.
"""

import numpy as np
import openvino.opset13 as ops
from openvino import Model

from ..native import _C
from .paged import row_indices


# Queries, keys and values: the inputs of PagedAttention with a row for each token.
PER_TOKEN = (0, 1, 2)


def add_attention_rows(model: Model) -> None:
    """
    Adds two inputs to a paged model. `dynexec.attention_rows` int64 `[m]` are the rows that PagedAttention sees, of
    the `n` rows of a pass, and `dynexec.kept_rows` int64 `[n]` the rows of its output that the model goes on with. The
    other inputs of PagedAttention then describe the `m` rows.

    Args:
        model (`openvino.Model`): a model from [`prepare`]. It is changed.
    """
    given, kept = (row_indices(name) for name in (_C.ATTENTION_ROWS, _C.KEPT_ROWS))
    axis = ops.constant(0, np.int64)
    for node in model.get_ordered_ops():
        if node.get_type_name() != "PagedAttentionExtension":
            continue
        for index in PER_TOKEN:
            node.input(index).replace_source_output(ops.gather(node.input_value(index), given, axis).output(0))
        targets = node.output(0).get_target_inputs()
        rows = ops.gather(node.output(0), kept, axis).output(0)
        for target in targets:
            target.replace_source_output(rows)
    model.add_parameters([given, kept])
    model.validate_nodes_and_infer_types()
