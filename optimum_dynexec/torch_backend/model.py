"""What the torch models have in common: how they are loaded, placed and saved."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from optimum.modeling_base import OptimizedModel

from ..heads.storage import save_head
from ..precision import check_precision
from .device import find_device, place
from .heads import find_head_files, of_layers
from .layers import find_layers


DTYPES = {"exact": torch.float32, "fast": torch.bfloat16}


class TorchDynExecModel(OptimizedModel):
    """
    A model of transformers with trained heads. `model` is the model itself, `heads` the heads by their layer.

    Args:
        model (`transformers.PreTrainedModel`): in evaluation mode, where it is to run.
        heads (`dict`): torch modules by their layer, on the same device.
        directory (`str` or `Path`): what the model was loaded from.
    """

    # The class of transformers that loads the model.
    auto_class: ClassVar[Any]

    def __init__(self, model: Any, heads: dict[Any, Any], directory: str | Path):
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
    ) -> Any:
        """
        Loads a checkpoint of transformers.

        Args:
            model_id (`str` or `Path`):
                Model on the hub or directory, as transformers takes it; not an OpenVINO export.
            heads (`str` or `Path`, *optional*):
                Trained heads: a safetensors file, or a directory with some. Unset: `draft_head.safetensors` and
                `exit_head_*.safetensors` beside the checkpoint, if there are any.
            exit_layers (`list[int]`, *optional*):
                Layers whose exit heads are used. Unset: all.
            precision (`str`, *optional*, defaults to `"exact"`):
                `"exact"` computes in float32, `"fast"` in bfloat16.
            device (`str` or `torch.device`, *optional*, defaults to `"cpu"`):
                `"cpu"`, `"cuda"` or `"xpu"` (Intel GPUs).
            ipex (`bool`, *optional*, defaults to `False`):
                Have intel-extension-for-pytorch optimize the model, on the devices `"cpu"` and `"xpu"`.
            kwargs:
                Everything that `from_pretrained` of transformers' class takes.

        Raises:
            `ValueError`: for an argument that is not accepted, a device that is not there, or heads that do not fit.
            `ImportError`: if `ipex=True` and the extension is not installed, or not the one for this torch.
        """
        check_precision(precision)
        if (Path(model_id) / "openvino_model.xml").is_file() and not list(Path(model_id).glob("model*.safetensors*")):
            raise ValueError(f"{model_id} is an OpenVINO export: {cls.__name__} loads the checkpoint it was made of")
        where = find_device(device)
        files = find_head_files(heads, model_id)
        model = cls.auto_class.from_pretrained(model_id, **{"dtype": DTYPES[precision], **kwargs}).eval()
        modules = of_layers(cls._load_heads(files, model) if files else {}, exit_layers)
        return cls(place(model, where, ipex), {layer: head.to(where) for layer, head in modules.items()}, model_id)

    @classmethod
    def _load_heads(cls, files: list[Path], model: Any) -> dict[Any, Any]:
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.model.device

    @property
    def exit_layers(self) -> list[int]:
        """The layers that have an exit head, ascending."""
        return [layer for layer in self.heads if layer is not None]

    def to(self, device: str | torch.device) -> Any:
        """Moves model and heads to another device."""
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


def _tensors(head: Any) -> dict[str, Any]:
    """Of a head's file."""
    tensors = {name: value.detach().cpu().float().numpy() for name, value in head.named_parameters()}
    if hasattr(head, "token_ids"):
        tensors["token_ids"] = head.token_ids.cpu().numpy()
    if hasattr(head, "token_ids") and not head.config.shares_unembedding:
        tensors["unembedding.weight"] = head.unembedding_rows.cpu().float().numpy()
    return tensors
