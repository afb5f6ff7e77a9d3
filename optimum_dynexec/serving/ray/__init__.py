"""Past one machine: the server's replicas on Ray Serve, and files of prompts on Ray Data."""

from typing import TYPE_CHECKING

from ...utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .arguments import RayArguments
    from .builder import app
    from .building import build_app
    from .files import predict_files
    from .predictor import DynExecPredictor


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "arguments": ["RayArguments"],
        "builder": ["app"],
        "building": ["build_app"],
        "files": ["predict_files"],
        "predictor": ["DynExecPredictor"],
    },
)
