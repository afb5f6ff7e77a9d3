"""optimum-intel's diffusion pipelines, denoising no more than the picture needs."""

import functools
import threading
import time
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


# Of those of `from_pretrained`, what says where a repository's files come from.
_HUB_ARGUMENTS = ("force_download", "local_files_only", "cache_dir", "revision", "token")


class DynExecDiffusionPipeline:
    """
    Drop-in for `OVDiffusionPipeline`: `from_pretrained` gives the pipeline that optimum-intel would, with one more
    argument to its calls.

    Args of a call, beside the pipeline's own:
        dynexec ([`DynExecDiffusionConfig`] or `dict`, *optional*):
            What the call may do without. By default nothing, and the pictures are optimum-intel's.
        num_inference_steps (`int` or `"auto"`, *optional*):
            `"auto"`: as many as the prompts need, by the predictor that `optimum-cli dynexec train-steps` puts beside
            the pipeline. A batch takes the largest count of its prompts.

    A call's output has statistics of the call as `output.dynexec` ([`DiffusionStats`]); with `return_dict=False` they
    are in `pipe.last_dynexec`. Calls of one pipeline from several threads take turns.

    Example:
        ```python
        pipe = DynExecDiffusionPipeline.from_pretrained(directory)
        output = pipe("a red rose", dynexec={"convergence": True, "adaptive_guidance": True})
        print(output.dynexec)
        ```
    """

    last_dynexec: DiffusionStats | None = None

    @classmethod
    def from_pretrained(cls, model_id: Any, **kwargs: Any) -> Any:
        """
        Loads or exports a pipeline, as `OVDiffusionPipeline.from_pretrained` does and with its arguments.

        Args:
            model_id (`str` or `Path`): a directory or an id on the Hub.

        Raises:
            `ValueError`: if optimum-intel has no such pipeline, or none for the task.
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

    def __call__(self, *args: Any, dynexec: Any = None, **kwargs: Any) -> Any:
        config = DynExecDiffusionConfig.resolve(dynexec)
        started = time.perf_counter()
        args, kwargs, predicted = resolve_steps(self, args, kwargs)
        predicting = time.perf_counter() - started
        # Schedulers have a state, and so has the session.
        with self.__dict__.setdefault("_dynexec_lock", threading.RLock()):
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
        The predictor beside the pipeline.

        Raises:
            `FileNotFoundError`: if there is none; the message says how to train one.
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
def compose(ours: Any, base: Any) -> Any:
    """
    Puts our class before one of optimum-intel's.

    Args:
        ours (`type`): [`DynExecDiffusionPipeline`] or a subclass.
        base (`type`): a subclass of `OVDiffusionPipeline`.

    Returns:
        `type`: has the name of `base`, which optimum-intel asks for ("OVLTX...") and `save_pretrained` writes into
        `model_index.json`, so that plain optimum-intel loads what is saved.
    """
    return type(base.__name__, (ours, base), {"__module__": __name__, "__doc__": base.__doc__})
