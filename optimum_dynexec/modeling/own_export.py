"""Models that were exported while they were loaded."""

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from optimum.intel.openvino.modeling_base import OVBaseModel


def keep_own_export(model: "OVBaseModel") -> "OVBaseModel":
    """
    Has a model that was just exported keep the temporary directory of its files. optimum-intel keeps it in the class,
    where the next export takes its place: the files of the model before, its tokenizer among them, would be deleted
    while it lives.

    Returns:
        `model`.
    """
    model._model_save_dir_tempdirectory_instance = type(model)._model_save_dir_tempdirectory_instance
    return model
