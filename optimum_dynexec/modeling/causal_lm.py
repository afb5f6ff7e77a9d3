"""`DynExecModelForCausalLM`: `OVModelForCausalLM` whose `generate` spends compute where the text needs it."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import openvino as ov
import torch
from optimum.intel import OVModelForCausalLM
from optimum.intel.openvino.modeling_decoder import OVPhi3ForCausalLM
from transformers import PretrainedConfig
from transformers.generation import GenerateDecoderOnlyOutput, GenerationConfig
from transformers.generation.logits_process import (
    LogitsProcessorList,
    UnbatchedClassifierFreeGuidanceLogitsProcessor,
)
from transformers.generation.stopping_criteria import StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from ..directory.attached_heads import HeadModel, exit_heads
from ..directory.config import DynExecConfig
from ..directory.loading import load_dynexec_config, load_heads, save_with_dynexec
from ..directory.tuning import Tuning
from ..early_exit.config import EarlyExitConfig
from ..graph.boundaries import find_layer_boundaries
from ..graph.errors import NotPageableError
from ..graph.paged import prepare
from ..native import _C
from ..precision import check_precision, precision_of, with_precision
from ..runtime import Engine
from ..speculative.config import SpeculationConfig
from ..speculative.stats import GenerationStats
from .assistants import draft_engine, weights_path
from .early_exit import CalibratedOnce, early_exit_params
from .generate_call import GenerateCall, why_plain
from .generate_request import make_job
from .guidance import UnconditionalBranch
from .logits_processors import PresenceFrequencyPenaltyLogitsProcessor
from .own_export import keep_own_export
from .speculation_arguments import SPECULATION_ARGUMENTS, given_arguments, without_speculation
from .tuned import start_from_tuning


logger = logging.getLogger(__name__)

# Arguments of `generate` that are not part of a GenerationConfig.
CALL_ARGUMENTS = ("tokenizer", "custom_generate", "trust_remote_code", "use_model_defaults")


@dataclass
class DynExecGenerateOutput(GenerateDecoderOnlyOutput):
    """
    What `generate(..., return_dict_in_generate=True)` returns: transformers' fields and `dynexec`.

    Args:
        sequences (`torch.LongTensor` of shape `(batch_size * num_return_sequences, length)`): prompts and output.
        dynexec ([`~speculative.GenerationStats`]): what the call did, in figures.
    """

    dynexec: GenerationStats | None = None


class DynExecModelForCausalLM(OVModelForCausalLM, CalibratedOnce):
    """
    Drop-in for `OVModelForCausalLM`. `generate` runs on an engine that speculates without changing the output;
    `forward` and what the engine does not cover (beam search, say) run on the plain model, as in optimum-intel.

    `last_stats` holds the [`~speculative.GenerationStats`] of the latest `generate` on the engine, `None` before.
    `speculation_memory` is what speculation has learned in earlier calls, a `_C.SpeculationMemory`; give the model a
    new one and it has learned nothing.
    """

    last_stats: GenerationStats | None = None
    dynexec_config: DynExecConfig | None = None
    _engine: Engine | None = None
    _not_pageable: str | None = None
    _max_cache_tokens: int | None = None
    _heads: Mapping[str, HeadModel] = MappingProxyType({})
    _cut: bool = True
    tuning: Tuning | None = None

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | Path,
        export: bool = False,
        *,
        precision: str | None = None,
        exit_layers: list[int] | None = None,
        heads: str | Path | None = None,
        max_cache_tokens: int | None = None,
        tuned: bool = True,
        **kwargs: Any,
    ) -> "DynExecModelForCausalLM":
        """
        Loads a model, or exports it first.

        Args:
            model_id (`str` or `Path`):
                Model on the hub or directory; with `export=False`, one that holds an OpenVINO model.
            export (`bool`, *optional*, defaults to `False`):
                Convert a transformers model.
            precision (`str`, *optional*):
                `"fast"` computes as OpenVINO does by default (bfloat16 and a compressed KV cache where the device has
                them): the last bits of a logit then depend on how many tokens share a forward pass, and near ties may
                be decided differently with speculation than without. `"exact"` computes in float32: greedy output
                with speculation equals plain decoding token for token. Unset: as the model was tuned, or `"fast"`.
            exit_layers (`list[int]`, *optional*):
                Layers after which the model is cut into segments. Unset: those of `dynexec_config.json` and of the
                exit heads in `heads`; with a draft head, only when a call asks for an exit, which then takes as long
                as loading. Exit heads at other layers are not used.
            heads (`str` or `Path`, *optional*):
                Trained heads to use beside those that the directory has, or in their place: a safetensors file, or a
                directory with some. Saving the model saves them too.
            max_cache_tokens (`int`, *optional*):
                Most tokens the KV cache may hold over all sequences of a call. Unset, it grows with need.
            tuned (`bool`, *optional*, defaults to `True`):
                Start from what `optimum-cli dynexec tune` has found for this model on this machine, if it has been
                run: `precision` and threads here, speculation in [`generate`]. What the caller says comes first.
            kwargs:
                Everything `OVModelForCausalLM.from_pretrained` takes.

        Raises:
            `ValueError`: for a `precision` or an exit layer that does not exist, or heads that do not fit the model.
        """
        if precision is not None:
            check_precision(precision)
        if max_cache_tokens is not None and max_cache_tokens < 1:
            raise ValueError(f"`max_cache_tokens` must be at least 1, got {max_cache_tokens}")
        return super().from_pretrained(
            model_id,
            export=export,
            precision=precision,
            exit_layers=exit_layers,
            heads=heads,
            max_cache_tokens=max_cache_tokens,
            tuned=tuned,
            **kwargs,
        )

    @classmethod
    def _export(cls, *args: Any, **kwargs: Any) -> Any:
        return keep_own_export(super()._export(*args, **kwargs))

    @classmethod
    def _from_pretrained(cls, model_id: str | Path, config: PretrainedConfig, **kwargs: Any):
        asked, tuned = kwargs.pop("precision", None), kwargs.pop("tuned", True)
        ov_config = with_precision(asked or "fast", kwargs.pop("ov_config", None))
        exit_layers, heads = kwargs.pop("exit_layers", None), kwargs.pop("heads", None)
        max_cache_tokens = kwargs.pop("max_cache_tokens", None)
        compile_only = kwargs.get("compile_only", False)
        compile_now = kwargs.pop("compile", True)
        model = super()._from_pretrained(
            model_id, config, ov_config=ov_config, compile=compile_only and compile_now, **kwargs
        )
        if not isinstance(model, cls):
            # optimum-intel hard-codes the class of some families. Ours goes on top of it.
            model.__class__ = type(cls.__name__, (cls, type(model)), {"__module__": cls.__module__})
        if not compile_only:
            model.dynexec_config = model._load_dynexec_config(exit_layers)
            model._load_heads(heads, exit_layers is None)
            # Segments cost a few percent of every pass. Beside a draft head, exits are not what drafts best: the model
            # is then cut when a call asks for an exit.
            drafts = any(head.config.kind == "draft" for head in model._heads.values())
            model._cut = exit_layers is not None or not drafts
            if tuned:
                start_from_tuning(model, asked)
        model._max_cache_tokens = max_cache_tokens
        if compile_now and not compile_only:
            model.compile()
        return model

    # ---- engine ------------------------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine | None:
        """The [`~runtime.Engine`] `generate` runs on, compiled on first use; `None` if the architecture has none."""
        with self._lock:
            if self._engine is None and self._not_pageable is None:
                if self._compile_only:
                    self._not_pageable = "`compile_only=True` leaves no model to prepare"
                else:
                    self._build_engine()
                if self._not_pageable is not None:
                    logger.warning(
                        f"{self.config.model_type}: {self._not_pageable}. `generate` works as in optimum-intel,"
                        " without speculation and its speed-up."
                    )
            return self._engine

    def _build_engine(self) -> None:
        try:
            self._engine = Engine(
                self.model,
                self._device,
                self.ov_config,
                self._boundaries(),
                self._max_cache_tokens,
                weights_path(self),
                self._usable_heads(),
                layers=self._layers(),
                layer_names={} if self.dynexec_config is None else self.dynexec_config.hidden_state_names,
            )
        except NotPageableError as error:
            self._not_pageable = str(error)

    @property
    def speculation_memory(self) -> Any:
        return self.__dict__.setdefault("_speculation_memory", _C.SpeculationMemory())

    @speculation_memory.setter
    def speculation_memory(self, memory: Any) -> None:
        self.__dict__["_speculation_memory"] = memory

    @property
    def _lock(self) -> threading.RLock:
        return self.__dict__.setdefault("_lock_of_this", threading.RLock())

    def _boundaries(self) -> list[str]:
        config = self.dynexec_config
        return [] if config is None else [config.hidden_state_names[layer] for layer in self._exit_layers()]

    def _exit_layers(self) -> list[int]:
        """The layers that the engine is cut after."""
        return list(self.dynexec_config.exit_layers) if self.dynexec_config is not None and self._cut else []

    def _cut_for_exits(self) -> None:
        """Makes the engine anew if the exits are there, but not in it. It stays so."""
        with self._lock:
            if self._cut or not exit_heads(self._heads):
                return
            logger.info("The model is compiled anew, cut after its exit layers.")
            self._cut, self._engine = True, None

    def _layers(self) -> list[int]:
        """The last layer of each of the engine's segments."""
        config = self.dynexec_config
        return [] if config is None else [*self._exit_layers(), len(config.hidden_state_names) - 1]

    def _usable_heads(self) -> list[ov.Model]:
        """The draft head, and the exit heads at layers that the model is cut after."""
        layers = [None, *self._exit_layers()] if self.dynexec_config is not None else []
        return [head.model for head in self._heads.values() if head.config.layer in layers]

    def compile(self) -> None:
        """Compiles the engine. The plain model under `forward` is compiled when it is first called."""
        if self.engine is None:
            super().compile()

    def prepare_inputs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        super().compile()
        return super().prepare_inputs(*args, **kwargs)

    def clear_requests(self) -> None:
        super().clear_requests()
        self._engine = None

    # ---- generate ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def generate(
        self,
        inputs: torch.Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: LogitsProcessorList | None = None,
        stopping_criteria: StoppingCriteriaList | None = None,
        prefix_allowed_tokens_fn: Callable[[int, torch.Tensor], list[int]] | None = None,
        synced_gpus: bool | None = None,
        assistant_model: Any = None,
        streamer: BaseStreamer | None = None,
        negative_prompt_ids: torch.Tensor | None = None,
        negative_prompt_attention_mask: torch.Tensor | None = None,
        *,
        speculation: str | None = None,
        early_exit: EarlyExitConfig | str | None = None,
        seed: int | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        **kwargs: Any,
    ) -> torch.Tensor | GenerateDecoderOnlyOutput:
        """
        Generates as `transformers` does, faster. Greedy output equals plain decoding token for token (see `precision`
        of [`from_pretrained`]), sampled output equals it in distribution.

        Takes all arguments of `transformers.GenerationMixin.generate`, and:

        Args:
            assistant_model ([`DynExecModelForCausalLM`] or `OVModelForCausalLM`, *optional*):
                A smaller model with the same tokenizer that proposes tokens.
            speculation (`str`, *optional*):
                `"auto"` mixes all there is and chooses draft lengths by measured gain, `"off"` decodes plainly;
                `"prompt_lookup"`, `"draft_model"`, `"draft_head"` and `"early_exit"` (heads that were trained for this
                model) use one source. Unset: what transformers' own arguments (`prompt_lookup_num_tokens`,
                `assistant_model`, `assistant_early_exit`) ask for; without any of them, what the model was tuned to
                (`optimum-cli dynexec tune`), or else `"auto"`.
            assistant_early_exit (`int`, *optional*):
                Draft with so many of the model's first layers and the exit head behind them.
            early_exit ([`~early_exit.EarlyExitConfig`] or `str`, *optional*):
                Let tokens leave the model early, after layers with an exit head. The output is then not that of the
                model. `"calibrated"`: by the thresholds in `dynexec_config.json` that `optimum-cli dynexec calibrate`
                has found, with their guarantee. Excludes speculation.
            num_assistant_tokens_schedule (`str`, *optional*):
                transformers' `"constant"`, `"heuristic"`, `"heuristic_transient"`, or `"auto"`; `"disco"` has heads
                end a draft by the classifier they were trained with (arXiv 2405.04304), at
                `assistant_confidence_threshold`.
            seed (`int`, *optional*):
                For sampling, from 0 to 2**64 - 1. Unset, it is drawn from torch's generator, so
                `transformers.set_seed` works. Prompt lookup does not change the tokens that a seed gives; an assistant
                model does, and so do its draft lengths, which are the same every time only with the schedule
                `"constant"`.
            presence_penalty, frequency_penalty (`float`, *optional*, defaults to 0):
                Subtracted from the logits of generated tokens, once or per occurrence.

        Returns:
            `torch.LongTensor` of shape `(batch_size * num_return_sequences, length)`, or
            [`DynExecGenerateOutput`] with `return_dict_in_generate=True`.

        Raises:
            `ValueError`: for arguments that are not accepted, an empty prompt, or token ids outside the vocabulary.
            `TypeError`: for an `assistant_model` of another kind.
        """
        given = given_arguments(kwargs, generation_config, self.generation_config)
        kwargs = {name: value for name, value in kwargs.items() if name not in SPECULATION_ARGUMENTS}
        if kwargs.get("assistant_tokenizer") is not None:
            raise ValueError("An assistant with another tokenizer is not supported: leave out `assistant_tokenizer`")
        speculation_asked = speculation not in (None, "auto") or any(value is not None for value in given.values())
        if speculation is None and not speculation_asked and assistant_model is None and early_exit is None:
            speculation, given = self._tuned_speculation(given)
        if early_exit is not None or speculation == "early_exit" or given["assistant_early_exit"] is not None:
            self._cut_for_exits()
        engine = self.engine
        if early_exit is not None and (speculation_asked or assistant_model is not None):
            raise ValueError("`early_exit` and speculation exclude each other: leave out the arguments of one of them")
        speculation_config = SpeculationConfig.resolve(
            "off" if early_exit is not None else speculation,
            assistant_model is not None,
            given,
            has_draft_head=engine is not None and engine.draft_head is not None,
            exit_layers=[] if engine is None else list(engine.exit_heads),
        )

        if engine is not None and speculation_config.schedule == "disco":
            self._check_stop_classifiers(speculation_config, engine)

        if presence_penalty != 0.0 or frequency_penalty != 0.0:
            length = _prompt_length(inputs, kwargs)
            penalty = PresenceFrequencyPenaltyLogitsProcessor(presence_penalty, frequency_penalty, length)
            penalties = LogitsProcessorList([penalty])
        else:
            penalties = LogitsProcessorList()

        call = GenerateCall(
            inputs=inputs,
            generation_config=generation_config,
            logits_processor=LogitsProcessorList(logits_processor or []),
            stopping_criteria=StoppingCriteriaList(stopping_criteria or []),
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            streamer=streamer,
            negative_prompt_ids=negative_prompt_ids,
            negative_prompt_attention_mask=negative_prompt_attention_mask,
            kwargs=kwargs,
        )
        config, model_kwargs = self._prepare_generation_config(
            generation_config, **{name: value for name, value in kwargs.items() if name not in CALL_ARGUMENTS}
        )
        reason = self._not_pageable if engine is None else why_plain(call, config, model_kwargs, self.config)
        if seed is not None and (not isinstance(seed, int) or not 0 <= seed < 2**64):
            raise ValueError(f"`seed` must be a whole number from 0 to 2**64 - 1, got {seed!r}")
        seed = int(torch.randint(2**62, (1,))) if seed is None and config.do_sample else seed
        if reason is not None:
            if early_exit is not None:
                raise ValueError(f"`early_exit` is not possible here: {reason}")
            if speculation_config.enabled and speculation_asked:
                logger.warning(f"Generating without speculation: {reason}.")
            call.logits_processor += penalties
            return self._generate_plain(call, seed)

        job = make_job(self, call, config, model_kwargs, penalties)
        job.seed = seed or 0
        job.speculation = speculation_config
        if early_exit is not None:
            job.early_exit = self._early_exit_params(early_exit)
        assert engine is not None  # else there is a reason
        if speculation_config.draft_model:
            job.draft_engine = draft_engine(assistant_model, job.max_length, engine, self.model_save_dir)
        sequences, self.last_stats = job.run(engine, self.speculation_memory)
        if config.return_dict_in_generate:
            return DynExecGenerateOutput(sequences=sequences, dynexec=self.last_stats)
        return sequences

    def _tuned_speculation(self, given: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """What a call without any word on speculation gets: as tuned, if the model was, and else `"auto"`."""
        if self.tuning is None or self.dynexec_config is None:
            return None, given
        options = dict(self.tuning.options)
        exit_layer = options.get("assistant_early_exit", 0) - 1
        layers = () if self.dynexec_config is None else self.dynexec_config.exit_layers
        if exit_layer >= 0 and exit_layer not in layers:
            # Loaded with other exits than it was tuned with.
            return None, given
        return options.pop("speculation", None), {**given, **options}

    @staticmethod
    def _check_stop_classifiers(config: SpeculationConfig, engine: Engine) -> None:
        heads = [engine.exit_heads[layer] for layer in config.exit_layers]
        heads += [engine.draft_head] if config.draft_head and engine.draft_head is not None else []
        if not heads:
            raise ValueError("`num_assistant_tokens_schedule='disco'` needs a draft head or exit heads that draft")
        missing = [
            "draft head" if head.layer is None else f"exit head after layer {head.layer}"
            for head in heads
            if head.stop_classifier is None
        ]
        if missing:
            raise ValueError(
                f"`num_assistant_tokens_schedule='disco'` needs heads with a stop classifier, but the {missing[0]} has"
                " none: train it again with `optimum-cli dynexec train-heads`"
            )

    def _early_exit_params(self, early_exit: EarlyExitConfig | str) -> Any:
        engine = self.engine
        assert engine is not None
        copies = isinstance(early_exit, EarlyExitConfig) and early_exit.kv == "copy"
        if copies and engine.exit_heads and self.dynexec_config is not None:
            engine.add_copiers(list(self.dynexec_config.hidden_state_names.values()))
        return self._once_if_calibrated(
            early_exit,
            lambda: early_exit_params(early_exit, engine, self.model_save_dir, precision_of(self.ov_config)),
            engine,
        )

    def _generate_plain(self, call: GenerateCall, seed: int | None) -> torch.Tensor | GenerateDecoderOnlyOutput:
        config = without_speculation(call.generation_config)
        # The plain model has one state: calls take turns.
        with self._lock, torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            return super().generate(
                call.inputs,
                generation_config=config,
                logits_processor=call.logits_processor,
                stopping_criteria=call.stopping_criteria,
                prefix_allowed_tokens_fn=call.prefix_allowed_tokens_fn,
                streamer=call.streamer,
                negative_prompt_ids=call.negative_prompt_ids,
                negative_prompt_attention_mask=call.negative_prompt_attention_mask,
                **call.kwargs,
            )

    def prepare_inputs_for_generation(
        self, input_ids: torch.Tensor, past_key_values: Any = None, **kwargs: Any
    ) -> Any:
        if isinstance(self, OVPhi3ForCausalLM) and kwargs.get("cache_position") is None:
            # It asks whether the cache ends before the original context, by what transformers no longer hands over.
            kwargs["cache_position"] = torch.tensor([self._get_past_length(past_key_values)])
        return super().prepare_inputs_for_generation(input_ids, past_key_values=past_key_values, **kwargs)

    def _get_logits_processor(self, *args: Any, **kwargs: Any) -> LogitsProcessorList:
        processors = super()._get_logits_processor(*args, **kwargs)
        for processor in processors:
            if type(processor) is UnbatchedClassifierFreeGuidanceLogitsProcessor and self.stateful:
                processor.model = UnconditionalBranch(self)
        return processors

    # ---- saving ------------------------------------------------------------------------------------------------

    def _load_dynexec_config(self, exit_layers: list[int] | None) -> DynExecConfig:
        directory = Path(str(self.model_save_dir))
        return load_dynexec_config(directory, self.model, self.config.model_type, find_layer_boundaries, exit_layers)

    def _load_heads(self, heads: str | Path | None, cut_for_them: bool) -> None:
        assert self.dynexec_config is not None
        directory = Path(str(self.model_save_dir))
        self._other_heads = heads is not None
        self._heads, self.dynexec_config = load_heads(directory, self.model, self.dynexec_config, heads, cut_for_them)

    def _save_pretrained(self, save_directory: str | Path) -> None:
        changes = {}
        if self.dynexec_config is not None:
            reason = self._why_not_pageable()
            changes = {"pageable": reason is None, "pageable_reason": reason}
        save = super()._save_pretrained
        xml_name = self._ov_model_paths["model"]
        save_with_dynexec(save_directory, xml_name, self.dynexec_config, self._heads, save, **changes)

    def _why_not_pageable(self) -> str | None:
        if self._engine is None and self._not_pageable is None:
            try:
                prepare(self.model)
            except NotPageableError as error:
                return str(error)
        return self._not_pageable


def _prompt_length(inputs: torch.Tensor | None, kwargs: Mapping[str, Any]) -> int:
    tokens = inputs if inputs is not None else kwargs.get("input_ids")
    return 1 if tokens is None else tokens.shape[1]
