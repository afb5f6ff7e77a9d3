"""The model that is tuned, loaded in several ways."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..directory.config import MODEL_CLASSES
from .threads import thread_config


if TYPE_CHECKING:
    from optimum.intel.openvino.modeling_base import OVBaseModel


class Loads:
    """
    A model, loaded in each way once.

    Args:
        directory (`Path`): of the export.
        task (`str`): of the model.
        device (`str`): OpenVINO device.
    """

    def __init__(self, directory: Path, task: str, device: str):
        self.directory, self.class_name, self.device = directory, f"DynExec{MODEL_CLASSES[task]}", device
        self._loaded: dict[tuple, Any] = {}

    def get(self, load: Mapping[str, Any], **options: Any) -> "OVBaseModel":
        """
        The model as it is loaded in one way.

        Args:
            load (`Mapping[str, Any]`): `precision`, `threads`, and whatever else tells this way from others.
            options: further arguments of `from_pretrained`, which follow from these.
        """
        from .. import modeling

        key = _key(load)
        if key not in self._loaded:
            self._loaded[key] = getattr(modeling, self.class_name).from_pretrained(
                self.directory,
                precision=load["precision"],
                device=self.device,
                ov_config=thread_config(load["threads"]),
                tuned=False,
                **options,
            )
        return self._loaded[key]

    def keep_only(self, *loads: Mapping[str, Any]) -> None:
        """Frees the memory of all others."""
        kept = {_key(load) for load in loads}
        self._loaded = {key: model for key, model in self._loaded.items() if key in kept}


def _key(load: Mapping[str, Any]) -> tuple:
    return tuple(sorted(load.items()))
