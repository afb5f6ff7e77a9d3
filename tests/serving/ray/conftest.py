"""Ray on this machine, without telemetry."""

import contextlib
import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest


# Read when Ray starts.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_DEDUP_LOGS"] = "0"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
STORE = 80 << 20
ENVIRONMENT = {"env_vars": {"PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def serving(application) -> Iterator[SimpleNamespace]:
    """Serves an application on the Ray that runs."""
    from ray import serve

    port = free_port()
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    try:
        serve.run(application, name="dynexec", route_prefix="/")
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}")
    finally:
        serve.shutdown()


@pytest.fixture(scope="package")
def local_ray() -> Iterator[None]:
    """Ray with two processors and a small object store."""
    ray = pytest.importorskip("ray", reason="the packages of the extra [ray] are not installed: make venv")
    ray.init(
        num_cpus=2,
        object_store_memory=STORE,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env=ENVIRONMENT,
    )
    yield
    ray.shutdown()
