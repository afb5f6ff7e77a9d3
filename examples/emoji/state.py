"""Training states in safetensors files, without pickle."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from optimum_dynexec.utils.atomic import write_atomically


def save_state(
    path: Path, module: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int, ema: dict[str, torch.Tensor]
) -> None:
    """Writes parameters, their averages and AdamW's moments, completely or not at all."""
    tensors = {f"model.{name}": value for name, value in module.state_dict().items()}
    tensors.update({f"ema.{name}": value for name, value in ema.items()})
    for name, parameter in module.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value)
    # `save` needs tensors that do not share memory.
    tensors = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    write_atomically(path, save(tensors, metadata={"step": str(step)}))


def load_state(
    path: Path, module: torch.nn.Module, optimizer: torch.optim.Optimizer, ema: dict[str, torch.Tensor]
) -> int:
    """
    Reads a file of [`save_state`] into all four.

    Returns:
        `int`: the step after which it was written; 0 if there is no file.
    """
    if not path.is_file():
        return 0
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, this is not a dictionary
        step = int(file.metadata()["step"])
    module.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    for name in ema:
        ema[name].copy_(tensors[f"ema.{name}"])
    for name, parameter in module.named_parameters():
        optimizer.state[parameter] = {
            key: tensors[f"optimizer.{key}.{name}"].to(parameter.device if key != "step" else "cpu")
            for key in ("step", "exp_avg", "exp_avg_sq")
        }
    return step
