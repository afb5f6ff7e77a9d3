"""The common part of `DynExecModelFor…` for encoders, vision and audio models: early exit of whole samples."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
import torch
from transformers import PretrainedConfig
from transformers.modeling_outputs import ModelOutput

from ..directory.attached_heads import exit_heads
from ..directory.config import DynExecConfig
from ..directory.one_label import check_one_label
from ..early_exit.config import EarlyExitConfig
from ..early_exit.encoder_stats import EncoderStats
from ..graph.encoder_boundaries import find_encoder_boundaries
from ..graph.paging import ENCODER_REASON
from ..native import _C
from ..precision import check_precision
from ..runtime.encoder_engine import PATIENCE_OF_STREAMS, EncoderEngine
from ..runtime.encoder_exits import EncoderExits
from ..runtime.faster_way import FasterWay
from ..utils.numbers import whole_number
from .base import DynExecModelMixin
from .early_exit import CALIBRATED, check_early_exit, encoder_exit_params, no_exits
from .input_checks import InputChecks
from .tuned import TUNED, tuned_exit


if TYPE_CHECKING:
    from optimum.intel.openvino.modeling_base import OVBaseModel
    from typing_extensions import Self


# The type of the inputs, and then also of the outputs.
Values: TypeAlias = torch.Tensor | np.ndarray
# The default of `early_exit` in a call: the value that the model was loaded with.
AS_LOADED = "as_loaded"


class DynExecEncoderMixin(DynExecModelMixin):
    """
    Mixin that precedes an `OVModelFor…` class in the bases of a class. `forward` then lets samples leave after layers
    with an exit head, if `early_exit` is set when the model is loaded or called. Otherwise the plain model runs, as in
    optimum-intel.

    `last_stats` holds the [`~early_exit.encoder_stats.EncoderStats`] of the latest call with early exit, of whichever
    thread; `None` before. Those of one call are the attribute `dynexec` of its output.
    """

    # The type that `forward` returns.
    output_class: ClassVar[type[ModelOutput]]
    _find_boundaries = staticmethod(find_encoder_boundaries)
    last_stats: EncoderStats | None = None
    early_exit: EarlyExitConfig | str | None = None
    _engine: EncoderEngine | None = None
    _exits_model: EncoderExits | None = None
    _input_checks: InputChecks | None = None
    _whole_engine: EncoderEngine | None = None
    # Of the engine with exits and the one without; `None`: samples may leave in every call.
    _faster: FasterWay | None = None

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | Path,
        export: bool = False,
        *,
        precision: str | None = None,
        exit_layers: list[int] | None = None,
        heads: str | Path | None = None,
        early_exit: EarlyExitConfig | str | None = None,
        tuned: bool = True,
        measure: bool = True,
        **kwargs: Any,
    ) -> "Self":
        """
        Loads a model, or exports it first.

        Args:
            model_id (`str` or `Path`):
                Model on the Hub, or directory. With `export=False`, it must contain an OpenVINO model.
            export (`bool`, *optional*, defaults to `False`):
                Whether to convert a transformers model.
            precision (`str`, *optional*):
                `"fast"` or `"auto"`: OpenVINO's defaults (bfloat16 where the device supports it). `"exact"` or
                `"f32"`: float32. If not set: the precision that the model was tuned to, or `"fast"`.
            exit_layers (`list[int]`, *optional*):
                Layers after which samples may leave. If not set: those of `dynexec_config.json` and of the exit heads
                in `heads`. Exit heads at other layers are not used.
            heads (`str` or `Path`, *optional*):
                Trained heads to add to those of the directory, or to replace them: a safetensors file, or a
                directory of such files. They are saved with the model.
            early_exit ([`~early_exit.EarlyExitConfig`] or `str`, *optional*):
                Early exit of calls without this argument. `"calibrated"`: with the thresholds in
                `dynexec_config.json`. `"tuned"`: the setting that `optimum-cli dynexec tune` has found to be the
                fastest within its limit, which may be without early exit.
            tuned (`bool`, *optional*, defaults to `True`):
                Whether to use the precision and threads that the model was tuned to on this machine, if it was.
                Explicit arguments take precedence.
            measure (`bool`, *optional*, defaults to `True`):
                Whether calls with `early_exit="calibrated"` run the whole model where this is faster. For each size of
                a batch, the first six calls measure both ways. After that, the faster one runs, and the other one is
                tried again every 64 calls. The whole model, which is compiled when it is first needed, takes memory of
                its own. `False`: samples may leave in every call.
            kwargs (*optional*):
                All other arguments of `from_pretrained` of the `OVModelFor…` class.

        Raises:
            `ValueError`: if a `precision` or an exit layer does not exist, or heads do not match the model.
        """
        if precision is not None:
            check_precision(precision)
        return super().from_pretrained(
            model_id,
            export=export,
            precision=precision,
            exit_layers=exit_layers,
            heads=heads,
            early_exit=early_exit,
            tuned=tuned,
            measure=measure,
            **kwargs,
        )

    @classmethod
    def _from_pretrained(
        cls,
        model_id: str | Path,
        config: PretrainedConfig,
        *,
        early_exit: EarlyExitConfig | str | None = None,
        measure: bool = True,
        compile: bool = True,
        **kwargs: Any,
    ) -> "OVBaseModel":
        model = super()._from_pretrained(model_id, config, compile=compile, **kwargs)
        params = None
        # For some architectures that are no plain encoders, optimum-intel loads a class of its own: it is kept.
        if isinstance(model, cls):
            model.early_exit = early_exit
            model._faster = FasterWay() if measure else None
            params = model._params(early_exit)
        if compile and not model._compile_only:
            if params is None:
                model.compile()
            else:
                model.engine  # noqa: B018
        return model

    def _load_dynexec_config(self, exit_layers: list[int] | None, **defaults: bool | str) -> DynExecConfig:
        return super()._load_dynexec_config(
            exit_layers, task=self.export_feature, pageable=False, pageable_reason=ENCODER_REASON, **defaults
        )

    # ---- engine ------------------------------------------------------------------------------------------------

    @property
    def exit_layers(self) -> list[int]:
        """The layers after which samples may leave, ascending."""
        if self.dynexec_config is None:
            return []
        layers = self.dynexec_config.exit_layers
        if self._embeddings:
            return list(layers)
        heads = exit_heads(self._heads)
        return [layer for layer in layers if layer in heads]

    @property
    def engine(self) -> EncoderEngine:
        """
        The [`~runtime.encoder_engine.EncoderEngine`] that `forward` runs on with early exit, compiled on first use.

        Raises:
            `ValueError`: if the model has no exits.
        """
        with self._lock:
            if self._engine is None:
                if not self.exit_layers:
                    raise ValueError(self._why_no_exits())
                self._engine = self._make_engine()
            return self._engine

    def _make_engine(self, *, whole: bool = False) -> EncoderEngine:
        assert self.dynexec_config is not None
        return EncoderEngine(
            self.model,
            self._device,
            self.ov_config,
            self.export_feature,
            self.dynexec_config.hidden_state_names,
            self.exit_layers,
            exit_heads(self._heads),
            self._image_size(),
            whole=whole,
        )

    @property
    def _whole(self) -> EncoderEngine:
        """The engine that no sample leaves early."""
        with self._lock:
            if self._whole_engine is None:
                self._whole_engine = self._make_engine(whole=True)
            return self._whole_engine

    @property
    def _checks(self) -> InputChecks:
        with self._lock:
            if self._input_checks is None:
                self._input_checks = InputChecks(self.model, self.config)
            return self._input_checks

    @property
    def _embeddings(self) -> bool:
        return self.export_feature == "feature-extraction"

    def _why_no_exits(self) -> str:
        if self.dynexec_config is None or not self.dynexec_config.hidden_state_names:
            return f"early exit is not possible: this {self.config.model_type} cannot be cut between its layers"
        if self._embeddings:
            return "early exit needs exit layers: load the model with `exit_layers`"
        return (
            "early exit needs exit heads, but this model has none: train them with"
            " `optimum-cli dynexec train-heads` and attach them, or load the model with `heads`"
        )

    def _image_size(self) -> tuple[int, int] | None:
        size = getattr(self.config, "image_size", None)
        if isinstance(size, int):
            return size, size
        return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) and len(size) == 2 else None

    def clear_requests(self) -> None:
        super().clear_requests()
        self._forget_engines()

    def _forget_engines(self) -> None:
        self._engine = None
        self._whole_engine = None
        self._exits_model = None
        self._input_checks = None

    def reshape(self, *args: Any, **kwargs: Any) -> "Self":
        model = super().reshape(*args, **kwargs)
        self._forget_engines()
        return model

    # ---- calls -------------------------------------------------------------------------------------------------

    def _params(self, early_exit: EarlyExitConfig | str | None) -> _C.EncoderParams | None:
        """The parameters of the engine; `None` if the plain model runs."""
        check_early_exit(early_exit, CALIBRATED, TUNED)
        if early_exit == TUNED:
            early_exit = tuned_exit(self.tuning)
        if early_exit is None:
            return None
        layers = self.exit_layers
        if not layers:
            raise ValueError(self._why_no_exits())
        if self.export_feature.endswith("classification"):
            check_one_label(self.config)
        return self._once_if_calibrated(
            early_exit,
            lambda: encoder_exit_params(
                early_exit,
                layers,
                self.model_save_dir,
                embeddings=self._embeddings,
                precision=self.precision,
            ),
        )

    def _call(
        self,
        inputs: dict[str, Values | None],
        early_exit: EarlyExitConfig | str | None,
        plain: Callable[[], ModelOutput],
    ) -> ModelOutput:
        """
        Runs a batch.

        Args:
            inputs (`dict[str, torch.Tensor or np.ndarray]`): inputs by name; the first one is the main input.
            early_exit: argument of `forward`.
            plain (`Callable`): function that runs the plain model on the same inputs.
        """
        early_exit = self.early_exit if early_exit == AS_LOADED else early_exit
        params = self._params(early_exit)
        name, main = next(iter(inputs.items()))
        if not isinstance(main, torch.Tensor | np.ndarray):
            raise TypeError(
                f"`{name}` must be a torch.Tensor or np.ndarray, as a tokenizer or processor gives it, got"
                f" {type(main).__name__}"
            )
        as_numpy = isinstance(main, np.ndarray)
        if len(main) == 0:
            values = self._empty(main)
            return self._output(values, None if params is None else [], [], as_numpy)
        if not self._compile_only:
            self._checks.check(inputs, padding_dropped=params is not None)
        if params is None:
            return self.output_class(**plain())
        # The tensors are views of these arrays, so they must live until the run is over.
        arrays = self._arrays(inputs)
        # Thresholds that the caller has chosen are asked for themselves, a deadline needs the exits.
        measured = self._faster if isinstance(early_exit, str) and params.deadline_seconds == math.inf else None
        size = math.prod(main.shape)
        with_exits = measured is None or measured.takes_first(size)
        engine = self.engine if with_exits else self._whole
        run = engine.start(params if with_exits else no_exits())
        tensors = engine.tensors(arrays)
        start = time.perf_counter()
        run.push(tensors)
        results = sorted(run.run(len(main), len(main), True), key=lambda result: result.index)
        if measured is not None:
            measured.saw(size, with_exits, time.perf_counter() - start)
        layers = [*engine.exit_layers, engine.num_layers - 1]
        stats = EncoderStats.from_native(run.stats, layers)
        if not with_exits:
            stats = replace(stats, exit_histogram={**dict.fromkeys(self.exit_layers, 0), **stats.exit_histogram})
        self.last_stats = stats
        rows = [result.outputs for result in results]
        values = {name: np.stack([row[i] for row in rows]) for i, name in enumerate(engine.outputs)}
        output = self._output(
            values, [layers[result.exit] for result in results], [result.confidence for result in results], as_numpy
        )
        # Not `last_stats`, which another thread may have set by now.
        output.dynexec = stats
        return output

    def _output(
        self, values: dict[str, np.ndarray], layers: list[int] | None, confidence: list[float], as_numpy: bool
    ) -> ModelOutput:
        values = {name: value for name, value in values.items() if name in self.output_class.__dataclass_fields__}
        if layers is not None:
            values["exit_layer"] = np.array(layers, np.int64)
            values["confidence"] = np.array(confidence, np.float32)
        if as_numpy:
            return self.output_class(**values)
        return self.output_class(**{name: torch.from_numpy(value) for name, value in values.items()})

    def _empty(self, main: Values) -> dict[str, np.ndarray]:
        """The outputs of a batch without samples."""
        values = {}
        for output in self.model.outputs:
            shape = output.get_partial_shape()
            dims = [0, *(dim.get_length() if dim.is_static else main.shape[1] for dim in list(shape)[1:])]
            values[output.get_any_name()] = np.zeros(dims, np.float32)
        return values

    def _arrays(self, inputs: Mapping[str, Values | None]) -> dict[str, np.ndarray]:
        """Inputs as arrays; missing inputs have transformers' defaults."""
        arrays = {
            name: value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
            for name, value in inputs.items()
            if value is not None
        }
        ids = arrays.get("input_ids")
        if ids is not None:
            arrays.setdefault("attention_mask", np.ones_like(ids))
            arrays.setdefault("token_type_ids", np.zeros_like(ids))
        return arrays

    def stream(
        self,
        inputs: Iterable[Mapping[str, Values | list | None]],
        batch_size: int = 8,
        *,
        early_exit: EarlyExitConfig | str | None = AS_LOADED,
        max_waiting: int | None = None,
    ) -> Iterator[ModelOutput]:
        """
        Runs samples as they arrive, in full batches: new samples replace those that have left. Outputs have the
        order of the inputs.

        Args:
            inputs (`Iterable[Mapping[str, torch.Tensor or np.ndarray or list]]`):
                The model's inputs for one sample each, with or without the batch dimension.
            batch_size (`int`, *optional*, defaults to 8):
                Number of samples that run together in a segment.
            early_exit ([`~early_exit.EarlyExitConfig`] or `str`, *optional*):
                Early exit of the samples. If not set: as the model was loaded.
            max_waiting (`int`, *optional*):
                Maximum number of samples that may arrive after a sample that waits for a full batch. The sample then
                continues without a full batch. If not set: 8 batches.

        Yields:
            The output of `forward` for one sample; the batch dimension is 1.

        Raises:
            `ValueError`: if there is no early exit, or a sample does not have the shape that the model takes, or has
                more tokens than the model has positions. The outputs of all earlier samples are yielded first.
        """
        early_exit = self.early_exit if early_exit == AS_LOADED else early_exit
        params = self._params(early_exit)
        if params is None:
            raise ValueError("`stream` is for early exit: give `early_exit`, here or when the model is loaded")
        batch_size = whole_number("batch_size", batch_size, 1)
        patience = PATIENCE_OF_STREAMS * batch_size
        max_waiting = patience if max_waiting is None else whole_number("max_waiting", max_waiting, 0)
        if isinstance(early_exit, EarlyExitConfig) and early_exit.deadline_ms is not None:
            raise ValueError(
                "`deadline_ms` is for calls: samples of a stream wait for each other to fill batches, for which a"
                " deadline leaves no time. Call the model on batches, or leave it out"
            )
        engine = self.engine
        run = engine.start(params)
        layers = [*engine.exit_layers, engine.num_layers - 1]
        ready: dict[int, ModelOutput] = {}
        # For each sample whose output is not yet yielded, whether its inputs are arrays.
        as_numpy: dict[int, bool] = {}
        given = 0

        def collect(finish: bool) -> Iterator[ModelOutput]:
            nonlocal given
            for result in run.run(batch_size, max_waiting, finish):
                values = {name: result.outputs[i][None] for i, name in enumerate(engine.outputs)}
                ready[result.index] = self._output(
                    values, [layers[result.exit]], [result.confidence], as_numpy.pop(result.index)
                )
            self.last_stats = EncoderStats.from_native(run.stats, layers)
            while given in ready:
                given += 1
                yield ready.pop(given - 1)

        for index, sample in enumerate(inputs):
            as_numpy[index] = not any(isinstance(value, torch.Tensor) for value in sample.values())
            try:
                arrays = self._arrays(self._one(sample, engine))
                self._checks.check(arrays, first=index, padding_dropped=True)
                tensors = engine.tensors(arrays, copy=True)
            except ValueError:
                # The outputs of earlier samples are not lost.
                yield from collect(True)
                raise
            run.push(tensors)
            if (index + 1) % batch_size == 0:
                yield from collect(False)
        yield from collect(True)

    def _one(self, sample: Mapping[str, Values | list | None], engine: EncoderEngine) -> dict[str, np.ndarray]:
        arrays = {}
        for name, value in sample.items():
            if value is None or name not in engine.inputs:
                continue
            array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
            rank = len(engine.inputs[name].get_partial_shape())
            array = array[None] if array.ndim == rank - 1 else array
            if array.ndim != rank or len(array) != 1:
                raise ValueError(f"`{name}` of a sample in a stream must be one sample, got the shape {array.shape}")
            arrays[name] = array
        return arrays

    # ---- training and calibration ------------------------------------------------------------------------------

    def exit_logits(self, **inputs: Values) -> dict[int, dict[str, torch.Tensor]]:
        """
        Runs all layers and all exit heads on every sample.

        Args:
            inputs (`torch.Tensor` or `np.ndarray`): inputs of `forward`, by name.

        Returns:
            `dict[int, dict[str, torch.Tensor]]`: for each layer with a head the outputs of the head by name, as
            docs/encoder_internals.md describes them, and for the last layer the outputs of the model.
        """
        self._checks.check(inputs)
        outputs, _, said = self._exits(self._arrays(inputs), [])
        said = {**said, len(self._boundaries()) - 1: outputs}
        return {
            layer: {name: torch.from_numpy(value) for name, value in values.items()} for layer, values in said.items()
        }

    def hidden_states(self, layers: list[int] | None = None, **inputs: Values) -> dict[int, torch.Tensor]:
        """
        Runs all layers on every sample and gives the hidden states, which exit heads read.

        Args:
            layers (`list[int]`, *optional*): layers whose hidden states to give. If not set: all but the last.
            inputs (`torch.Tensor` or `np.ndarray`): inputs of `forward`, by name.

        Returns:
            `dict[int, torch.Tensor]`: the hidden states after each layer, in the layout of the model.
        """
        layers = list(range(len(self._boundaries()) - 1)) if layers is None else layers
        self._checks.check(inputs)
        _, hidden, _ = self._exits(self._arrays(inputs), layers)
        return {layer: torch.from_numpy(value) for layer, value in hidden.items()}

    def _boundaries(self) -> dict[int, str]:
        names = {} if self.dynexec_config is None else self.dynexec_config.hidden_state_names
        if not names:
            raise ValueError(self._why_no_exits())
        return names

    @property
    def _exits(self) -> EncoderExits:
        with self._lock:
            if self._exits_model is None:
                boundaries, heads = self._boundaries(), exit_heads(self._heads)
                self._exits_model = EncoderExits(self.model, self._device, self.ov_config, boundaries, heads)
            return self._exits_model
