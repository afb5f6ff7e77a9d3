"""What all `DynExecModelFor…` of encoders, vision and audio models share: early exit of whole samples."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import PretrainedConfig
from transformers.modeling_outputs import ModelOutput

from ..directory.attached_heads import HeadModel, exit_heads
from ..directory.config import DynExecConfig
from ..directory.loading import add_dynexec, load_dynexec_config, load_heads
from ..directory.one_label import check_one_label
from ..directory.staging import staged_directory
from ..directory.tuning import Tuning
from ..early_exit.config import EarlyExitConfig
from ..early_exit.encoder_stats import EncoderStats
from ..graph.encoder_boundaries import find_encoder_boundaries
from ..graph.paging import ENCODER_REASON
from ..precision import check_precision, precision_of, with_precision
from ..runtime.encoder_engine import PATIENCE_OF_STREAMS, EncoderEngine
from ..runtime.encoder_exits import EncoderExits
from .early_exit import CalibratedOnce, encoder_exit_params
from .input_checks import InputChecks
from .own_export import keep_own_export
from .tuned import TUNED, start_from_tuning, tuned_exit


# The default of `early_exit` in a call: what the model was loaded with.
AS_LOADED = "as_loaded"


class DynExecEncoderMixin(CalibratedOnce):
    """
    Goes before an `OVModelFor…` class in the bases of a class. `forward` then lets samples leave after layers with an
    exit head, if `early_exit` says so when the model is loaded or called; otherwise the plain model runs, as in
    optimum-intel.

    `last_stats` holds the [`~early_exit.encoder_stats.EncoderStats`] of the latest call with early exit, `None`
    before.
    """

    # What `forward` returns.
    output_class: ClassVar[type[ModelOutput]]
    last_stats: EncoderStats | None = None
    dynexec_config: DynExecConfig | None = None
    early_exit: EarlyExitConfig | str | None = None
    _engine: EncoderEngine | None = None
    _exits_model: EncoderExits | None = None
    _input_checks: InputChecks | None = None
    _heads: Mapping[str, HeadModel] = MappingProxyType({})
    tuning: Tuning | None = None

    # Of the class that this one goes before.
    config: Any
    model: Any
    model_save_dir: Any
    export_feature: str
    _device: str
    ov_config: dict[str, str]
    _ov_model_paths: dict[str, str]
    _compile_only: bool
    compile: Callable[[], None]

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
        **kwargs: Any,
    ) -> Any:
        """
        Loads a model, or exports it first.

        Args:
            model_id (`str` or `Path`):
                Model on the hub or directory; with `export=False`, one that holds an OpenVINO model.
            export (`bool`, *optional*, defaults to `False`):
                Convert a transformers model.
            precision (`str`, *optional*):
                `"fast"` computes as OpenVINO does by default (bfloat16 where the device has it), `"exact"` in float32.
                Unset: as the model was tuned, or `"fast"`.
            exit_layers (`list[int]`, *optional*):
                Layers after which samples may leave. Unset: those of `dynexec_config.json` and of the exit heads in
                `heads`. Exit heads at other layers are not used.
            heads (`str` or `Path`, *optional*):
                Trained heads to use beside those that the directory has, or in their place: a safetensors file, or a
                directory with some. Saving the model saves them too.
            early_exit ([`~early_exit.EarlyExitConfig`] or `str`, *optional*):
                When samples leave in calls that do not say. `"calibrated"`: by the thresholds in
                `dynexec_config.json`. `"tuned"`: as `optimum-cli dynexec tune` has found to be fastest within its
                limit, which may be not to leave at all.
            tuned (`bool`, *optional*, defaults to `True`):
                Start from the precision and threads that the model was tuned to on this machine, if it was. What the
                caller says comes first.
            kwargs:
                Everything that `from_pretrained` of the `OVModelFor…` class takes.

        Raises:
            `ValueError`: for a `precision` or an exit layer that does not exist, or heads that do not fit the model.
        """
        if precision is not None:
            check_precision(precision)
        return super().from_pretrained(  # type: ignore[misc]
            model_id,
            export=export,
            precision=precision,
            exit_layers=exit_layers,
            heads=heads,
            early_exit=early_exit,
            tuned=tuned,
            **kwargs,
        )

    @classmethod
    def _export(cls, *args: Any, **kwargs: Any) -> Any:
        return keep_own_export(super()._export(*args, **kwargs))  # type: ignore[misc]

    @classmethod
    def _from_pretrained(cls, model_id: str | Path, config: PretrainedConfig, **kwargs: Any) -> Any:
        asked, tuned = kwargs.pop("precision", None), kwargs.pop("tuned", True)
        ov_config = with_precision(asked or "fast", kwargs.pop("ov_config", None))
        exit_layers, heads = kwargs.pop("exit_layers", None), kwargs.pop("heads", None)
        early_exit = kwargs.pop("early_exit", None)
        compile_only, compile_now = kwargs.get("compile_only", False), kwargs.pop("compile", True)
        # What is not compiled by itself is compiled below, once it is known how.
        plain_now = compile_now and compile_only
        model = super()._from_pretrained(  # type: ignore[misc]
            model_id, config, ov_config=ov_config, compile=plain_now, **kwargs
        )
        if not isinstance(model, cls):
            # optimum-intel has classes of its own for some architectures that are no plain encoders.
            if compile_now and not compile_only:
                model.compile()
            return model
        if not compile_only:
            model._load_dynamic(exit_layers, heads)
            if tuned:
                start_from_tuning(model, asked)
        model.early_exit = early_exit
        params = model._params(early_exit)
        if compile_now and not compile_only:
            if params is None:
                model.compile()
            else:
                model.engine  # noqa: B018
        return model

    def _load_dynamic(self, exit_layers: list[int] | None, heads: str | Path | None) -> None:
        directory = Path(str(self.model_save_dir))
        config = load_dynexec_config(
            directory,
            self.model,
            self.config.model_type,
            find_encoder_boundaries,
            exit_layers,
            task=self.export_feature,
            pageable=False,
            pageable_reason=ENCODER_REASON,
        )
        if config.task != self.export_feature:
            raise ValueError(
                f"{directory} was exported for the task {config.task!r}, but {type(self).__name__} is for"
                f" {self.export_feature!r}"
            )
        self._other_heads = heads is not None
        self._heads, self.dynexec_config = load_heads(directory, self.model, config, heads, exit_layers is None)

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
                assert self.dynexec_config is not None
                self._engine = EncoderEngine(
                    self.model,
                    self._device,
                    self.ov_config,
                    self.export_feature,
                    self.dynexec_config.hidden_state_names,
                    self.exit_layers,
                    exit_heads(self._heads),
                    self._image_size(),
                )
            return self._engine

    @property
    def _lock(self) -> threading.RLock:
        return self.__dict__.setdefault("_lock_of_this", threading.RLock())

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
            return "early exit needs layers to leave after: load the model with `exit_layers`"
        return (
            "early exit needs exit heads, which this model has none of: train them with"
            " `optimum-cli dynexec train-heads` and attach them, or give `heads`"
        )

    def _image_size(self) -> tuple[int, int] | None:
        size = getattr(self.config, "image_size", None)
        if isinstance(size, int):
            return size, size
        return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) and len(size) == 2 else None

    def clear_requests(self) -> None:
        super().clear_requests()  # type: ignore[misc]
        self._engine = None
        self._exits_model = None
        self._input_checks = None

    def reshape(self, *args: Any, **kwargs: Any) -> Any:
        model = super().reshape(*args, **kwargs)  # type: ignore[misc]
        self._engine = None
        self._exits_model = None
        self._input_checks = None
        return model

    # ---- calls -------------------------------------------------------------------------------------------------

    def _params(self, early_exit: EarlyExitConfig | str | None) -> Any:
        """What the engine is asked to do; `None` where the plain model runs."""
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
                precision=precision_of(self.ov_config),
            ),
        )

    def _call(
        self,
        inputs: dict[str, Any],
        early_exit: EarlyExitConfig | str | None,
        plain: Callable[[], ModelOutput],
    ) -> ModelOutput:
        """
        Runs a batch.

        Args:
            inputs (`dict[str, torch.Tensor or np.ndarray]`): by name; the first is the main one.
            early_exit: as `forward` got it.
            plain (`Callable`): runs the plain model on the same.
        """
        early_exit = self.early_exit if early_exit == AS_LOADED else early_exit
        params = self._params(early_exit)
        main = next(iter(inputs.values()))
        as_numpy = isinstance(main, np.ndarray)
        if len(main) == 0:
            values = self._empty(main)
            return self._output(values, None if params is None else [], [], as_numpy)
        if not self._compile_only:
            self._checks.check(inputs, padding_dropped=params is not None)
        if params is None:
            return self.output_class(**plain())
        engine = self.engine
        run = engine.start(params)
        # Held until the run is over: the tensors are views of these.
        arrays = self._arrays(inputs)
        tensors = engine.tensors(arrays)
        run.push(tensors)
        results = sorted(run.run(len(main), len(main), True), key=lambda result: result.index)
        layers = [*engine.exit_layers, engine.num_layers - 1]
        self.last_stats = EncoderStats.from_native(run.stats, layers)
        rows = [result.outputs for result in results]
        values = {name: np.stack([row[i] for row in rows]) for i, name in enumerate(engine.outputs)}
        return self._output(
            values, [layers[result.exit] for result in results], [result.confidence for result in results], as_numpy
        )

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

    def _empty(self, main: Any) -> dict[str, np.ndarray]:
        """What a batch without samples gives."""
        values = {}
        for output in self.model.outputs:
            shape = output.get_partial_shape()
            dims = [0, *(dim.get_length() if dim.is_static else main.shape[1] for dim in list(shape)[1:])]
            values[output.get_any_name()] = np.zeros(dims, np.float32)
        return values

    def _arrays(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Inputs as arrays; what the model takes and is not given is as transformers would have it."""
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
        inputs: Iterable[Mapping[str, Any]],
        batch_size: int = 8,
        *,
        early_exit: EarlyExitConfig | str | None = AS_LOADED,
        max_waiting: int | None = None,
    ) -> Iterator[ModelOutput]:
        """
        Runs samples as they come, in full batches: where some have left, others take their place. Outputs come in the
        order of the inputs.

        Args:
            inputs (`Iterable[Mapping[str, torch.Tensor or np.ndarray or list]]`):
                The model's inputs for one sample each, with or without the dimension of the batch.
            batch_size (`int`, *optional*, defaults to 8):
                Samples that run together in a segment.
            early_exit ([`~early_exit.EarlyExitConfig`] or `str`, *optional*):
                When samples leave. Unset: as the model was loaded.
            max_waiting (`int`, *optional*):
                A sample that waits for others to fill its batch goes on without them when more than so many samples
                have come in behind it. Unset: 8 batches.

        Yields:
            What `forward` returns, for one sample: the dimension of the batch is 1.

        Raises:
            `ValueError`: if there is no early exit to do, or a sample has not the shape that the model takes, or more
                tokens than it has positions. The outputs of all samples before come first.
        """
        early_exit = self.early_exit if early_exit == AS_LOADED else early_exit
        params = self._params(early_exit)
        if params is None:
            raise ValueError("`stream` is for early exit: give `early_exit`, here or when the model is loaded")
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, got {batch_size}")
        if isinstance(early_exit, EarlyExitConfig) and early_exit.deadline_ms is not None:
            raise ValueError(
                "`deadline_ms` is for calls: samples of a stream wait for each other to fill batches, for which a"
                " deadline leaves no time. Call the model on batches, or leave it out"
            )
        engine = self.engine
        run = engine.start(params)
        max_waiting = PATIENCE_OF_STREAMS * batch_size if max_waiting is None else max_waiting
        layers = [*engine.exit_layers, engine.num_layers - 1]
        ready: dict[int, ModelOutput] = {}
        # Whether each sample that is not yet given back came as arrays.
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
                # What came in before is not lost.
                yield from collect(True)
                raise
            run.push(tensors)
            if (index + 1) % batch_size == 0:
                yield from collect(False)
        yield from collect(True)

    def _one(self, sample: Mapping[str, Any], engine: EncoderEngine) -> dict[str, np.ndarray]:
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

    def exit_logits(self, **inputs: Any) -> dict[int, dict[str, torch.Tensor]]:
        """
        Runs all layers on every sample and asks all exit heads.

        Args:
            inputs (`torch.Tensor` or `np.ndarray`): of `forward`, by name.

        Returns:
            `dict[int, dict[str, torch.Tensor]]`: for each layer with a head the head's outputs by name, as
            docs/encoder_internals.md has them, and for the model's last layer its own.
        """
        self._checks.check(inputs)
        outputs, _, said = self._exits(self._arrays(inputs), [])
        said = {**said, len(self._boundaries()) - 1: outputs}
        return {
            layer: {name: torch.from_numpy(value) for name, value in values.items()} for layer, values in said.items()
        }

    def hidden_states(self, layers: list[int] | None = None, **inputs: Any) -> dict[int, torch.Tensor]:
        """
        Runs all layers on every sample and gives what exit heads read.

        Args:
            layers (`list[int]`, *optional*): after which; all but the last by default.
            inputs (`torch.Tensor` or `np.ndarray`): of `forward`, by name.

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

    # ---- saving ------------------------------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> Any:
        """
        Saves the model, its configuration and its heads. Other files in the directory stay.

        Whatever ends the process, the directory holds what was there before or all that is saved.

        Args:
            save_directory (`str` or `Path`): made if absent.
            push_to_hub (`bool`, *optional*, defaults to `False`): upload it then.
            kwargs: arguments of `push_to_hub`.
        """
        with staged_directory(Path(save_directory), keep_others=True) as staging:
            super().save_pretrained(staging)  # type: ignore[misc]
        return self.push_to_hub(save_directory, **kwargs) if push_to_hub else None  # type: ignore[attr-defined]

    def _save_pretrained(self, save_directory: str | Path) -> None:
        super()._save_pretrained(save_directory)  # type: ignore[misc]
        add_dynexec(save_directory, self._ov_model_paths["model"], self.dynexec_config, self._heads)
