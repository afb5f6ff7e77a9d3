"""Two nodes of a cluster on this machine, with a replica on each. One of them is killed under load."""

import asyncio
import json

import pytest


pytest.importorskip("ray", reason="the packages of the extra [ray] are not installed: make venv")

from optimum_dynexec.serving import ServeArguments
from optimum_dynexec.serving.ray import RayArguments, build_app
from tests.serving.ray.conftest import ENVIRONMENT, STORE, serving


LONG = {"model": "tiny", "max_tokens": 1500, "temperature": 0, "logit_bias": {"2": -100}, "speculation": "off"}
WHOLE, STREAMS = 12, 6


@pytest.fixture
def cluster():
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()
    arguments = {"num_cpus": 1, "object_store_memory": STORE}
    made = Cluster(initialize_head=True, head_node_args={**arguments, "include_dashboard": False})
    made.add_node(**arguments)
    ray.init(address=made.address, log_to_driver=False, runtime_env=ENVIRONMENT)
    yield made
    ray.shutdown()
    made.shutdown()


def replicas():
    """The actors of the replicas, by name."""
    import ray

    named = ray.util.list_named_actors(all_namespaces=True)
    names = [one["name"] for one in named if "#Replica#" in one["name"]]
    return {name: ray.get_actor(name, namespace="serve") for name in names}


@pytest.mark.slow
def test_a_replica_that_is_killed_loses_no_request_that_has_not_begun(cluster, chat_export):
    import httpx
    import ray

    application = build_app(chat_export, ServeArguments(precision="exact"), RayArguments(num_replicas=2, num_cpus=0.8))

    async def load(url):
        begun = set()

        async def whole(client, index):
            response = await client.post("/v1/completions", json={**LONG, "prompt": f"{index} fox"})
            return response.status_code, response.json()

        async def stream(client, index):
            lines = []
            body = {**LONG, "prompt": f"{index} dog", "stream": True}
            async with client.stream("POST", "/v1/completions", json=body) as response:
                async for line in response.aiter_lines():
                    begun.add(index)
                    if line:
                        lines.append(line.removeprefix("data: "))
            return lines

        async with httpx.AsyncClient(base_url=url, timeout=240.0) as client:
            streams = [asyncio.ensure_future(stream(client, index)) for index in range(STREAMS)]
            wholes = [asyncio.ensure_future(whole(client, index)) for index in range(WHOLE)]
            while len(begun) < STREAMS:
                await asyncio.sleep(0.05)
            assert not any(one.done() for one in [*streams, *wholes])
            name, actor = next(iter(replicas().items()))
            ray.kill(actor)
            return name, await asyncio.gather(*wholes), await asyncio.gather(*streams)

    with serving(application) as served:
        before = replicas()
        assert len(before) == 2
        assert sum(node["Alive"] for node in ray.nodes()) == 2
        killed, wholes, streams = asyncio.run(load(served.url))
        assert [status for status, _ in wholes] == [200] * WHOLE
        assert all(body["usage"]["completion_tokens"] == LONG["max_tokens"] for _, body in wholes)
        ended = [json.loads(lines[-2]) for lines in streams]
        assert all(lines[-1] == "[DONE]" for lines in streams)
        broken = [event for event in ended if "error" in event]
        assert {event["error"]["code"] for event in broken} == {"replica_ended"}
        assert 0 < len(broken) < STREAMS
        # Ray Serve starts another replica in its place.
        for _ in range(600):
            if len(now := set(replicas()) - {killed}) == 2:
                break
            asyncio.run(asyncio.sleep(0.1))
        assert len(now) == 2
