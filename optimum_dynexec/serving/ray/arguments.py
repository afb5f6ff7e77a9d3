"""How many replicas there are, and what each of them takes."""

import importlib.util
from dataclasses import dataclass

from ...utils.numbers import finite_number, whole_number
from ..errors import not_installed


@dataclass(frozen=True)
class RayArguments:
    """
    The arguments of [`build_app`] about replicas.

    Args:
        num_replicas (`int`, *optional*, defaults to 1): number of replicas; with `max_replicas`, the smallest number.
        max_replicas (`int`, *optional*): largest number of replicas. If not set, the number does not change.
        target_ongoing_requests (`float`, *optional*):
            Number of requests per replica, running and waiting, above which replicas are added. If not set:
            `max_running` of the server, so that they are added when requests wait.
        num_cpus (`float`, *optional*):
            Logical processors that Ray reserves for a replica. If not set: those of a socket of this machine.
        num_ingress (`int`, *optional*, defaults to 1):
            Number of processes that receive requests and pass them to the replicas.

    Raises:
        `ValueError`: if an argument is not accepted.
    """

    num_replicas: int = 1
    max_replicas: int | None = None
    target_ongoing_requests: float | None = None
    num_cpus: float | None = None
    num_ingress: int = 1

    def __post_init__(self) -> None:
        whole_number("num_replicas", self.num_replicas, 1)
        whole_number("num_ingress", self.num_ingress, 1)
        if self.max_replicas is not None:
            whole_number("max_replicas", self.max_replicas, self.num_replicas)
        if self.target_ongoing_requests is not None:
            finite_number("target_ongoing_requests", self.target_ongoing_requests, 0.1)
        if self.num_cpus is not None:
            finite_number("num_cpus", self.num_cpus, 0.01)


def check_ray() -> None:
    """
    Checks that Ray is there.

    Raises:
        [`~serving.ServeError`]: if it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise not_installed("ray", "ray")
