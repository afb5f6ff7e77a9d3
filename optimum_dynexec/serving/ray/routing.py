"""Requests whose prompts begin alike go to the same replica, whose prefix cache then knows the beginning."""

import hashlib
from typing import Any

from ray.serve.request_router import FIFOMixin, PendingRequest, RequestRouter, RunningReplica

from .forwarding import Forwarded


class PrefixRouter(FIFOMixin, RequestRouter):
    """
    Prefers replicas in an order that depends on the prompt's beginning (rendezvous hashing): when a replica comes or
    goes, only its own share of the beginnings moves. A replica that has more than `slack` requests more than the one
    with the fewest is passed over.
    """

    def initialize_state(self, slack: int = 8) -> None:
        """
        Called by Ray Serve.

        Args:
            slack (`int`, *optional*, defaults to 8): how many requests a known prefix is worth waiting for.
        """
        self._slack = slack

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Called by Ray Serve."""
        if pending_request is None or not candidate_replicas:
            return [candidate_replicas]
        pending_request.routing_context.should_backoff = True
        forwarded = pending_request.args[0]
        assert isinstance(forwarded, Forwarded)
        by_id = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        ongoing = {name: self.replica_queue_len_cache.get(replica.replica_id) or 0 for name, replica in by_id.items()}
        return [[by_id[name]] for name in preferred(forwarded.prefix, ongoing, self._slack)]


def preferred(prefix: bytes, ongoing: dict[str, int], slack: int) -> list[str]:
    """
    Sorts replicas, the one to take first.

    Args:
        prefix (`bytes`): stands for the beginning of the prompt.
        ongoing (`dict[str, int]`): by name of a replica, the number of its requests.
        slack (`int`): how many more requests than the fewest one may have.
    """
    limit = min(ongoing.values()) + slack

    def rank(name: str) -> tuple[Any, ...]:
        busy = ongoing[name] > limit
        score = hashlib.blake2b(prefix + name.encode(), digest_size=8).digest()
        return (busy, ongoing[name] if busy else 0, score)

    return sorted(ongoing, key=rank)
