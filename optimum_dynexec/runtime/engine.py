"""Compiles a decoder for the C++ decode loop."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openvino as ov

from ..graph.attention_rows import add_attention_rows
from ..graph.copiers import make_copier
from ..graph.cut_vocabulary import cut_vocabulary
from ..graph.input_limits import find_length_limit
from ..graph.merged_products import merge_products
from ..graph.paged import prepare
from ..graph.segments import cut
from ..heads.ir import decoder_head_config
from ..native import _C
from ..precision import FLOAT32_OV_CONFIG
from .fast_properties import fast_properties
from .heads import CompiledHead, compile_head, default_ov_config
from .memory import released_weights
from .row_limits import RowInvariance


# Largest number of prompt tokens in one forward pass. It limits the memory for activations.
MAX_BATCH_TOKENS = 1024


class Engine:
    """
    A compiled decoder with its paged KV cache and decode loop. Calls from several threads share its passes.

    Args:
        model (`openvino.Model`):
            Stateful decoder as optimum-intel exports it. It is not changed.
        device (`str`):
            OpenVINO device to run on.
        ov_config (`Mapping[str, str]`):
            OpenVINO properties for compilation.
        boundaries (`Sequence[str]`):
            Friendly names of the nodes to cut the model after. If empty, there is one segment.
        max_cache_tokens (`int`, *optional*):
            Maximum number of tokens in the KV cache. If not set, the cache grows as needed.
        weights_path (`str` or `Path`, *optional*):
            `.bin` file that `model` maps into memory.
        heads (`Sequence[openvino.Model]`, *optional*, defaults to `()`):
            Heads of the model, from [`~heads.ir.build_head_ir`] or their files: a draft head and exit heads at
            `boundaries`. They become `draft_head` (`None` without one) and `exit_heads`, by layer.
        head_ov_config (`Mapping[str, str]`, *optional*):
            OpenVINO properties of the heads, instead of the defaults. They do not affect the output, which is
            as exact as `ov_config` makes it, because heads only propose.
        layers (`Sequence[int]`, *optional*):
            Last layer before each of `boundaries`, and the model's last layer. Required with exit heads.
        layer_names (`Mapping[int, str]`, *optional*):
            Friendly names of the nodes whose outputs are the hidden states after each layer. Required with a draft
            head that reads some of them.
        row_invariance ([`~runtime.row_limits.RowInvariance`], *optional*):
            If set, the bits of a token's logits do not depend on other rows: the engine keeps its passes within these
            limits.
        draft_vocabulary (`Sequence[int]`, *optional*):
            If set, the model only drafts, and only these tokens. The attribute of that name then has them as a
            `_C.DraftVocabulary`.
        fast_identity (`Any`, *optional*):
            If set, the properties are chosen by [`~runtime.fast_properties.fast_properties`]: everything that the
            choice depends on, as values for JSON.

    The attribute `ov_config` has the properties of compilation, with those that were chosen.

    Raises:
        [`~graph.errors.NotPageableError`]: if the architecture is not supported.
        [`~runtime.row_limits.NotRowInvariantError`]: if there are no such limits on this machine.
        `ValueError`: if a head does not match the model, or its vocabulary cannot be cut.
    """

    def __init__(
        self,
        model: ov.Model,
        device: str,
        ov_config: Mapping[str, str],
        boundaries: Sequence[str] = (),
        max_cache_tokens: int | None = None,
        weights_path: str | Path | None = None,
        heads: Sequence[ov.Model] = (),
        head_ov_config: Mapping[str, str] | None = None,
        layers: Sequence[int] = (),
        layer_names: Mapping[int, str] | None = None,
        row_invariance: RowInvariance | None = None,
        fast_identity: Any = None,
        draft_vocabulary: Sequence[int] | None = None,
    ):
        if row_invariance is not None:
            row_invariance.check()
        core = ov.Core()
        self.ov_config = dict(ov_config)
        self._compile = lambda made, properties: core.compile_model(made, device, dict(properties))
        self._weights_path = weights_path
        configs = [decoder_head_config(head) for head in heads]
        read = next((config.feature_layers for config in configs if config.kind == "draft"), None)
        paged = prepare(model, None if read is None else [(layer_names or {})[layer] for layer in read])
        self.draft_vocabulary: _C.DraftVocabulary | None = None
        if draft_vocabulary is not None:
            cut_vocabulary(paged, draft_vocabulary)
            self.draft_vocabulary = _C.DraftVocabulary(draft_vocabulary)
        merge_products(paged)
        if row_invariance is not None:
            add_attention_rows(paged)
        segments = cut(paged, list(boundaries))
        self._later_segments = segments[1:]
        # The properties that make the backbone exact have no use for heads.
        common = {name: value for name, value in ov_config.items() if name not in FLOAT32_OV_CONFIG}
        compiled_heads = []

        def compile_segments(properties: Mapping[str, Any]) -> list[ov.CompiledModel]:
            return [self._compile(segment, properties) for segment in segments]

        with released_weights(weights_path):
            if fast_identity is None:
                compiled = compile_segments(ov_config)
            else:
                self.ov_config, compiled = fast_properties(model, compile_segments, ov_config, fast_identity)
            self.paged_model = _C.PagedModel(compiled, max_cache_tokens or 0)
            # The first forward passes still repack weights.
            self.paged_model.warm_up()
            if row_invariance is not None:
                table = find_length_limit(model)
                limits = row_invariance.limits(self.paged_model, table.tokens if table else None)
                self.paged_model.row_limits = limits
            for head, config in zip(heads, configs, strict=True):
                properties = {**common, **default_ov_config(head, device), **(head_ov_config or {})}
                # The hidden states that a draft head reads from other layers pass through the segments.
                given = None if config.layer is None else config.hidden_size * (1 + len(read or ()))
                compiled_heads.append(compile_head(head, model, device, properties, max_cache_tokens, given))
                compiled_heads[-1].paged_model.warm_up()
        # Measured now, so that no request has to wait for it.
        self.paged_model.profile()
        for head in compiled_heads:
            head.paged_model.profile()
        exits = sorted((head.layer, head) for head in compiled_heads if head.layer is not None)
        self.exit_heads: dict[int, CompiledHead] = dict(exits)
        self.layers = list(layers)
        self.draft_head: CompiledHead | None = next((head for head in compiled_heads if head.layer is None), None)
        self.loop = _C.DecodeLoop(self.paged_model, MAX_BATCH_TOKENS)

    def add_copiers(self, boundaries: Sequence[str]) -> None:
        """
        Enables early exit with copied hidden states. This needs memory for the projections to queries, keys
        and values of all layers after the first exit. A second call does nothing.

        Args:
            boundaries (`Sequence[str]`):
                Friendly names of the nodes whose outputs are the hidden states after each layer.
        """
        if self.paged_model.has_copiers:
            return
        with released_weights(self._weights_path):
            copiers = [
                self._compile(make_copier(segment, boundaries), self.ov_config) for segment in self._later_segments
            ]
            self.paged_model.add_copiers(copiers)

    def exit(self, layer: int) -> _C.Exit:
        """The exit after a layer with a head, in the form of the decode loop, `_C.Exit`."""
        return _C.Exit(self.exit_heads[layer].native, self.layers.index(layer))
