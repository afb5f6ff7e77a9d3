"""Makes the application for Ray Serve."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..arguments import ServeArguments
from ..errors import ServeError
from ..main import check_installed
from .arguments import RayArguments, check_ray
from .sockets import sockets


if TYPE_CHECKING:
    from ray.serve import Application
    from starlette.types import ASGIApp

# Requests that a replica takes beyond those that run and wait, so that it refuses them itself, with status 429.
REFUSED = 16
REPLICA = "Replica"
# The ingress computes nothing.
INGRESS_CPUS = 0.1
INGRESS_REQUESTS = 4096


def build_app(
    directory: str | Path, arguments: ServeArguments | None = None, ray_arguments: RayArguments | None = None
) -> "Application":
    """
    Makes an application for Ray Serve (`serve.run(build_app(...))`): replicas of the server of [`serve`], and an
    ingress. Requests whose prompts begin alike go to the same replica. If a replica ends, requests that have not
    begun to stream are sent to another one.

    Args:
        directory (`str` or `Path`): directory of an exported model, the same on every machine.
        arguments ([`~serving.ServeArguments`], *optional*):
            Arguments of each replica. Ray Serve listens, so `host` and `port` must not be set.
        ray_arguments ([`~serving.ray.RayArguments`], *optional*): number and size of the replicas.

    Raises:
        [`~serving.ServeError`]: if a library is missing, or an argument belongs to Ray Serve.
    """
    check_ray()
    check_installed()
    arguments, ray_arguments = arguments or ServeArguments(), ray_arguments or RayArguments()
    if (arguments.host, arguments.port) != (ServeArguments.host, ServeArguments.port):
        raise ServeError("`host` and `port` are those of Ray Serve: set them in its `http_options`")
    from ray import serve
    from ray.serve.config import AutoscalingConfig, RequestRouterConfig

    from .replica import Replica
    from .routing import PrefixRouter

    first = ray_arguments.num_replicas
    changes = None
    if ray_arguments.max_replicas is not None:
        changes = AutoscalingConfig(
            min_replicas=first,
            max_replicas=ray_arguments.max_replicas,
            target_ongoing_requests=ray_arguments.target_ongoing_requests or arguments.max_running,
        )
    replicas = serve.deployment(
        name=REPLICA,
        autoscaling_config=changes,
        max_ongoing_requests=arguments.max_running + arguments.max_waiting + REFUSED,
        ray_actor_options={"num_cpus": ray_arguments.num_cpus or max(map(len, sockets().values()))},
        graceful_shutdown_timeout_s=arguments.request_timeout,
        request_router_config=RequestRouterConfig(request_router_class=PrefixRouter),
        **({} if changes else {"num_replicas": first}),
    )(Replica).bind(str(directory), arguments)
    ingress = serve.deployment(
        name="Ingress",
        num_replicas=ray_arguments.num_ingress,
        max_ongoing_requests=INGRESS_REQUESTS,
        ray_actor_options={"num_cpus": INGRESS_CPUS},
        graceful_shutdown_timeout_s=arguments.request_timeout,
    )(serve.ingress(_ingress_maker(arguments.max_body_bytes))())
    return ingress.bind(replicas)


def _ingress_maker(max_body_bytes: int) -> "Callable[[], ASGIApp]":
    """The function that makes the ingress, where it runs."""

    def make() -> "ASGIApp":
        from ray import serve
        from starlette.applications import Starlette
        from starlette.routing import Mount

        from .ingress import Ingress

        # Starlette does what ASGI asks for at the start and at the end.
        return Starlette(routes=[Mount("/", Ingress(serve.get_deployment_handle(REPLICA), max_body_bytes))])

    return make
