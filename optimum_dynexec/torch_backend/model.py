"""The common base of the torch models: loading, devices, saving."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from optimum.modeling_base import OptimizedModel

from ..heads.storage import save_head
from ..precision import check_precision
from .device import find_device, place
from .heads import find_head_files, of_layers
from .layers import find_layers


if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from typing_extensions import Self


DTYPES = dict.fromkeys(("auto", "exact", "f32"), torch.float32) | {"fast": torch.bfloat16}


class TorchDynExecModel(OptimizedModel):
    """
    A model of transformers with trained heads. `model` is the model itself, and `heads` are the heads by layer.

    Args:
        model (`transformers.PreTrainedModel`): model in evaluation mode, on its device.
        heads (`dict`): torch modules of the heads by layer, on the same device.
        directory (`str` or `Path`): directory or id that the model was loaded from.
    """

    # The class of transformers that loads the model.
    auto_class: ClassVar[Any]

    def __init__(self, model: "PreTrainedModel", heads: dict[Any, Any], directory: str | Path):
        super().__init__(model, model.config)
        self.heads = heads
        self.directory = directory

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | Path,
        *,
        heads: str | Path | None = None,
        exit_layers: list[int] | None = None,
        precision: str = "exact",
        device: str | torch.device = "cpu",
        ipex: bool = False,
        **kwargs: Any,
    ) -> "Self":
        """
        Loads a checkpoint of transformers.

        Args:
            model_id (`str` or `Path`):
                Model on the Hub, or directory, as in transformers. It must not be an OpenVINO export.
            heads (`str` or `Path`, *optional*):
                Trained heads: a safetensors file, or a directory with such files. If not set: `draft_head.safetensors`
                and
                `exit_head_*.safetensors` in the directory of the checkpoint, if they exist.
            exit_layers (`list[int]`, *optional*):
                Layers whose exit heads are used. If not set: all.
            precision (`str`, *optional*, defaults to `"exact"`):
                Precision of the arithmetic: `"exact"`, `"f32"` and `"auto"` are float32, `"fast"` is bfloat16.
            device (`str` or `torch.device`, *optional*, defaults to `"cpu"`):
                Device: `"cpu"`, `"cuda"` or `"xpu"` (Intel GPUs).
            ipex (`bool`, *optional*, defaults to `False`):
                Whether intel-extension-for-pytorch optimizes the model, on the devices `"cpu"` and `"xpu"`.
            kwargs (*optional*):
                Other arguments of `from_pretrained` of transformers' class.

        Raises:
            `ValueError`: if an argument is not accepted, the device is not available, or the heads do not match the
                model.
            `ImportError`: if `ipex=True` and the extension is not installed or does not match torch.
        """
        check_precision(precision)
        if (Path(model_id) / "openvino_model.xml").is_file() and not list(Path(model_id).glob("model*.safetensors*")):
            raise ValueError(
                f"{model_id} is an OpenVINO export: {cls.__name__} loads the checkpoint that it was made from"
            )
        where = find_device(device)
        files = find_head_files(heads, model_id)
        model = cls.auto_class.from_pretrained(model_id, **{"dtype": DTYPES[precision], **kwargs}).eval()
        modules = of_layers(cls._load_heads(files, model) if files else {}, exit_layers)
        return cls(place(model, where, ipex), {layer: head.to(where) for layer, head in modules.items()}, model_id)

    @classmethod
    def _load_heads(cls, files: list[Path], model: "PreTrainedModel") -> dict[Any, Any]:
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.model.device

    @property
    def exit_layers(self) -> list[int]:
        """The layers that have an exit head, ascending."""
        return [layer for layer in self.heads if layer is not None]

    def to(self, device: str | torch.device) -> "Self":
        """Moves the model and its heads to another device."""
        where = find_device(device)
        self.model.to(where)
        for head in self.heads.values():
            head.to(where)
        return self

    @property
    def _num_layers(self) -> int:
        return len(find_layers(self.model))

    def _save_pretrained(self, save_directory: str | Path) -> None:
        self.model.save_pretrained(save_directory)
        for head in self.heads.values():
            tensors = _tensors(head)
            save_head(head.config, tensors, Path(save_directory) / f"{head.config.name}.safetensors")


def _tensors(head: torch.nn.Module) -> dict[str, Any]:
    """Of a head's file."""
    tensors = {name: value.detach().cpu().float().numpy() for name, value in head.named_parameters()}
    if hasattr(head, "token_ids"):
        tensors["token_ids"] = head.token_ids.cpu().numpy()
    if hasattr(head, "token_ids") and not head.config.shares_unembedding:
        tensors["unembedding.weight"] = head.unembedding_rows.cpu().float().numpy()
    return tensors
