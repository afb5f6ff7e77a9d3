"""
Chooses the properties of `precision="fast"` by measurement.

OpenVINO's default properties are not always the fastest. On processors with AMX, for instance, float32 with dynamic
quantization decodes compressed weights in half the time of the default, bfloat16, which is faster in long prompts.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from time import perf_counter
from typing import Any

import numpy as np
import openvino as ov

from ..graph.compressed_weights import has_compressed_products
from ..graph.input_limits import find_length_limit
from ..native import _C
from ..precision import DYNAMIC_QUANTIZATION, ROW_INVARIANT_OV_CONFIG
from ..utils.memory import available_bytes
from ..utils.remembered import recall, remember


logger = logging.getLogger(__name__)

Properties = dict[str, Any]
Segments = list[ov.CompiledModel]

# The call whose time decides.
PROMPT_TOKENS, NEW_TOKENS = 256, 128
# OpenVINO's default is left for what is faster by more than this share.
MARGIN = 0.03
# The number of decoding steps that are timed in a round.
STEPS = 8
# The first round of a model also compiles kernels.
LEAST_ROUNDS, MOST_ROUNDS = 2, 5
# No round is started after this time.
SECONDS = 2.0
KIND = "fast-properties"
# Who sets one of these has chosen.
CHOSEN_BY_USER = (*ROW_INVARIANT_OV_CONFIG, DYNAMIC_QUANTIZATION)


@dataclass(frozen=True)
class PassCosts:
    """
    What a model's passes take.

    Args:
        prefill (`float`): seconds for a prompt of 256 tokens.
        step (`float`): seconds for a decoding step at this context.
    """

    prefill: float
    step: float

    @property
    def call(self) -> float:
        """Estimated seconds of a call with a prompt of 256 tokens and 128 new tokens."""
        return self.prefill + NEW_TOKENS * self.step


def is_faster(challenger: PassCosts, default: PassCosts) -> bool:
    """Whether a call with other properties is faster than with OpenVINO's default ones by more than 3%."""
    return challenger.call * (1 + MARGIN) < default.call


def fast_properties(
    model: ov.Model, compile_segments: Callable[[Properties], Segments], ov_config: Mapping[str, Any], identity: Any
) -> tuple[Properties, Segments]:
    """
    Chooses between OpenVINO's default properties and float32 with dynamic quantization, by the estimated time of a
    call with a prompt of 256 tokens and 128 new tokens. The measurement is remembered.

    Nothing is measured if `ov_config` sets one of the properties in question, or if there is nothing to gain: the
    properties are the same, or the weights are not compressed and the default is float32.

    Args:
        model (`openvino.Model`): decoder as optimum-intel exports it.
        compile_segments (`Callable`): compiles the segments of the decoder with some properties.
        ov_config (`Mapping[str, Any]`): properties from the user, which are kept.
        identity (`Any`): everything that the result depends on, as values for JSON.

    Returns:
        `tuple[dict[str, Any], list[openvino.CompiledModel]]`: the chosen properties, and the segments compiled with
        them.
    """
    default, other = dict(ov_config), {**ov_config, **ROW_INVARIANT_OV_CONFIG}
    if any(name in ov_config for name in CHOSEN_BY_USER):
        return default, compile_segments(default)
    known = recall(KIND, identity)
    if known is not None:
        chosen = other if _choose([PassCosts(*costs) for costs in known]) else default
        return chosen, compile_segments(chosen)
    segments = compile_segments(default)
    if not _may_differ(model, segments):
        return default, segments
    # Measured in turns if there is memory for both, so that other work of the machine affects both.
    available, prompt = available_bytes(), prompt_length(model, PROMPT_TOKENS)
    if available is not None and available > 2 * _weight_bytes(model):
        others = compile_segments(other)
        costs = pass_costs([_paged(segments), _paged(others)], prompt)
    else:
        costs = pass_costs([_paged(segments)], prompt)
        segments = others = []
        others = compile_segments(other)
        costs += pass_costs([_paged(others)], prompt)
    remember(KIND, identity, [astuple(found) for found in costs])
    if _choose(costs):
        return other, others
    return default, segments or compile_segments(default)


def pass_costs(paged: Sequence[_C.PagedModel], prompt_tokens: int = PROMPT_TOKENS) -> list[PassCosts]:
    """
    Measures passes of models in turns: the least of some rounds.

    Args:
        paged (`Sequence[_C.PagedModel]`): models.
        prompt_tokens (`int`, *optional*, defaults to 256): number of tokens in the prompt.
    """
    rounds: list[list[PassCosts]] = [[] for _ in paged]
    start = perf_counter()
    for done in range(MOST_ROUNDS):
        if done >= LEAST_ROUNDS and perf_counter() - start > SECONDS:
            break
        for model, found in zip(paged, rounds, strict=True):
            found.append(_run(model, prompt_tokens))
    return [PassCosts(min(c.prefill for c in found), min(c.step for c in found)) for found in rounds]


def prompt_length(model: ov.Model, tokens: int) -> int:
    """`tokens`, or as many as a model has positions for, less the decoding steps that are timed."""
    table = find_length_limit(model)
    return min(tokens, table.tokens - STEPS - 1) if table else tokens


def _paged(segments: Segments) -> _C.PagedModel:
    return _C.PagedModel(segments, 0)


def _run(model: _C.PagedModel, prompt_tokens: int) -> PassCosts:
    request = _C.SequenceRequest()
    request.prompt = np.random.default_rng(0).integers(0, model.vocab_size, prompt_tokens).tolist()
    # The prefill gives the first token.
    request.max_new_tokens = STEPS + 1
    stats = _C.DecodeLoop(model, prompt_tokens).generate([request], _C.SpeculationParams()).stats
    return PassCosts(stats.prefill_seconds, stats.run_seconds / STEPS)


def _may_differ(model: ov.Model, segments: Segments) -> bool:
    default = {name: segments[0].get_property(name) for name in ROW_INVARIANT_OV_CONFIG}
    if all(found == ov.Type.f32 for found in default.values()):
        return False
    return has_compressed_products(model) or default["INFERENCE_PRECISION_HINT"] != ov.Type.f32


def _weight_bytes(model: ov.Model) -> int:
    return sum(node.get_byte_size() for node in model.get_ops() if node.get_type_name() == "Constant")


def _choose(costs: Sequence[PassCosts]) -> bool:
    """Whether float32 with dynamic quantization is chosen, which is said at level `INFO`."""
    default, other = costs
    faster = is_faster(other, default)
    logger.info(
        "precision='fast' uses %s: a call with %d prompt tokens and %d new tokens takes about %.3f s with OpenVINO's"
        " default properties and %.3f s in float32 with dynamic quantization.",
        "float32 with dynamic quantization" if faster else "OpenVINO's default properties",
        PROMPT_TOKENS,
        NEW_TOKENS,
        default.call,
        other.call,
    )
    return faster
