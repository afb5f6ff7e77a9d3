"""How long drafts are: what transformers calls `num_assistant_tokens_schedule`."""

from collections.abc import Callable


# Of "auto", which the OpenVINO engine decides by measured times; here it adapts as "heuristic" does.
AUTO_START = 5


class Constant:
    """Always the same length."""

    def __init__(self, length: int):
        self.length = length

    def observe(self, proposed: int, accepted: int) -> None:
        """Is told what became of a draft."""


class Heuristic(Constant):
    """Two more if all were accepted, else one less."""

    def observe(self, proposed: int, accepted: int) -> None:
        self.length = self.length + 2 if accepted == proposed else max(1, self.length - 1)


# By their names; made with `num_assistant_tokens`.
LOOKAHEADS: dict[str, Callable[[int], Constant]] = {
    "constant": Constant,
    "heuristic": Heuristic,
    "heuristic_transient": Heuristic,
    "auto": lambda longest: Heuristic(min(longest, AUTO_START)),
}
