"""The state of a training, which survives an interruption."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn


_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Checkpoint:
    """
    The state of a training as one safetensors file, written completely or not at all.

    Args:
        path (`Path`): path of the file.
        modules (`dict[str, nn.Module]`): modules by name, whose weights are stored.
        optimizer (`torch.optim.AdamW`): optimizer, whose moments are stored.
        identity (`dict[str, Any]`): values that the training depends on. A file with other values is ignored.
    """

    def __init__(
        self, path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.AdamW, identity: dict[str, Any]
    ):
        self.path = path
        self._modules = nn.ModuleDict(modules)
        self._optimizer = optimizer
        self._identity = json.loads(json.dumps(identity))

    def save(self, state: dict[str, Any]) -> None:
        """Writes weights, moments, and `state`, which consists of plain values for JSON."""
        tensors = {f"weight.{name}": value for name, value in self._modules.state_dict().items()}
        for index, kept in self._optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{index}.{key}": torch.as_tensor(kept[key]) for key in _MOMENTS})
        # Weights that are tied are one tensor, which the format cannot contain twice.
        tensors = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}")
        save_file(tensors, partial, {"state": json.dumps(state), "identity": json.dumps(self._identity)})
        partial.replace(self.path)

    def resume(self) -> dict[str, Any] | None:
        """Restores the file of [`save`], if it belongs to this training. Returns its `state`."""
        if not self.path.is_file():
            return None
        try:
            with safe_open(str(self.path), framework="pt") as file:
                metadata = file.metadata() or {}
                if json.loads(metadata.get("identity", "null")) != self._identity:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, ValueError):
            return None
        weights = {
            name.removeprefix("weight."): value for name, value in tensors.items() if name.startswith("weight.")
        }
        self._modules.load_state_dict(weights)
        kept = self._optimizer.state_dict()
        for index in [i for group in kept["param_groups"] for i in group["params"]]:
            if f"optimizer.{index}.step" in tensors:
                kept["state"][index] = {key: tensors[f"optimizer.{index}.{key}"] for key in _MOMENTS}
        self._optimizer.load_state_dict(kept)
        return json.loads(metadata["state"])

    def remove(self) -> None:
        """Removes the file after the training."""
        self.path.unlink(missing_ok=True)
