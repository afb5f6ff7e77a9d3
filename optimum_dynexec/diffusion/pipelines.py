"""optimum-intel's diffusion pipelines, with policies that skip denoising work."""

import functools
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


try:
    from diffusers.utils import BaseOutput
except ImportError as error:
    from ..utils.installing import install_hint

    raise ImportError(f"diffusion pipelines need diffusers: {install_hint('diffusers')}") from error
from optimum.intel.openvino import modeling_diffusion
from optimum.intel.openvino.modeling_diffusion import OVDiffusionPipeline, OVPipelineForTask

from .config import DynExecDiffusionConfig
from .session import DenoisingSession
from .statistics import DiffusionStats
from .step_saver.config import STEP_SAVER_DIRECTORY
from .step_saver.inference import StepPredictor
from .step_saver.storage import copy_predictor
from .steps import resolve_steps


# The arguments of `from_pretrained` that say where the files of a repository come from.
_HUB_ARGUMENTS = ("force_download", "local_files_only", "cache_dir", "revision", "token")


class DynExecDiffusionPipeline:
    """
    Drop-in for `OVDiffusionPipeline`. `from_pretrained` returns the pipeline that optimum-intel would return. A call
    accepts the arguments of that pipeline and the arguments below.

    Args:
        dynexec ([`DynExecDiffusionConfig`] or `dict`, *optional*):
            Policies that save denoising work. If not set, all are off, and the images are those of optimum-intel.
        num_inference_steps (`int` or `"auto"`, *optional*):
            Number of steps. `"auto"`: the number of steps that the prompts need, as predicted by the
            predictor that `optimum-cli dynexec train-steps` adds to the pipeline's directory. A batch uses the largest
            number that is predicted for one of its prompts.

    The output of a call has the call's statistics as `output.dynexec` ([`DiffusionStats`]). With `return_dict=False`
    the statistics are in `pipe.last_dynexec`. Calls of one pipeline from several threads take turns.

    Example:
        ```python
        pipe = DynExecDiffusionPipeline.from_pretrained(directory)
        output = pipe("a red rose", dynexec={"convergence": True, "adaptive_guidance": True})
        print(output.dynexec)
        ```
    """

    last_dynexec: DiffusionStats | None = None

    @classmethod
    def from_pretrained(cls, model_id: str | Path, **kwargs: Any) -> OVDiffusionPipeline:
        """
        Loads or exports a pipeline, like `OVDiffusionPipeline.from_pretrained`.

        Args:
            model_id (`str` or `Path`): pipeline on the Hub, or directory.
            kwargs (*optional*): arguments of `OVDiffusionPipeline.from_pretrained`.

        Raises:
            `ValueError`: if optimum-intel does not support the pipeline, or does not support it for the task.
        """
        if issubclass(cls, OVDiffusionPipeline):
            return super().from_pretrained(model_id, **kwargs)  # type: ignore[misc]
        arguments = {name: kwargs[name] for name in _HUB_ARGUMENTS if name in kwargs}
        config = OVPipelineForTask.load_config(model_id, **arguments)
        name = (config[0] if isinstance(config, tuple) else config)["_class_name"]
        ours: Any = cls
        return compose(ours, cls._ov_class(name)).from_pretrained(model_id, **kwargs)

    @classmethod
    def _ov_class(cls, class_name: str) -> type:
        return modeling_diffusion._get_ov_class(class_name)

    def __call__(
        self, *args: Any, dynexec: "DynExecDiffusionConfig | Mapping[str, Any] | None" = None, **kwargs: Any
    ) -> "BaseOutput | tuple[Any, ...]":
        config = DynExecDiffusionConfig.resolve(dynexec)
        # The predictor, the scheduler and the session have a state, so calls take turns.
        with self.__dict__.setdefault("_dynexec_lock", threading.RLock()):
            started = time.perf_counter()
            args, kwargs, predicted = resolve_steps(self, args, kwargs)
            predicting = time.perf_counter() - started
            with DenoisingSession(self, config) as session:
                output = super().__call__(*args, **kwargs)  # type: ignore[misc]
            if predicted is not None:
                session.stats.steps_predicted = predicted
                session.stats.seconds["step_predictor"] = predicting
                session.stats.seconds["total"] += predicting
            self.__dict__["last_dynexec"] = session.stats
        if isinstance(output, BaseOutput):
            output.dynexec = session.stats
        return output

    @functools.cached_property
    def step_predictor(self) -> StepPredictor:
        """
        The predictor of the number of steps in the pipeline's directory.

        Raises:
            `FileNotFoundError`: if there is no predictor; the message says how to train one.
        """
        return StepPredictor.beside(self._model_directory())

    def _model_directory(self) -> Path:
        directory: Any = self.model_save_dir  # type: ignore[attr-defined]
        return Path(getattr(directory, "name", directory) if not isinstance(directory, Path) else directory)

    def _save_pretrained(self, save_directory: str | Path) -> None:
        super()._save_pretrained(save_directory)  # type: ignore[misc]
        source = self._model_directory() / STEP_SAVER_DIRECTORY
        target = Path(save_directory) / STEP_SAVER_DIRECTORY
        if source.is_dir() and source.resolve() != target.resolve():
            copy_predictor(source, target)


class _TaskPipeline(DynExecDiffusionPipeline):
    _mapping: dict[str, type]

    @classmethod
    def _ov_class(cls, class_name: str) -> type:
        return modeling_diffusion._get_task_ov_class(cls._mapping, class_name)


class DynExecPipelineForText2Image(_TaskPipeline):
    """Drop-in for `OVPipelineForText2Image`; see [`DynExecDiffusionPipeline`]."""

    _mapping = modeling_diffusion.OV_TEXT2IMAGE_PIPELINES_MAPPING


class DynExecPipelineForImage2Image(_TaskPipeline):
    """Drop-in for `OVPipelineForImage2Image`; see [`DynExecDiffusionPipeline`]."""

    _mapping = modeling_diffusion.OV_IMAGE2IMAGE_PIPELINES_MAPPING


class DynExecPipelineForInpainting(_TaskPipeline):
    """Drop-in for `OVPipelineForInpainting`; see [`DynExecDiffusionPipeline`]."""

    _mapping = modeling_diffusion.OV_INPAINT_PIPELINES_MAPPING


@functools.cache
def compose(ours: type, base: type) -> type[OVDiffusionPipeline]:
    """
    Makes a class with a class of this package before one of optimum-intel in its bases.

    Args:
        ours (`type`): [`DynExecDiffusionPipeline`] or a subclass.
        base (`type`): subclass of `OVDiffusionPipeline`.

    Returns:
        `type`: a class with the name of `base`. optimum-intel reads this name ("OVLTX..."), and `save_pretrained`
        writes it into `model_index.json`, so plain optimum-intel can load the saved pipeline.
    """
    return type(base.__name__, (ours, base), {"__module__": __name__, "__doc__": base.__doc__})
