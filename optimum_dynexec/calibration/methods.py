"""Methods: how a candidate is chosen, and what the method guarantees."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from .conformal import conformal_risk_control, observations_for_conformal
from .ltt import learn_then_test
from .p_values import P_VALUES, needed_observations, upper_bound


@dataclass(frozen=True)
class Choice:
    """
    A candidate and the evidence about its risk.

    Args:
        index (`int`, *optional*): index of the candidate; `None` if none has the guarantee.
        p_value (`float`, *optional*): p-value of the hypothesis that its risk is above epsilon.
        upper_bound (`float`, *optional*): upper bound of its risk alone, with confidence 1 - delta.
    """

    index: int | None
    p_value: float | None = None
    upper_bound: float | None = None


@dataclass(frozen=True)
class Method:
    """
    Args:
        choose (`Callable`): function `(losses [candidates, n], epsilon, delta) -> Choice`.
        needed (`Callable`):
            Function `(mean, epsilon, delta) -> n`: about how many observations with this mean are needed; `None` if no
            number suffices.
        uses_delta (`bool`): whether the guarantee has a confidence; otherwise it is about the expectation.
    """

    choose: Callable[[np.ndarray, float, float], Choice]
    needed: Callable[[float, float, float], int | None]
    uses_delta: bool


def _test(losses: np.ndarray, epsilon: float, delta: float, p_value: str) -> Choice:
    tested = learn_then_test(losses, epsilon, delta, p_value)
    if tested.chosen is None:
        return Choice(None)
    bound = upper_bound(losses[tested.chosen], delta, P_VALUES[p_value])
    return Choice(tested.chosen, float(tested.p_values[tested.chosen]), bound)


METHODS: dict[str, Method] = {
    **{name: Method(partial(_test, p_value=name), needed_observations, uses_delta=True) for name in P_VALUES},
    "conformal": Method(
        lambda losses, epsilon, _delta: Choice(conformal_risk_control(losses, epsilon)),
        lambda mean, epsilon, _delta: observations_for_conformal(mean, epsilon),
        uses_delta=False,
    ),
}
