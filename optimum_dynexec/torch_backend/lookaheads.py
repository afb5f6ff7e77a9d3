"""How long drafts are: what transformers calls `num_assistant_tokens_schedule`."""

from collections.abc import Callable


# The OpenVINO engine decides "auto" by measured times. Here it adapts like "heuristic".
AUTO_START = 5


class Constant:
    """Keeps the length constant."""

    def __init__(self, length: int):
        self.length = length

    def observe(self, proposed: int, accepted: int) -> None:
        """Learns how many tokens of a draft were accepted."""


class Heuristic(Constant):
    """Increases the length by 2 if all tokens were accepted, and otherwise decreases it by 1."""

    def observe(self, proposed: int, accepted: int) -> None:
        self.length = self.length + 2 if accepted == proposed else max(1, self.length - 1)


# By their names; made with `num_assistant_tokens`.
LOOKAHEADS: dict[str, Callable[[int], Constant]] = {
    "constant": Constant,
    "heuristic": Heuristic,
    "heuristic_transient": Heuristic,
    "auto": lambda longest: Heuristic(min(longest, AUTO_START)),
}
