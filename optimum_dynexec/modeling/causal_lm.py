"""`DynExecModelForCausalLM`: `OVModelForCausalLM` whose `generate` spends compute where the text needs it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openvino as ov
import torch
from optimum.intel import OVModelForCausalLM
from optimum.intel.openvino.modeling_decoder import OVPhi3ForCausalLM
from optimum.intel.openvino.utils import OV_XML_FILE_NAME
from transformers import AutoModelForCausalLM, PretrainedConfig
from transformers.generation import GenerateDecoderOnlyOutput, GenerationConfig
from transformers.generation.logits_process import (
    LogitsProcessorList,
    UnbatchedClassifierFreeGuidanceLogitsProcessor,
)
from transformers.generation.stopping_criteria import StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from ..directory.attached_heads import exit_heads
from ..directory.tuning import this_machine
from ..early_exit.config import EarlyExitConfig
from ..graph.boundaries import find_layer_boundaries
from ..graph.compressed_weights import has_compressed_products
from ..graph.errors import NotPageableError
from ..graph.paged import prepare
from ..native import _C
from ..precision import FLOAT32_OV_CONFIG, check_precision
from ..runtime import Engine
from ..runtime.row_limits import NotRowInvariantError, RowInvariance, TooSlowError
from ..speculative.arguments import SpeculationArguments
from ..speculative.config import SpeculationConfig
from ..speculative.memory import load_memory, save_memory
from ..speculative.proposers.draft_head import DraftHead
from ..speculative.stats import GenerationStats
from ..utils.numbers import whole_number
from ..version import __version__
from .assistants import weights_path
from .base import DynExecModelMixin
from .continuous_batching import ContinuousBatchingMixin
from .draft_corpus import add_draft_corpus
from .draft_words import frequent_tokens
from .early_exit import early_exit_params
from .generate_call import CALL_DEFAULTS, GenerateCall, why_plain
from .generate_request import NoJob, PreparedJob, make_job
from .guidance import UnconditionalBranch
from .pipelines import known_to_pipelines
from .speculation_arguments import no_speculation_of_its_own, without_speculation


logger = logging.getLogger(__name__)

# With `precision="auto"`, a decoding step with `"exact"` may take this multiple of a step of the same arithmetic
# without row limits. With AMX, this is about 1.1, and float32, which comes instead, is slower, above all in passes
# with several rows. With AVX2 only, it is far more. Between these, a machine that is busy at load changes nothing.
MAX_SLOWDOWN = 1.3
# The tokens whose keys and values a prefix cache keeps if nothing else is said.
PREFIX_CACHE_TOKENS = 16384


@dataclass
class DynExecGenerateOutput(GenerateDecoderOnlyOutput):
    """
    What `generate(..., return_dict_in_generate=True)` returns: transformers' fields and `dynexec`.

    Args:
        sequences (`torch.LongTensor` of shape `(batch_size * num_return_sequences, length)`): prompts and output.
        dynexec ([`~speculative.GenerationStats`]): what the call did, in figures.
    """

    dynexec: GenerationStats | None = None


@known_to_pipelines(AutoModelForCausalLM)
class DynExecModelForCausalLM(ContinuousBatchingMixin, DynExecModelMixin, OVModelForCausalLM):
    """
    Drop-in for `OVModelForCausalLM`. `generate` runs on an engine that speculates without changing the output;
    `forward` and what the engine does not cover (beam search, say) run on the plain model, as in optimum-intel.

    `precision` is what the argument of that name came to: `"exact"`, `"f32"` or `"fast"`. `last_stats` holds the
    [`~speculative.GenerationStats`] of the latest `generate` on the engine, of whichever thread; `None` before. Those
    of one call are in the output of `generate(..., return_dict_in_generate=True)`. `speculation_memory` is what
    speculation has learned in earlier calls, a `_C.SpeculationMemory`; give the model a new one and it has learned
    nothing.
    """

    _find_boundaries = staticmethod(find_layer_boundaries)
    last_stats: GenerationStats | None = None
    _engine: Engine | None = None
    _not_pageable: str | None = None
    _max_cache_tokens: int | None = None
    _measure: bool = False
    _prefix_cache: bool = False
    _cut: bool = True
    _draft_tokens: list[int] | None = None

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
        measure: bool = True,
        draft_corpus: str | Path | None = None,
        draft_vocabulary: int | None = None,
        speculation_memory: str | Path | None = None,
        prefix_cache: bool = False,
        **kwargs: Any,
    ) -> "DynExecModelForCausalLM":
        """
        Loads a model, or exports it first.

        Args:
            model_id (`str` or `Path`):
                Model on the Hub, or directory. With `export=False`, it must contain an OpenVINO model.
            export (`bool`, *optional*, defaults to `False`):
                Whether to convert a transformers model.
            precision (`str`, *optional*):
                `"exact"`: greedy text with speculation equals plain decoding, token for token. With compressed weights
                (INT8, INT4), the bits of a token's logits do not depend on batch, drafts or chunks of the prompt:
                float32, except that OpenVINO may quantize the inputs of products to 8 bits, row by row. At the first
                load on a machine, this is proven by comparing bits; where it cannot be, the model runs with `"f32"`,
                and a warning says so. With float weights: float32. `"f32"`: float32 without quantization. `"fast"`:
                OpenVINO's defaults (bfloat16 and a compressed KV cache where the device supports them), or the
                arithmetic of `"exact"` if it is faster (see `measure`). The last bits of a logit then depend on how
                many tokens share a forward pass, so greedy text can differ where two tokens are nearly tied, from call
                to call with `speculation="auto"`. `"auto"`: `"exact"` with compressed weights, but `"f32"` where the
                same bits would make decoding more than 10% slower, as on processors with only AVX2; `"fast"` with
                others. If not set: the precision that the model was tuned to, or `"auto"`; `"fast"` if `ov_config`
                contradicts that.
            exit_layers (`list[int]`, *optional*):
                Layers after which the model is cut into segments. If not set: those of `dynexec_config.json` and of
                the exit heads in `heads`. With a draft head, the model is cut only when a call requests an exit, which
                then takes as long as loading. Exit heads at other layers are not used.
            heads (`str` or `Path`, *optional*):
                Trained heads to add to those of the directory, or to replace them: a safetensors file, or a directory
                of such files. They are saved with the model.
            max_cache_tokens (`int`, *optional*):
                Maximum number of tokens in the KV cache over all sequences of a call. If not set, the cache grows as
                needed.
            tuned (`bool`, *optional*, defaults to `True`):
                Whether to use the result of `optimum-cli dynexec tune` for this model on this machine, if there is
                one: `precision` and threads here, speculation in [`generate`]. Also whether to use the group size of
                dynamic quantization that the tuning or the export chose. Explicit arguments take precedence.
            measure (`bool`, *optional*, defaults to `True`):
                Whether `"fast"` takes the faster one of OpenVINO's default properties and float32 with dynamic
                quantization. At the first load on a machine, both are compiled and timed for a second or two; the
                result is remembered. What decides is the estimated time of a call with a prompt of 256 tokens and 128
                new tokens: the default is left only for what is more than 3% faster. `ov_config` of the model then has
                the properties, and a message at level `INFO` gives both times. Nothing is measured if the model has no
                `dynexec_config.json`, if both are the same arithmetic, or if `ov_config` sets one of the properties.
            draft_corpus (`str` or `Path`, *optional*):
                File of texts from which suffix drafts come, from `optimum-cli dynexec draft-corpus`. It belongs to
                `speculation_memory`: a new memory does not have it.
            draft_vocabulary (`int`, *optional*):
                For a model that only drafts: number of tokens that it can propose. Its unembedding, often a quarter of
                what it reads for a token, is cut to those that it most likely writes: the added tokens of the
                tokenizer, those in `draft_corpus`, and those with the smallest ids.
            speculation_memory (`str` or `Path`, *optional*):
                File of [`save_speculation_memory`]: what draft sources learned in an earlier process.
            prefix_cache (`bool`, *optional*, defaults to `False`):
                Whether the keys and values of a text are kept when its call ends, so that later calls that begin with
                the same tokens (a system prompt, an earlier turn of a chat) need not compute them again. With
                `precision="exact"` and compressed weights, this changes no bit. The cache keeps up to
                `max_cache_tokens` tokens, or 16,384 if that is not set, until their room is needed.
            kwargs (*optional*):
                All other arguments of `OVModelForCausalLM.from_pretrained`.

        Raises:
            `ValueError`: if a `precision` or an exit layer does not exist, or heads, draft corpus or speculation
                memory do not match the model.
        """
        if precision is not None:
            check_precision(precision)
        if max_cache_tokens is not None:
            max_cache_tokens = whole_number("max_cache_tokens", max_cache_tokens, 1)
        if draft_vocabulary is not None:
            draft_vocabulary = whole_number("draft_vocabulary", draft_vocabulary, 1)
        return super().from_pretrained(
            model_id,
            export=export,
            precision=precision,
            exit_layers=exit_layers,
            heads=heads,
            max_cache_tokens=max_cache_tokens,
            tuned=tuned,
            measure=measure,
            draft_corpus=draft_corpus,
            draft_vocabulary=draft_vocabulary,
            speculation_memory=speculation_memory,
            prefix_cache=prefix_cache,
            **kwargs,
        )

    @classmethod
    def _from_pretrained(
        cls,
        model_id: str | Path,
        config: PretrainedConfig,
        *,
        max_cache_tokens: int | None = None,
        measure: bool = True,
        draft_corpus: str | Path | None = None,
        draft_vocabulary: int | None = None,
        speculation_memory: str | Path | None = None,
        prefix_cache: bool = False,
        compile: bool = True,
        **kwargs: Any,
    ) -> "DynExecModelForCausalLM":
        model = super()._from_pretrained(model_id, config, compile=compile, **kwargs)
        model._max_cache_tokens, model._measure, model._prefix_cache = max_cache_tokens, measure, prefix_cache
        vocab_size = config.get_text_config().vocab_size
        if draft_vocabulary is not None and draft_vocabulary < vocab_size:
            model._draft_tokens = frequent_tokens(model._directory, vocab_size, draft_vocabulary, draft_corpus)
        if draft_corpus is not None:
            add_draft_corpus(model.speculation_memory, draft_corpus, model._directory, vocab_size)
        if speculation_memory is not None:
            load_memory(model.speculation_memory, speculation_memory, model._fingerprint)
        if compile and not model._compile_only:
            model.compile()
        return model

    @classmethod
    def _own_class(cls, model: OVModelForCausalLM) -> "DynExecModelForCausalLM":
        if isinstance(model, cls):
            return model
        # A new object gets our class before the other class in its bases, and all attributes of the loaded model.
        own: Any = object.__new__(type(cls.__name__, (cls, type(model)), {"__module__": cls.__module__}))
        own.__dict__ = model.__dict__
        return own

    def _load_dynexec(self, exit_layers: list[int] | None, heads: str | Path | None) -> None:
        super()._load_dynexec(exit_layers, heads)
        # Segments cost a few percent of every pass. A draft head drafts better than exits do: with one, the model is
        # only cut when a call requests an exit.
        drafts = any(head.config.kind == "draft" for head in self._heads.values())
        self._cut = exit_layers is not None or not drafts

    # ---- engine ------------------------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine | None:
        """The [`~runtime.Engine`] `generate` runs on, compiled on first use; `None` if the architecture has none."""
        # A call of the plain model holds the lock, and must not keep calls of the engine waiting.
        if self._engine is not None:
            return self._engine
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
            self._engine = self._make_engine()
        except NotPageableError as error:
            self._not_pageable = str(error)
            if self.precision == "exact":
                self._use_float32()
        except NotRowInvariantError as error:
            logger.log(
                logging.INFO if isinstance(error, TooSlowError) else logging.WARNING,
                "%s: %s on this machine, so the model runs with `precision='f32'` instead of 'exact'.",
                self.config.model_type,
                error,
            )
            self._use_float32()
            self._engine = self._make_engine()

    def _make_engine(self) -> Engine:
        config = self.dynexec_config
        heads = self._usable_heads()
        invariance = None
        if self.precision == "exact" and self._has_compressed_weights():
            invariance = RowInvariance(
                self._engine_identity(len(heads)), MAX_SLOWDOWN if self._exact_if_cheap else None
            )
        identity = self._engine_identity(len(heads)) if self.precision == "fast" and self._measure else None
        engine = Engine(
            self.model,
            self._device,
            self.ov_config,
            self._boundaries(),
            self._max_cache_tokens,
            weights_path(self),
            heads,
            layers=self._layers(),
            layer_names={} if config is None else config.hidden_state_names,
            row_invariance=invariance,
            fast_identity=identity,
            draft_vocabulary=self._draft_tokens,
        )
        if self._prefix_cache:
            engine.paged_model.keep_prefixes(self._max_cache_tokens or PREFIX_CACHE_TOKENS)
        # Once is enough: an engine that is cut for its exits keeps the choice.
        self.ov_config, self._measure = engine.ov_config, False
        return engine

    def _engine_identity(self, heads: int) -> list[Any] | None:
        """All that the kernels of the engine depend on, as values for JSON; `None` if the model is not known."""
        config = self.dynexec_config
        if config is None or config.model_fingerprint is None:
            return None
        properties = {key: str(value) for key, value in sorted(self.ov_config.items())}
        made_by = [this_machine(self._device), ov.get_version(), __version__]
        cut = [] if self._draft_tokens is None else [len(self._draft_tokens)]
        return [config.model_fingerprint, properties, self._boundaries(), heads, *made_by, *cut]

    def _use_float32(self) -> None:
        self.precision, self.ov_config = "f32", {**self.ov_config, **FLOAT32_OV_CONFIG}

    def _has_compressed_weights(self) -> bool:
        return has_compressed_products(self.model)

    @property
    def speculation_memory(self) -> _C.SpeculationMemory:
        return self.__dict__.setdefault("_speculation_memory", _C.SpeculationMemory())

    @speculation_memory.setter
    def speculation_memory(self, memory: _C.SpeculationMemory) -> None:
        self.__dict__["_speculation_memory"] = memory

    def save_speculation_memory(self, path: str | Path) -> None:
        """
        Writes how often drafts were accepted to a file, for `from_pretrained(..., speculation_memory=path)` in another
        process, which then knows from the first token on which drafts pay. Texts of earlier calls are not part of it.

        Args:
            path (`str` or `Path`): file to write, ending in `.safetensors`.
        """
        save_memory(self.speculation_memory, path, self._fingerprint)

    @property
    def _fingerprint(self) -> str:
        """Identifies the model; empty if it is not known."""
        return (self.dynexec_config.model_fingerprint if self.dynexec_config is not None else None) or ""

    def _boundaries(self) -> list[str]:
        config = self.dynexec_config
        return [] if config is None else [config.hidden_state_names[layer] for layer in self._exit_layers()]

    def _exit_layers(self) -> list[int]:
        """The layers after which the engine is cut."""
        return list(self.dynexec_config.exit_layers) if self.dynexec_config is not None and self._cut else []

    def _cut_for_exits(self) -> None:
        """Rebuilds the engine with the exits if the model has exits and the engine does not. Later calls keep it."""
        if self._cut or not exit_heads(self._heads):
            return
        with self._lock:
            if self._cut:
                return
            logger.info("The model is compiled again, cut after its exit layers.")
            self._cut, self._engine = True, None

    def _layers(self) -> list[int]:
        """The last layer of each of the engine's segments."""
        config = self.dynexec_config
        return [] if config is None else [*self._exit_layers(), len(config.hidden_state_names) - 1]

    def _usable_heads(self) -> list[ov.Model]:
        """The draft head, and the exit heads at the layers after which the model is cut."""
        layers = [None, *self._exit_layers()] if self.dynexec_config is not None else []
        return [head.model for head in self._heads.values() if head.config.layer in layers]

    def compile(self) -> None:
        """Compiles the engine. The plain model under `forward` is compiled when it is first called."""
        if self.engine is None:
            self._compile_plain()

    def prepare_inputs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self._compile_plain()
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
        assistant_model: OVModelForCausalLM | str | Path | None = None,
        streamer: BaseStreamer | None = None,
        negative_prompt_ids: torch.Tensor | None = None,
        negative_prompt_attention_mask: torch.Tensor | None = None,
        *,
        speculation: str | None = None,
        early_exit: EarlyExitConfig | str | None = None,
        seed: int | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        draft_scope: str = "",
        cache_salt: str = "",
        **kwargs: Any,
    ) -> torch.Tensor | GenerateDecoderOnlyOutput:
        """
        Generates like `transformers`, but faster. Greedy text equals plain decoding token for token (see `precision`
        of [`from_pretrained`]). Sampled text has the same distribution.

        Takes all arguments of `transformers.GenerationMixin.generate`, and:

        Args:
            assistant_model ([`DynExecModelForCausalLM`], `OVModelForCausalLM`, `str` or `Path`, *optional*):
                Smaller model with the same tokenizer that proposes tokens, or the directory of its export. A
                directory is loaded in the first call that names it, with `precision="fast"`, and kept.
            speculation (`str`, *optional*):
                `"auto"`: mixes all draft sources and chooses the number of draft tokens by the measured gain; with the
                precision `"fast"`, the same call can then give different text from call to call. `"off"`: plain
                decoding. `"suffix"`, `"prompt_lookup"`, `"draft_model"`, `"draft_head"` or `"exit_heads"` (heads that
                were trained for this model): one draft source. If not set: the mode that transformers' own arguments
                (`prompt_lookup_num_tokens`, `assistant_model`, `assistant_early_exit`) request; without them, the mode
                that the model was tuned to (`optimum-cli dynexec tune`), or else `"auto"`.
            assistant_early_exit (`int`, *optional*):
                Number of the model's first layers that draft, with the exit head after them.
            draft_window (`int`, *optional*, defaults to 256):
                Number of last tokens that the assistant model reads at most before it drafts. It changes how often
                drafts are accepted, and no token of the output.
            early_exit ([`~early_exit.EarlyExitConfig`] or `str`, *optional*):
                Lets tokens leave the model early, after layers with an exit head. The output is then not that of the
                full model. `"calibrated"`: with the thresholds of `optimum-cli dynexec calibrate` in
                `dynexec_config.json`, and their guarantee. It cannot be combined with speculation.
            num_assistant_tokens_schedule (`str`, *optional*):
                transformers' `"constant"`, `"heuristic"` or `"heuristic_transient"`; or `"auto"`; or `"disco"`, with
                which heads end a draft by the classifier that they were trained with (arXiv 2405.04304), at
                `assistant_confidence_threshold`.
            seed (`int`, *optional*):
                Random seed for sampling, from 0 to 2**64 - 1. If not set, it is drawn from torch's generator, so
                `transformers.set_seed` works. Calls that run on the plain model draw from that generator themselves,
                as in optimum-intel. Prompt lookup does not change the tokens that a seed gives. An assistant model
                does, and so do its draft lengths, which are always the same only with the schedule `"constant"`.
            presence_penalty (`float`, *optional*, defaults to 0):
                Number that is subtracted once from the logits of generated tokens.
            frequency_penalty (`float`, *optional*, defaults to 0):
                Number that is subtracted from the logits of generated tokens for each occurrence.
            draft_scope (`str`, *optional*, defaults to `""`):
                Suffix drafts also come from the texts of earlier calls with the same scope. Give each tenant a scope
                of its own, and no text of one is ever a draft for another. `model.speculation_memory.forget_texts()`
                forgets all of them.
            cache_salt (`str`, *optional*, defaults to `""`):
                With `prefix_cache`, only calls with the same salt share the KV blocks of their first tokens. Give each
                tenant a salt of its own, and no one can tell from the time of a call what others have sent.

        Returns:
            `torch.LongTensor` of shape `(batch_size * num_return_sequences, length)`, or
            [`DynExecGenerateOutput`] with `return_dict_in_generate=True`.

        Raises:
            `ValueError`: if an argument is not accepted, a prompt is empty, or a token id is outside the vocabulary.
            `TypeError`: if `assistant_model` or `early_exit` has another type, or the inputs are not a tensor.
        """
        if self._draft_tokens is not None:
            raise ValueError("this model was loaded with `draft_vocabulary`: it can only be an `assistant_model`")
        if isinstance(assistant_model, str | Path):
            assistant_model = self._assistant(assistant_model)
        call = GenerateCall.read(
            defaults=self.generation_config,
            inputs=inputs,
            generation_config=generation_config,
            logits_processor=logits_processor,
            stopping_criteria=stopping_criteria,
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            streamer=streamer,
            negative_prompt_ids=negative_prompt_ids,
            negative_prompt_attention_mask=negative_prompt_attention_mask,
            assistant_model=assistant_model,
            speculation=speculation,
            early_exit=early_exit,
            seed=seed,
            presence_penalty=presence_penalty,
            frequency_penalty=frequency_penalty,
            draft_scope=draft_scope,
            cache_salt=cache_salt,
            kwargs=kwargs,
        )
        prepared = self._prepare_job(call)
        if isinstance(prepared, NoJob):
            if early_exit is not None:
                raise ValueError(f"`early_exit` is not possible here: {prepared.reason}")
            if prepared.speculates:
                logger.warning(f"Generating without speculation: {prepared.reason}.")
            return self._generate_plain(call)
        sequences, stats = prepared.job.run(prepared.engine, self.speculation_memory)
        stats = replace(stats, precision=self.precision)
        self.last_stats = stats
        if prepared.return_dict_in_generate:
            # Not `last_stats`, which another thread may have set by now.
            return DynExecGenerateOutput(sequences=sequences, dynexec=stats)
        return sequences

    def _read_call(
        self, inputs: torch.Tensor, generation_config: GenerationConfig | None, arguments: dict[str, Any]
    ) -> GenerateCall:
        """Reads the other arguments of [`generate`] from a dictionary."""
        kwargs = dict(arguments)
        given = {name: kwargs.pop(name, default) for name, default in CALL_DEFAULTS.items()}
        if isinstance(given["assistant_model"], str | Path):
            given["assistant_model"] = self._assistant(given["assistant_model"])
        return GenerateCall.read(
            defaults=self.generation_config,
            inputs=inputs,
            generation_config=generation_config,
            kwargs=kwargs,
            **given,
        )

    def _prepare_job(self, call: GenerateCall) -> PreparedJob | NoJob:
        """Reads the arguments of a call, and makes the job for the engine, if the engine can run it."""
        # Early exit excludes speculation, so it comes first.
        if call.early_exit is not None:
            self._cut_for_exits()
            speculation_config = SpeculationConfig()
        else:
            speculation_config = self._speculation(call.speculation)
        config, model_kwargs = self._prepare_generation_config(call.generation_config, **call.for_config)
        engine = self.engine
        reason = self._not_pageable if engine is None else why_plain(call, config, model_kwargs, self.config)
        if engine is None or reason is not None:
            return NoJob(reason or "", speculation_config.enabled and call.speculation.asked)
        exits = None if call.early_exit is None else self._early_exit_params(call.early_exit, engine)
        job = make_job(self, engine, call, config, model_kwargs, speculation_config, exits)
        return PreparedJob(job, engine, bool(config.return_dict_in_generate))

    def _assistant(self, directory: str | Path) -> "DynExecModelForCausalLM":
        """The assistant model of a directory, loaded once."""
        path = Path(directory).resolve()
        if not (path / OV_XML_FILE_NAME).is_file():
            raise ValueError(
                "`assistant_model` must be a model or the directory of an exported model, got"
                f" {str(directory)!r}, which has no {OV_XML_FILE_NAME}"
            )
        with self._lock:
            loaded: dict[Path, DynExecModelForCausalLM] = self.__dict__.setdefault("_assistants", {})
            if path not in loaded:
                # It only proposes, so its arithmetic changes no token.
                loaded[path] = DynExecModelForCausalLM.from_pretrained(
                    path, precision="fast", exit_layers=[], device=self._device
                )
            return loaded[path]

    def _speculation(self, asked: SpeculationArguments) -> SpeculationConfig:
        """Resolves the speculation of a call from its arguments, the tuning of the model, and the heads."""
        if not asked.asked and asked.speculation is None:
            asked = self._tuned(asked)
        if asked.mode == "exit_heads" or asked.assistant_early_exit is not None:
            self._cut_for_exits()
        engine = self.engine
        if engine is None:
            return SpeculationConfig.resolve(asked)
        found = SpeculationConfig.resolve(asked, engine.draft_head is not None, list(engine.exit_heads))
        if found.lookahead == "disco":
            self._check_stop_classifiers(found, engine)
        return found

    def _tuned(self, asked: SpeculationArguments) -> SpeculationArguments:
        """The speculation of a call that does not set it: as tuned, if the model was tuned, or else the default."""
        if self.tuning is None or self.dynexec_config is None:
            return asked
        tuned, layers = asked.tuned(self.tuning.options), self.dynexec_config.exit_layers
        needed = layers[:1] if tuned.assistant_early_exit is None else [tuned.assistant_early_exit - 1]
        # It does not fit if the model was loaded with other exits than those it was tuned with.
        fits = tuned.mode != "exit_heads" or (needed and needed[0] in layers)
        return tuned if fits else asked

    @staticmethod
    def _check_stop_classifiers(config: SpeculationConfig, engine: Engine) -> None:
        heads = [engine.exit_heads[layer] for layer in config.exit_layers]
        heads += [engine.draft_head] if engine.draft_head is not None and config.of_kind(DraftHead) else []
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

    def _early_exit_params(self, early_exit: EarlyExitConfig | str, engine: Engine) -> _C.EarlyExitParams:
        copies = isinstance(early_exit, EarlyExitConfig) and early_exit.kv == "copy"
        if copies and engine.exit_heads and self.dynexec_config is not None:
            engine.add_copiers(list(self.dynexec_config.hidden_state_names.values()))
        return self._once_if_calibrated(
            early_exit,
            lambda: early_exit_params(early_exit, engine, self.model_save_dir, self.precision),
            engine,
        )

    def _generate_plain(self, call: GenerateCall) -> torch.Tensor | GenerateDecoderOnlyOutput:
        config = without_speculation(call.generation_config)
        # The plain model has one state, so calls take turns. Without a seed, it draws from torch's global generator.
        fork = torch.random.fork_rng(devices=[], enabled=call.seed is not None)
        with self._lock, fork, no_speculation_of_its_own(self):
            if call.seed is not None:
                torch.manual_seed(call.seed)
            return super().generate(
                call.inputs,
                generation_config=config,
                logits_processor=LogitsProcessorList([*call.logits_processor, *call.penalties]),
                stopping_criteria=call.stopping_criteria,
                prefix_allowed_tokens_fn=call.prefix_allowed_tokens_fn,
                streamer=call.streamer,
                negative_prompt_ids=call.negative_prompt_ids,
                negative_prompt_attention_mask=call.negative_prompt_attention_mask,
                **call.kwargs,
            )

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        past_key_values: tuple[tuple[torch.Tensor, ...], ...] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        if isinstance(self, OVPhi3ForCausalLM) and kwargs.get("cache_position") is None:
            # optimum-intel's Phi-3 needs it to see whether the cache ends before the original context, but
            # transformers no longer passes it.
            kwargs["cache_position"] = torch.tensor([self._get_past_length(past_key_values)])
        return super().prepare_inputs_for_generation(input_ids, past_key_values=past_key_values, **kwargs)

    def _get_logits_processor(self, *args: Any, **kwargs: Any) -> LogitsProcessorList:
        processors = super()._get_logits_processor(*args, **kwargs)
        for processor in processors:
            if type(processor) is UnbatchedClassifierFreeGuidanceLogitsProcessor and self.stateful:
                processor.model = UnconditionalBranch(self)
        return processors

    # ---- saving ------------------------------------------------------------------------------------------------

    def _changes_when_saved(self) -> dict[str, bool | str | None]:
        reason = self._why_not_pageable()
        return {"pageable": reason is None, "pageable_reason": reason}

    def _why_not_pageable(self) -> str | None:
        if self._engine is None and self._not_pageable is None:
            try:
                prepare(self.model)
            except NotPageableError as error:
                return str(error)
        return self._not_pageable
