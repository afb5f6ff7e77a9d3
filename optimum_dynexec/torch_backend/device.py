"""The devices of a model: CPU, CUDA, Intel GPUs, and intel-extension-for-pytorch."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import torch

from ..utils.installing import install_hint


IPEX = "intel-extension-for-pytorch"
IPEX_HELP = (
    f"its last release is 2.8.0, for torch 2.8: {install_hint('ipex')} in a separate environment, or leave out"
    " `ipex=True` (torch itself has Intel's CPU kernels and `torch.xpu` since 2.7)"
)
# For each type of device: whether it can be used, and what to do if not.
DEVICES: dict[str, tuple[Callable[[], bool], str]] = {
    "cpu": (lambda: True, ""),
    "cuda": (torch.cuda.is_available, "torch sees no CUDA device, or was built without CUDA"),
    "xpu": (
        lambda: hasattr(torch, "xpu") and torch.xpu.is_available(),
        "torch sees no Intel GPU: this needs a torch built for XPU (pip's index https://download.pytorch.org/whl/xpu)"
        " and Intel's GPU driver",
    ),
}


def find_device(device: str | torch.device) -> torch.device:
    """
    Checks that a device is available.

    Args:
        device (`str` or `torch.device`): device: `"cpu"`, `"cuda"` or `"xpu"`, also with an index such as `"xpu:1"`.

    Raises:
        `ValueError`: if it is not one of these, or not available. The message says why.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"`device` must be one of {sorted(DEVICES)}, but it is {device!r}") from error
    if found.type not in DEVICES:
        raise ValueError(f"`device` must be one of {sorted(DEVICES)}, but it is {device!r}")
    available, why_not = DEVICES[found.type]
    if not available():
        raise ValueError(f"the device {device!r} cannot be used: {why_not}")
    return found


def check_ipex() -> None:
    """
    Checks that intel-extension-for-pytorch is installed and matches torch: the first two numbers of their versions are
    the same.

    Raises:
        `ImportError`: if not. The message says what is installed and what would match.
    """
    try:
        found = version(IPEX)
    except PackageNotFoundError as error:
        raise ImportError(f"`ipex=True` needs {IPEX}, which is not installed: {IPEX_HELP}") from error
    if found.split(".")[:2] != torch.__version__.split(".")[:2]:
        raise ImportError(
            f"`ipex=True`: {IPEX} {found} does not match torch {torch.__version__}, which must have the same first two"
            f" numbers: {IPEX_HELP}"
        )


def place(model: torch.nn.Module, device: torch.device, ipex: bool) -> torch.nn.Module:
    """
    Moves a model to a device and, if requested, has intel-extension-for-pytorch optimize it.

    Args:
        model (`torch.nn.Module`): model in evaluation mode.
        device (`torch.device`): device from [`find_device`].
        ipex (`bool`): whether to use the extension.

    Raises:
        `ImportError`: see [`check_ipex`].
        `ValueError`: if the extension does not support the device.
    """
    if not ipex:
        return model.to(device)
    if device.type not in ("cpu", "xpu"):
        raise ValueError(f"`ipex=True` is for the devices 'cpu' and 'xpu', but `device` is {str(device)!r}")
    check_ipex()
    import intel_extension_for_pytorch

    model = model.to(device)
    dtype = next(model.parameters()).dtype
    return intel_extension_for_pytorch.optimize(model, dtype=dtype, inplace=True)
