"""optimum-intel's diffusion pipelines, denoising no more than the picture needs."""

import functools
import threading
from typing import Any

from diffusers.utils import BaseOutput
from optimum.intel.openvino import modeling_diffusion
from optimum.intel.openvino.modeling_diffusion import OVDiffusionPipeline, OVPipelineForTask

from .config import DynExecDiffusionConfig
from .session import DenoisingSession
from .statistics import DiffusionStats


# Of those of `from_pretrained`, what says where a repository's files come from.
_HUB_ARGUMENTS = ("force_download", "local_files_only", "cache_dir", "revision", "token")


class DynExecDiffusionPipeline:
    """
    Drop-in for `OVDiffusionPipeline`: `from_pretrained` gives the pipeline that optimum-intel would, with one more
    argument to its calls.

    Args of a call, beside the pipeline's own:
        dynexec ([`DynExecDiffusionConfig`] or `dict`, *optional*):
            What the call may do without. By default nothing, and the pictures are optimum-intel's.

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
        return compose(cls, cls._ov_class(name)).from_pretrained(model_id, **kwargs)

    @classmethod
    def _ov_class(cls, class_name: str) -> type:
        return modeling_diffusion._get_ov_class(class_name)

    def __call__(self, *args: Any, dynexec: Any = None, **kwargs: Any) -> Any:
        config = DynExecDiffusionConfig.resolve(dynexec)
        # Schedulers have a state, and so has the session.
        with self.__dict__.setdefault("_dynexec_lock", threading.RLock()):
            with DenoisingSession(self, config) as session:
                output = super().__call__(*args, **kwargs)  # type: ignore[misc]
            self.__dict__["last_dynexec"] = session.stats
        if isinstance(output, BaseOutput):
            output.dynexec = session.stats
        return output


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
def compose(ours: type, base: type) -> type:
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
