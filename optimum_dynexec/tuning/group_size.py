"""
The group size of OpenVINO's dynamic quantization for `precision="exact"` with compressed weights.

The inputs of a product are quantized in groups, each with a scale of its own. Larger groups cost less time and more
accuracy. The largest group that is not further from float32 than OpenVINO's default properties is taken: nobody loses
accuracy in comparison with what OpenVINO does when it is not told anything.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from ..modeling.assistants import weights_path
from ..native import _C
from ..precision import FLOAT32_OV_CONFIG, GROUP_MULTIPLE, ROW_INVARIANT_OV_CONFIG, group_config
from ..runtime import Engine
from ..runtime.fast_properties import pass_costs, prompt_length


if TYPE_CHECKING:
    from ..modeling import DynExecModelForCausalLM


# OpenVINO's own group, and larger ones. The size of a hidden state is tried in addition.
OWN_GROUP = 32
GROUPS = (OWN_GROUP, 64, 128)
FLOAT32, DEFAULT = "float32", "default"
# The number of tokens whose logits are compared, and the length of the continuation of a prompt.
TOKENS = 384
CONTINUATION = 64
# Sizes of passes that are timed. The last one is a prompt.
ROWS = (1, 8)
PROMPT_TOKENS = 512
# Rows of logits that are in memory in float64.
CHUNK = 16


@dataclass(frozen=True)
class GroupCosts:
    """
    What a way to compute a decoder costs, in accuracy and in time.

    Args:
        name (`str`): `"float32"`, `"default"` (OpenVINO's default properties), or the group size.
        kl (`float`): mean Kullback-Leibler divergence of the next token's distribution from that of float32, in nats.
        agreement (`float`): share of tokens whose most probable next token is the same as in float32.
        seconds (`dict[str, float]`): seconds of a pass, by the number of rows.
        digest (`str`): hash of all logits.
    """

    name: str
    kl: float
    agreement: float
    seconds: dict[str, float]
    digest: str

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values for JSON."""
        return asdict(self)


def choose_group(measured: Sequence[GroupCosts]) -> int | None:
    """
    The largest group whose divergence from float32 is not above that of OpenVINO's default properties.

    Args:
        measured (`Sequence[GroupCosts]`): measurements, with `"default"` and the group 32 among them.

    Returns:
        `int`, *optional*: the group; `None` to leave it to OpenVINO, because no group is better than its own one, or
        because this processor has no dynamic quantization: groups whose logits are those of group 32, bit for bit,
        have no effect.
    """
    by_name = {entry.name: entry for entry in measured}
    default, own = by_name[DEFAULT], by_name[str(OWN_GROUP)]
    groups = sorted(int(name) for name in by_name if name.isdecimal() and int(name) > OWN_GROUP)
    allowed = [
        group for group in groups if by_name[str(group)].kl <= default.kl and by_name[str(group)].digest != own.digest
    ]
    return max(allowed, default=None)


def group_sizes(hidden_size: int) -> list[int]:
    """The groups to try: 32, 64, 128, and a whole hidden state if OpenVINO's groups divide it."""
    return sorted({*GROUPS, *([hidden_size] if hidden_size % GROUP_MULTIPLE == 0 else [])} - set(range(OWN_GROUP)))


def measure_groups(
    model: "DynExecModelForCausalLM",
    texts: Sequence[Sequence[int]],
    *,
    progress: bool = True,
) -> list[GroupCosts]:
    """
    Compares float32, OpenVINO's default properties and groups with each other, one after the other.

    Args:
        model ([`~modeling.DynExecModelForCausalLM`]): decoder with compressed weights. Its engine is not used.
        texts (`Sequence[Sequence[int]]`): token ids of texts.
        progress (`bool`, *optional*, defaults to `True`): whether to show a progress bar.
    """
    ways: dict[str, Mapping[str, str]] = {FLOAT32: FLOAT32_OV_CONFIG}
    ways |= {str(group): _properties(group) for group in group_sizes(model.config.get_text_config().hidden_size)}
    ways[DEFAULT] = {}
    reference: list[np.ndarray] = []
    measured: list[GroupCosts] = []
    for name, properties in tqdm(ways.items(), desc="group sizes", unit="group", disable=not progress):
        engine = _engine(model, properties)
        found = [_logits(engine.paged_model, text) for text in texts]
        reference = reference or found
        digest = hashlib.sha256(b"".join(hashlib.sha256(rows.tobytes()).digest() for rows in found)).hexdigest()
        kl, agreement = divergence(reference, found)
        measured.append(GroupCosts(name, kl, agreement, _seconds(engine, model), digest))
    return measured


def groups_have_effect(model: "DynExecModelForCausalLM", text: Sequence[int]) -> bool:
    """
    Whether two groups give different logits. Processors without kernels for dynamic quantization ignore it.

    Args:
        model ([`~modeling.DynExecModelForCausalLM`]): decoder with compressed weights. Its engine is not used.
        text (`Sequence[int]`): token ids of a text.
    """
    first, second = (_logits(_engine(model, _properties(group)).paged_model, text) for group in GROUPS[:2])
    return not np.array_equal(first, second)


def _properties(group: int) -> dict[str, str]:
    return {**ROW_INVARIANT_OV_CONFIG, **group_config(group)}


def _engine(model: "DynExecModelForCausalLM", properties: Mapping[str, str]) -> Engine:
    return Engine(model.model, model._device, properties, weights_path=weights_path(model))


def own_texts(
    model: "DynExecModelForCausalLM", prompts: Sequence[Sequence[int]], tokens: int = TOKENS
) -> list[list[int]]:
    """
    Prompts and the model's own greedy answers, as token ids, of about `tokens` tokens in all.

    Args:
        model ([`~modeling.DynExecModelForCausalLM`]): decoder.
        prompts (`Sequence[Sequence[int]]`): token ids of prompts.
        tokens (`int`, *optional*, defaults to 384): number of tokens.
    """
    texts: list[list[int]] = []
    tokens = prompt_length(model.model, tokens)
    for prompt in prompts:
        left = tokens - sum(map(len, texts))
        if left < 1:
            break
        ids = torch.tensor([list(prompt[: max(1, left - CONTINUATION)])])
        settings = {"do_sample": False, "max_new_tokens": CONTINUATION, "pad_token_id": 0}
        answer = model.generate(ids, temperature=None, top_p=None, top_k=None, **settings)
        texts.append(answer[0].tolist()[:left])
    return texts


def divergence(reference: Sequence[np.ndarray], logits: Sequence[np.ndarray]) -> tuple[float, float]:
    """
    The mean Kullback-Leibler divergence of distributions from others in nats, and the share of equal modes.

    Args:
        reference (`Sequence[np.ndarray]` float32 `[rows, vocab_size]`): logits to compare with.
        logits (`Sequence[np.ndarray]` float32 `[rows, vocab_size]`): logits of the same rows.
    """
    total, same, rows = 0.0, 0, 0
    for expected, found in zip(reference, logits, strict=True):
        for begin in range(0, len(expected), CHUNK):
            p, q = (_log_softmax(part[begin : begin + CHUNK]) for part in (expected, found))
            total += float((np.exp(p) * (p - q)).sum())
            same += int((p.argmax(-1) == q.argmax(-1)).sum())
            rows += len(p)
    return total / rows, same / rows


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """float64, of the same shape."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _logits(model: _C.PagedModel, text: Sequence[int]) -> np.ndarray:
    return _C.CachedSequence(model).forward(list(text)).copy()


def _seconds(engine: Engine, model: "DynExecModelForCausalLM") -> dict[str, float]:
    # The profile of a large model may omit some sizes.
    sizes, seconds = zip(*engine.paged_model.costs, strict=True)
    found = {str(rows): float(np.interp(rows, sizes, seconds)) for rows in ROWS}
    prompt = prompt_length(model.model, PROMPT_TOKENS)
    return {**found, str(prompt): pass_costs([engine.paged_model], prompt)[0].prefill}
