"""openvino_genai under test."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai

from optimum_dynexec.benchmark.generation import Generation

from .systems import Setting, System


DEVICE = "CPU"
# Each setting is measured with OpenVINO's defaults, and with the properties of our exact mode for compressed weights
# (dynamic quantization stays on).
PROPERTIES: dict[str, dict[str, str]] = {
    "": {},
    "-f32": {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"},
}
MAX_BATCH_TOKENS = 2**31 - 1  # a prompt is one forward pass, as in LLMPipeline's own scheduler configuration


def scheduler_config(prefix_caching: bool) -> openvino_genai.SchedulerConfig:
    """The scheduler's configuration of all pipelines."""
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.max_num_batched_tokens = MAX_BATCH_TOKENS
    scheduler.enable_prefix_caching = prefix_caching
    return scheduler


class GenaiSystem(System):
    """
    `openvino_genai.LLMPipeline` in one setting.

    Args:
        name (`str`): name in the tables.
        kind (`str`): `"plain"`, `"lookup"` or `"draft"`; settings of one kind and properties share a pipeline.
        properties (`str`): properties of OpenVINO, a key of `PROPERTIES`.
        config (*optional*): fields of the `GenerationConfig`.
    """

    def __init__(self, name: str, kind: str, properties: str, **config: int):
        super().__init__(name)
        self.reference = f"genai-plain{properties}"
        self.kind = kind
        self.properties = properties
        self.needs_draft = kind == "draft"
        self.config = config

    def load(self, setting: Setting, shared: dict[Any, Any]) -> None:
        # By default an LLMPipeline keeps the KV cache of earlier requests. A question that another setting has just
        # answered on the same pipeline would need no prefill. So the cache is off, or each setting has its own
        # pipeline.
        key = ("genai", self.name if setting.prefix_caching else self.kind, self.properties)
        if key not in shared:
            shared[key] = self._pipeline(setting)
        self.pipeline = shared[key]
        config = openvino_genai.GenerationConfig()
        config.do_sample = False
        config.set_eos_token_id(setting.eos_token_ids[0])
        config.stop_token_ids = set(setting.eos_token_ids)
        for field, value in self.config.items():
            setattr(config, field, value)
        self.generation_config = config

    def _pipeline(self, setting: Setting) -> Any:
        properties = PROPERTIES[self.properties]
        options: dict[str, Any] = {**properties, "scheduler_config": scheduler_config(setting.prefix_caching)}
        if self.kind == "lookup":
            options["prompt_lookup"] = True
        if self.kind == "draft":
            options["draft_model"] = openvino_genai.draft_model(str(setting.draft), DEVICE, **properties)
        return openvino_genai.LLMPipeline(str(setting.model), DEVICE, **options)

    def generate(self, ids: list[int], max_new_tokens: int) -> Generation:
        array = np.array([ids], dtype=np.int64)
        inputs = openvino_genai.TokenizedInputs(ov.Tensor(array), ov.Tensor(np.ones_like(array)))
        self.generation_config.max_new_tokens = max_new_tokens
        start = time.perf_counter()
        result = self.pipeline.generate(inputs, self.generation_config)
        tokens = list(result.tokens[0])
        seconds = time.perf_counter() - start
        # It reports the number of proposed tokens only with a draft model.
        draft = result.extended_perf_metrics
        return Generation(
            tokens=tokens,
            seconds=seconds,
            first_token_seconds=result.perf_metrics.get_ttft().mean / 1e3,
            steps=len(result.perf_metrics.raw_metrics.m_batch_sizes),
            proposed=None if draft is None else draft.get_num_draft_tokens(),
            accepted=None if draft is None else draft.get_num_accepted_tokens(),
        )


SETTINGS: dict[str, dict[str, Any]] = {
    "genai-plain": {"kind": "plain"},
    **{
        f"genai-lookup-k{k}-n{n}": {"kind": "lookup", "num_assistant_tokens": k, "max_ngram_size": n}
        for k in (3, 5, 8)
        for n in (2, 3)
    },
    **{f"genai-draft-k{k}": {"kind": "draft", "num_assistant_tokens": k} for k in (3, 5)},
}
GENAI_SYSTEMS: dict[str, Callable[[str], System]] = {
    f"{name}{properties}": partial(GenaiSystem, properties=properties, **settings)
    for properties in PROPERTIES
    for name, settings in SETTINGS.items()
}
