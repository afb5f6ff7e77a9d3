"""Successive halving (Jamieson and Talwalkar, arXiv 1502.07943): each round, the slower half of the trials leaves."""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm


@dataclass(eq=False)  # two that were measured alike are still two
class Trial:
    """
    A way of running a model, and what has been measured of it.

    Args:
        name (`str`): for people.
        options (`dict[str, Any]`): what is tried.
        seconds (`list[float]`): of each run.
        units (`list[int]`): tokens or samples of each run.
        wrong (`float`): of classifiers, the sum of the losses of its samples.
        fate (`str`): why it is no longer tried.
    """

    name: str
    options: dict[str, Any]
    seconds: list[float] = field(default_factory=list)
    units: list[int] = field(default_factory=list)
    wrong: float = 0.0
    fate: str = ""

    @property
    def cost(self) -> float:
        """Seconds per unit so far."""
        units = sum(self.units)
        return sum(self.seconds) / units if units else math.inf

    @property
    def loss(self) -> float:
        """Mean loss of a unit so far."""
        return self.wrong / max(sum(self.units), 1)


# (trial, item) -> seconds, units, sum of losses
Run = Callable[[Trial, Any], tuple[float, int, float]]


def successive_halving(
    trials: Sequence[Trial],
    items: Sequence[Any],
    run: Run,
    *,
    baseline: Trial,
    safe: Trial | None = None,
    deadline: float,
    max_loss: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> list[Trial]:
    """
    Measures all on a few items, the faster half on as many again, and so on. Runs on the same item follow each other
    directly, in random order, so that what else the machine does meets them alike. A first run of each is not counted.

    Args:
        trials (`Sequence[Trial]`): what is tried.
        items (`Sequence`): what it is tried on, at least one.
        run (`Callable`): runs one on an item.
        baseline ([`Trial`]): one of them, which is measured to the end.
        safe ([`Trial`], *optional*):
            Another that is. Where the fastest lose too much, and are found out only when the others have left, it is
            what remains.
        deadline (`float`): on `time.monotonic`; what leads then is the outcome.
        max_loss (`float`, *optional*): trials with a greater loss leave.
        seed (`int`, *optional*, defaults to 0): of the order.
        progress (`bool`, *optional*, defaults to `True`): show a progress bar.

    Returns:
        `list[Trial]`: those that were tried to the end, fastest first, `baseline` among them.
    """
    order = random.Random(seed)
    alive = list(trials)
    rounds = max(1, math.ceil(math.log2(max(len(alive), 2))))
    share = max(1, len(items) // rounds)
    for trial in alive:
        run(trial, items[0])
        if time.monotonic() > deadline:
            break
    with tqdm(total=len(items), desc="tuning", unit="input", disable=not progress) as bar:
        for number in range(rounds):
            last = number == rounds - 1
            part = items[number * share :] if last else items[number * share : (number + 1) * share]
            for item in part:
                for trial in order.sample(alive, len(alive)):
                    seconds, units, wrong = run(trial, item)
                    trial.seconds.append(seconds)
                    trial.units.append(units)
                    trial.wrong += wrong
                bar.update()
                bar.set_postfix_str(min(alive, key=_cost).name)
                # Between items, all that are left have been measured on the same.
                if time.monotonic() > deadline:
                    return _ended(alive, baseline, max_loss)
            alive = _within(alive, baseline, max_loss)
            if not last and len(alive) > 2:
                alive = _faster_half(alive, [trial for trial in alive if trial in (baseline, safe)])
    return _ended(alive, baseline, max_loss)


def _cost(trial: Trial) -> float:
    return trial.cost


def _within(alive: list[Trial], baseline: Trial, max_loss: float | None) -> list[Trial]:
    if max_loss is None:
        return alive
    for trial in alive:
        if trial is not baseline and trial.loss > max_loss:
            trial.fate = f"loses {trial.loss:.2%}, more than {max_loss:.2%}"
    return [trial for trial in alive if not trial.fate]


def _faster_half(alive: list[Trial], kept: list[Trial]) -> list[Trial]:
    others = sorted((trial for trial in alive if trial not in kept), key=_cost)
    keep = max(1, math.ceil(len(others) / 2))
    for trial in others[keep:]:
        trial.fate = f"slower than others after {len(trial.seconds)} runs"
    return [*kept, *others[:keep]]


def _ended(alive: list[Trial], baseline: Trial, max_loss: float | None) -> list[Trial]:
    return sorted(_within(alive, baseline, max_loss), key=_cost)
