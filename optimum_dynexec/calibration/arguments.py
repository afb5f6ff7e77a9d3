"""The arguments of a calibration and their checks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..directory.errors import CalibrationError
from ..early_exit.criteria import criterion_class
from .candidates import CANDIDATES, NEED_TUNING
from .methods import METHODS
from .risks import Risk, find_risk


@dataclass(frozen=True)
class CalibrationArguments:
    """
    The limit of the risk and the method of a calibration.

    Args:
        risk (`str` or `Callable`, *optional*, defaults to `"disagreement"`):
            Loss of leaving at an exit; see [`~calibration.risks.find_risk`].
        epsilon (`float`, *optional*, defaults to 0.05): largest risk, above 0 and below 1.
        delta (`float`, *optional*, defaults to 0.05): probability of a larger risk, above 0 and below 1.
        criterion (`str`, *optional*, defaults to `"max_prob"`): criterion, one of [`~early_exit.criterion_names`].
        method (`str`, *optional*, defaults to `"hoeffding_bentkus"`):
            `"hoeffding_bentkus"`, `"wsr"` or `"binomial"`: Learn then Test with this p-value. `"conformal"`: conformal
            risk control, which bounds the expected risk and has no delta.
        candidates (`str`, *optional*, defaults to `"shared"`):
            `"shared"`: one threshold for all exits. `"per_exit"`: a threshold for each exit, found with tuning data.
        tuning_share (`float`, *optional*, defaults to 0.3):
            Share of the texts for tuning data, if the criterion or `candidates` needs it. The thresholds
            are not tested on these texts.

    Raises:
        [`~calibration.CalibrationError`]: if a value is not accepted. The message names the value and what is
            accepted.
    """

    risk: str | Risk = "disagreement"
    epsilon: float = 0.05
    delta: float = 0.05
    criterion: str = "max_prob"
    method: str = "hoeffding_bentkus"
    candidates: str = "shared"
    tuning_share: float = 0.3

    def __post_init__(self) -> None:
        for name in ("epsilon", "delta", "tuning_share"):
            value = getattr(self, name)
            if not isinstance(value, int | float | np.floating) or not 0.0 < value < 1.0:
                raise CalibrationError(f"`{name}` must be between 0 and 1, but it is {value!r}")
        check_fields(self, choices={"method": METHODS, "candidates": CANDIDATES}, least={})
        if criterion_class(self.criterion).for_embeddings:
            raise CalibrationError(
                f"the criterion {self.criterion!r} judges embeddings, which have no risk to calibrate"
            )
        find_risk(self.risk)

    @property
    def uses_tuning(self) -> bool:
        """Whether a part of the texts chooses the candidates or trains the criterion."""
        return criterion_class(self.criterion).file_name is not None or self.candidates in NEED_TUNING


def check_fields(arguments: object, *, choices: Mapping[str, Iterable[str]], least: Mapping[str, int]) -> None:
    """
    Checks fields of a dataclass of arguments.

    Args:
        arguments: the dataclass.
        choices (`Mapping[str, Iterable[str]]`): accepted values by the name of a field.
        least (`Mapping[str, int]`): smallest values by the name of a field; `None` is accepted.

    Raises:
        [`~directory.errors.CalibrationError`]: if a value is not accepted.
    """
    for name, accepted in choices.items():
        if getattr(arguments, name) not in accepted:
            raise CalibrationError(f"`{name}` must be one of {list(accepted)}, but it is {getattr(arguments, name)!r}")
    for name, smallest in least.items():
        value = getattr(arguments, name)
        if value is not None and value < smallest:
            raise CalibrationError(f"`{name}` must be at least {smallest}, but it is {value!r}")
