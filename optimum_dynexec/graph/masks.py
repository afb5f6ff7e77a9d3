"""Checks that a paged model attends to the same tokens as its stateful original.

PagedAttention takes no mask: it is causal, with an optional sliding window and optional ALiBi slopes. OpenVINO's
transformation derives these from the subgraph of the mask if it knows its form, and silently drops the mask if it does
not. So the masks of the original are evaluated here and compared with what PagedAttention does instead. Masks depend
on shapes and hardly ever on weights, so this is cheap for a model of any size.
"""

import logging
from typing import TYPE_CHECKING

import numpy as np

from .errors import NotPageableError
from .walks import parameters_before


if TYPE_CHECKING:
    from openvino import Model, Output, PartialShape


logger = logging.getLogger(__name__)

# Numbers of tokens in the cache when masks are evaluated. A window longer than that is not noticed. A model whose mask
# is a stored table has no more than its longest context, so shorter ones follow.
PAST_LENGTHS = (9000, 1500, 200)
NEW_TOKENS = 3
# Below any ALiBi bias at these lengths, and above the lowest float16 value, which some masks use to forbid a token.
FORBIDDEN = -3e4
# Positions of PagedAttention's inputs, and of those of ScaledDotProductAttention.
SLIDING_WINDOW, ALIBI_SLOPES, PAGED_SINKS = 10, 11, 20
MASK, SINKS = 3, 5


def check_masks(stateful: "Model", paged: "Model") -> None:
    """
    Compares the attention of a model before and after the PagedAttention transformation.

    Args:
        stateful (`openvino.Model`):
            The model as exported.
        paged (`openvino.Model`):
            Its paged form.

    Raises:
        [`NotPageableError`]: if an attention of the paged model attends to other tokens or weighs them differently, or
            if that cannot be determined.
    """
    stateful, paged = stateful.clone(), paged.clone()
    before = [node for node in stateful.get_ordered_ops() if node.get_type_name() == "ScaledDotProductAttention"]
    after = [node for node in paged.get_ordered_ops() if node.get_type_name() == "PagedAttentionExtension"]
    if len(before) != len(after):
        raise NotPageableError(f"the model has {len(before)} attentions, but only {len(after)} are paged")

    parameters = _evaluate([node.input_value(i) for node in after for i in (SLIDING_WINDOW, ALIBI_SLOPES)], {})
    # An attention that is causal by its attribute ignores a mask.
    causal = {node.get_name() for node in before if node.get_attributes()["causal"]}
    masked = [node for node in before if node.get_input_size() > MASK and node.get_name() not in causal]
    past, masks = _evaluate_masks(stateful, [node.input_value(MASK) for node in masked])
    mask_of = {node.get_name(): mask for node, mask in zip(masked, masks, strict=True)}

    for layer, (node, paged_node) in enumerate(zip(before, after, strict=True)):
        window, slopes = int(parameters[2 * layer].item()), parameters[2 * layer + 1]
        mask = mask_of.get(node.get_name())
        if mask is None and node.get_name() not in causal:
            raise NotPageableError(f"the attention of layer {layer} is not causal")
        if mask is not None and not _same_attention(mask, past, abs(window), slopes):
            raise NotPageableError(f"the PagedAttention transformation does not keep the mask of layer {layer}")
        if node.get_input_size() > SINKS and 0 in paged_node.input_value(PAGED_SINKS).get_shape():
            raise NotPageableError(
                f"the PagedAttention transformation does not keep the attention sinks of layer {layer}"
            )


def _same_attention(mask: np.ndarray, past: int, window: int, slopes: np.ndarray) -> bool:
    """Compares a mask `[1, heads or 1, new, past + new]` with causality, a window (0: none) and ALiBi slopes."""
    if mask.shape[-2:] != (NEW_TOKENS, past + NEW_TOKENS):
        return False
    distance = past + np.arange(NEW_TOKENS)[:, None] - np.arange(past + NEW_TOKENS)
    expected = (distance >= 0) & ((distance < window) if window else True)
    allowed = mask if mask.dtype == bool else mask > FORBIDDEN
    if not np.all(allowed == expected):
        return False
    if mask.dtype == bool:
        return slopes.size == 0
    # Softmax ignores what is added to a whole row.
    bias = np.where(expected, mask + slopes.reshape(-1, 1, 1) * distance if slopes.size else mask, np.nan)
    spread = np.nanmax(bias, axis=-1) - np.nanmin(bias, axis=-1)
    return bool(np.all(spread <= 1e-3 * max(1.0, float(np.abs(mask[allowed]).max()))))


def _evaluate_masks(model: "Model", masks: list["Output"]) -> tuple[int, list[np.ndarray]]:
    """Evaluates masks for a few new tokens; changes `model`. Also returns the number of tokens before them."""
    states = _states_as_inputs(model)
    for past in PAST_LENGTHS if masks else ():
        inputs: dict[str, np.ndarray] = {
            "input_ids": np.zeros((1, NEW_TOKENS), np.int64),
            "attention_mask": np.ones((1, past + NEW_TOKENS), np.int64),
            "position_ids": np.arange(past, past + NEW_TOKENS)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        for name, shape in states.items():
            inputs[name] = np.zeros([1, *(past if axis.is_dynamic else axis.get_length() for axis in shape[1:])])
        try:
            return past, _evaluate(masks, inputs)
        except RuntimeError as error:
            logger.debug("masks cannot be evaluated with %d tokens before: %s", past, error)
    if masks:
        raise NotPageableError("the attention mask cannot be evaluated, so paging might not keep it")
    return 0, []


def _states_as_inputs(model: "Model") -> dict[str, "PartialShape"]:
    """Replaces each state by an input, and returns the names and shapes, `[batch, heads, length, size]`."""
    from openvino import opset13 as ops

    shapes = {}
    for number, node in enumerate(op for op in model.get_ops() if op.get_type_name() == "ReadValue"):
        name = f"dynexec.state.{number}"
        shapes[name] = node.get_output_partial_shape(0)
        state = ops.parameter(shapes[name], node.get_output_element_type(0))
        state.output(0).set_names({name})
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(state.output(0))
    return shapes


def _evaluate(values: list["Output"], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Computes values anywhere in a model from the values of the inputs that they depend on."""
    import openvino as ov
    from openvino import opset13 as ops

    # Layers share most of the values.
    keys = [(value.get_node().get_name(), value.get_index()) for value in values]
    results = {key: ops.result(value) for key, value in zip(keys, values, strict=True)}
    parameters = parameters_before(list(results.values()))
    try:
        feed = {parameter: inputs[parameter.output(0).get_any_name()] for parameter in parameters}
    except KeyError as error:
        raise NotPageableError(f"the attention mask depends on the input {error}, whose value is unknown") from error
    compiled = ov.Core().compile_model(
        ov.Model(list(results.values()), parameters), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    request = compiled.create_infer_request()
    found = request.infer(
        {i: value.astype(parameters[i].get_element_type().to_dtype()) for i, value in enumerate(feed.values())}
    )
    by_key = {key: np.array(found[i]) for i, key in enumerate(results)}
    return [by_key[key] for key in keys]
