"""Makes the paged form of a model, or says why it has none."""

from typing import TYPE_CHECKING

from ..native import _C
from .errors import NotPageableError
from .masks import check_masks


if TYPE_CHECKING:
    from openvino import Model


# The reason why a model that is not a decoder cannot be paged.
ENCODER_REASON = "it has no KV cache"
STATE_TYPES = {"ReadValue", "Assign"}
# The inputs of a paged model, apart from the blocks of its caches.
PAGED_INPUTS = {
    _C.INPUT_IDS,
    _C.POSITION_IDS,
    _C.PAST_LENS,
    _C.SUBSEQUENCE_BEGINS,
    _C.BLOCK_INDICES,
    _C.BLOCK_INDICES_BEGINS,
    _C.MAX_CONTEXT_LEN,
}
CACHE_PREFIXES = (_C.KEY_CACHE, _C.VALUE_CACHE)


def to_paged(model: "Model") -> "Model":
    """
    Makes the PagedAttention form of a stateful decoder.

    Args:
        model (`openvino.Model`):
            The decoder, which is not changed.

    Returns:
        `openvino.Model`: a transformed clone, which shares the weights with `model`.

    Raises:
        [`NotPageableError`]: if the transformation does not apply, leaves part of the state outside the cache or
            changes what is attended to, or if the model has an unknown input.
    """
    from openvino._offline_transformations import paged_attention_transformation

    paged = model.clone()
    try:
        paged_attention_transformation(paged)
    except RuntimeError as error:
        # OpenVINO's message: the failed check, its place in the sources, then a line about what is missing.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise NotPageableError(f"the PagedAttention transformation does not apply: {lines[-1].rstrip('.')}") from error
    left = sorted({node.get_type_name() for node in paged.get_ops()} & STATE_TYPES)
    if left:
        raise NotPageableError(f"the PagedAttention transformation leaves state in {' and '.join(left)} operations")
    inputs = [value.get_any_name() for value in paged.inputs]
    strange = [name for name in inputs if name not in PAGED_INPUTS and not name.startswith(CACHE_PREFIXES)]
    if strange:
        raise NotPageableError(f"the model has the input '{strange[0]}', which the engine does not provide")
    check_masks(model, paged)
    return paged
