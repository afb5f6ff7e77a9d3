"""Which of two ways to run a call is faster on this machine, as measured in use."""

import math
from dataclasses import dataclass, field


# Calls of each way before they are compared. The first one is not counted: it pays for the new shape.
FIRST_CALLS = 3
# The slower way is tried again in every call with this number, in case the inputs have changed. If it takes 1.6 times
# as long, this costs 1% of the time.
RETRY = 64
# The share of the latest call in a running mean.
LATEST = 0.25


@dataclass
class _Way:
    calls: int = 0
    seconds: float = 0.0  # for each unit of size, running mean

    def saw(self, seconds: float) -> None:
        self.calls += 1
        if self.calls <= 2:
            self.seconds = seconds
        else:
            self.seconds += LATEST * (seconds - self.seconds)


@dataclass
class _Times:
    first: _Way = field(default_factory=_Way)
    second: _Way = field(default_factory=_Way)
    compared: int = 0


class FasterWay:
    """
    Chooses between two ways to run a call, for each size of a call (rounded to a power of two). It measures both in
    the first calls of a size, then takes the faster one, and tries the other one again once in [`RETRY`] calls.
    """

    def __init__(self) -> None:
        self._sizes: dict[int, _Times] = {}

    def takes_first(self, size: int) -> bool:
        """
        Chooses for a call.

        Args:
            size (`int`): size of the call, for example samples times positions.
        """
        times = self._times(size)
        for way in (times.first, times.second):
            if way.calls < FIRST_CALLS:
                return way is times.first
        times.compared += 1
        faster = times.first.seconds <= times.second.seconds
        return faster != (times.compared % RETRY == 0)

    def saw(self, size: int, first: bool, seconds: float) -> None:
        """
        Records a call.

        Args:
            size (`int`): size of the call.
            first (`bool`): whether it was the first way.
            seconds (`float`): time that it took.
        """
        times = self._times(size)
        (times.first if first else times.second).saw(seconds / size)

    def __str__(self) -> str:
        lines = []
        for power, times in sorted(self._sizes.items()):
            if min(times.first.calls, times.second.calls) >= FIRST_CALLS:
                ratio = times.second.seconds / times.first.seconds
                lines.append(f"size {2**power}: the second way takes {ratio:.2f} x the time of the first")
        return "\n".join(lines)

    def _times(self, size: int) -> _Times:
        return self._sizes.setdefault(round(math.log2(size)), _Times())
