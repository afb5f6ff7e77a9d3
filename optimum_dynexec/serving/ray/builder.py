"""For `serve run optimum_dynexec.serving.ray:app directory=DIRECTORY` and configuration files of Ray Serve."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import ConfigDict, create_model

from ..arguments import ServeArguments
from .arguments import RayArguments
from .building import build_app


if TYPE_CHECKING:
    from ray.serve import Application

KINDS: tuple[type, ...] = (ServeArguments, RayArguments)


def _fields(kind: type) -> dict[str, Any]:
    types = get_type_hints(kind)
    return {one.name: (types[one.name], one.default) for one in fields(kind)}


# `directory`, and all arguments of ServeArguments and RayArguments; those of the command line are texts.
AppArguments: Any = create_model(
    "AppArguments",
    __config__=ConfigDict(extra="forbid"),
    directory=(str, ...),
    **{name: value for kind in KINDS for name, value in _fields(kind).items()},
)


def app(arguments: AppArguments) -> "Application":
    """
    Makes the application from the arguments of `serve run`.

    Args:
        arguments (`AppArguments`): `directory`, and any of [`~serving.ServeArguments`] and
            [`~serving.ray.RayArguments`].
    """
    serving, replicas = (kind(**{one.name: getattr(arguments, one.name) for one in fields(kind)}) for kind in KINDS)
    return build_app(arguments.directory, serving, replicas)
