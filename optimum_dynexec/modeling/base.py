"""The common part of the decoder and encoder classes: loading, locking, compiling and saving."""

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import openvino as ov
from transformers import PretrainedConfig

from ..directory.attached_heads import HeadModel
from ..directory.config import DynExecConfig
from ..directory.loading import add_dynexec, load_dynexec_config, load_heads
from ..directory.staging import staged_directory
from ..directory.tuning import Tuning
from ..early_exit.criteria import criterion_files
from ..precision import contradictions, resolve_precision, with_precision
from ..utils.numbers import whole_number
from .early_exit import CalibratedOnce
from .loading_checks import check_directory, check_task, missing_model_is_named
from .own_export import keep_own_export
from .tuned import measured_group, start_from_tuning


if TYPE_CHECKING:
    from optimum.intel.openvino.modeling_base import OVBaseModel
    from typing_extensions import Self
else:
    OVBaseModel = object


class DynExecModelMixin(CalibratedOnce, OVBaseModel):
    """
    Mixin that precedes an `OVModelFor…` class in the bases of a class.

    The engine runs speculation and early exit. The *plain model* is the model that optimum-intel would have compiled;
    it is compiled when it is first needed.
    """

    dynexec_config: DynExecConfig | None = None
    tuning: Tuning | None = None
    ov_config: dict[str, Any]
    # What the argument `precision` came to: "exact", "f32" or "fast".
    precision: str = "fast"
    _exact_if_cheap: bool = False
    _heads: Mapping[str, HeadModel] = MappingProxyType({})
    _compiling_plain: bool = False

    # ---- loading -----------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, model_id: str | Path, *args: Any, **kwargs: Any) -> "Self":
        """Loads a model, or exports it first; see the classes."""
        with missing_model_is_named(model_id):
            return super().from_pretrained(model_id, *args, **kwargs)

    @classmethod
    def _from_pretrained(
        cls,
        model_id: str | Path,
        config: PretrainedConfig,
        *,
        precision: str | None = None,
        exit_layers: list[int] | None = None,
        heads: str | Path | None = None,
        tuned: bool = True,
        ov_config: Mapping[str, Any] | None = None,
        compile: bool = True,
        compile_only: bool = False,
        **kwargs: Any,
    ) -> "OVBaseModel":
        """
        Loads a model, with the parts of its directory for dynamic execution. The arguments are those of
        `from_pretrained`. Nothing is compiled, except with `compile_only`, where there is only a compiled model.
        """
        check_directory(cls.export_feature, model_id)
        model = super()._from_pretrained(
            model_id,
            config,
            # What is compiled right away has no weights to look at.
            ov_config=with_precision(precision or "auto", ov_config) if compile_only else ov_config,
            compile=compile and compile_only,
            compile_only=compile_only,
            **kwargs,
        )
        model = cls._own_class(model)
        if isinstance(model, cls) and not compile_only:
            model._load_dynexec(exit_layers, heads)
            if tuned:
                start_from_tuning(model)
            model._choose_precision(precision, tuned)
        return model

    def _choose_precision(self, precision: str | None, tuned: bool) -> None:
        """Sets `precision` and the OpenVINO properties for it. The user's own properties come before a default."""
        compressed = self._has_compressed_weights()
        if precision is None:
            precision = "auto" if self.tuning is None else self.tuning.precision
            if contradictions(precision, compressed, self.ov_config):
                precision = "fast"
        self._exact_if_cheap = precision == "auto"
        self.ov_config = with_precision(precision, self.ov_config, compressed)
        self.precision = resolve_precision(precision, compressed)
        if self.precision == "exact" and compressed and tuned:
            self.ov_config = {**measured_group(self.tuning, self.dynexec_config), **self.ov_config}

    def _has_compressed_weights(self) -> bool:
        """Whether the model is a decoder with compressed weights."""
        return False

    @classmethod
    def _export(cls, *args: Any, **kwargs: Any) -> "OVBaseModel":
        return keep_own_export(super()._export(*args, **kwargs))

    @classmethod
    def _own_class(cls, model: OVBaseModel) -> OVBaseModel:
        """Gives a loaded model the class of this package; optimum-intel hard-codes its own class for some families."""
        return model

    def _load_dynexec(self, exit_layers: list[int] | None, heads: str | Path | None) -> None:
        config = self._load_dynexec_config(exit_layers)
        self._other_heads = heads is not None
        self._heads, self.dynexec_config = load_heads(
            self._directory, self.model, config, heads, cut_for_them=exit_layers is None
        )

    def _load_dynexec_config(self, exit_layers: list[int] | None, **defaults: bool | str) -> DynExecConfig:
        """`defaults` are fields of the configuration that is made for a model without one."""
        layers = None if exit_layers is None else [whole_number("exit_layers", layer, 0) for layer in exit_layers]
        config = load_dynexec_config(
            self._directory, self.model, self.config.model_type, self._find_boundaries, layers, **defaults
        )
        check_task(self.export_feature, config.task, self._directory)
        return config

    @staticmethod
    def _find_boundaries(model: ov.Model) -> list[str]:
        """Finds the layers of a model that has no `dynexec_config.json`."""
        raise NotImplementedError

    @property
    def _directory(self) -> Path:
        return Path(str(self.model_save_dir))

    # ---- the plain model ---------------------------------------------------------------------------------------

    @property
    def _lock(self) -> threading.RLock:
        return self.__dict__.setdefault("_lock_of_this", threading.RLock())

    @property
    def request(self) -> ov.InferRequest | ov.CompiledModel | None:
        """
        The plain model's `openvino.InferRequest` (decoders) or `openvino.CompiledModel` (encoders), as in
        optimum-intel. Where calls run on the engine, the plain model is compiled when this is first asked for, and
        then takes memory of its own.
        """
        if self.__dict__.get("request") is None:
            with self._lock:
                # optimum-intel's `compile` reads this property too, to see whether it has anything to do.
                if self.__dict__.get("request") is None and not self._compiling_plain:
                    self._compile_plain()
        return self.__dict__.get("request")

    @request.setter
    def request(self, request: ov.InferRequest | ov.CompiledModel | None) -> None:
        self.__dict__["request"] = request

    def _compile_plain(self) -> None:
        with self._lock:
            self._compiling_plain = True
            try:
                super().compile()
            finally:
                self._compiling_plain = False

    # ---- saving ------------------------------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> str | None:
        """
        Saves the model, its configuration and its heads. Other files in the directory stay.

        Even if the process is killed, the directory holds either its earlier content or the complete new one.

        Args:
            save_directory (`str` or `Path`): directory to save to. It is created if it does not exist.
            push_to_hub (`bool`, *optional*, defaults to `False`): whether to upload the saved directory.
            kwargs: arguments of `push_to_hub`.
        """
        with staged_directory(Path(save_directory), keep_others=True) as staging:
            super().save_pretrained(staging)
        return self.push_to_hub(save_directory, **kwargs) if push_to_hub else None

    def _save_pretrained(self, save_directory: str | Path) -> None:
        changes = {} if self.dynexec_config is None else self._changes_when_saved()
        super()._save_pretrained(save_directory)
        add_dynexec(save_directory, self._ov_model_paths["model"], self.dynexec_config, self._heads, **changes)
        for name in criterion_files():
            source, target = self._directory / name, Path(save_directory) / name
            if source.is_file() and source.resolve() != target.resolve():
                shutil.copyfile(source, target)

    def _changes_when_saved(self) -> dict[str, bool | str | None]:
        """Fields of the configuration that loading did not determine."""
        return {}
