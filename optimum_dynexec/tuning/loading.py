"""The model that is tuned, loaded in several ways."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..directory.config import MODEL_CLASSES
from ..precision import group_config
from .threads import thread_config


if TYPE_CHECKING:
    from optimum.intel.openvino.modeling_base import OVBaseModel


class Loads:
    """
    A model that is loaded once for each set of options.

    Args:
        directory (`Path`): directory of the export.
        task (`str`): task of the model.
        device (`str`): OpenVINO device.
    """

    def __init__(self, directory: Path, task: str, device: str):
        self.directory, self.class_name, self.device = directory, f"DynExec{MODEL_CLASSES[task]}", device
        self._loaded: dict[tuple, Any] = {}

    def get(self, load: Mapping[str, Any], **options: Any) -> "OVBaseModel":
        """
        Gives the model, loaded with some options.

        Args:
            load (`Mapping[str, Any]`): `precision`, `threads`, `group` for decoders, and all other options that
                distinguish it.
            options: further arguments of `from_pretrained`, which depend on `load` only.
        """
        from .. import modeling

        key = _key(load)
        if key not in self._loaded:
            self._loaded[key] = getattr(modeling, self.class_name).from_pretrained(
                self.directory,
                precision=load["precision"],
                device=self.device,
                ov_config={**thread_config(load["threads"]), **group_config(load.get("group"))},
                tuned=False,
                **options,
            )
        return self._loaded[key]

    def keep_only(self, *loads: Mapping[str, Any]) -> None:
        """Frees the memory of all other models."""
        kept = {_key(load) for load in loads}
        self._loaded = {key: model for key, model in self._loaded.items() if key in kept}


def _key(load: Mapping[str, Any]) -> tuple:
    return tuple(sorted(load.items()))
