"""The configuration of the policies that save work in a call of a pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .policies.adaptive_guidance import AdaptiveGuidance, AdaptiveGuidanceConfig
from .policies.base import DenoisingPolicy
from .policies.convergence import Convergence, ConvergenceConfig
from .policies.step_reuse import StepReuse, StepReuseConfig


@dataclass(frozen=True)
class DynExecDiffusionConfig:
    """
    The policies that save denoising work. Each policy changes the image a little, and all are off by default. A
    policy is given as its configuration, a dictionary of its fields, or `True` for its defaults.

    Args:
        adaptive_guidance ([`AdaptiveGuidanceConfig`], *optional*):
            Policy that skips the unconditional pass once it makes no difference.
        convergence ([`ConvergenceConfig`], *optional*):
            Policy that ends denoising when the predicted clean sample has settled.
        step_reuse ([`StepReuseConfig`], *optional*):
            Policy that skips the network at steps whose output can be predicted.

    Raises:
        `ValueError`: if a value is not accepted; the message names the value and what is accepted.

    Example:
        ```python
        pipe(prompt, dynexec=DynExecDiffusionConfig(adaptive_guidance=True, step_reuse={"order": 1}))
        ```
    """

    # The fields are the registry of policies.
    adaptive_guidance: AdaptiveGuidanceConfig | None = field(default=None, metadata={"policy": AdaptiveGuidance})
    convergence: ConvergenceConfig | None = field(default=None, metadata={"policy": Convergence})
    step_reuse: StepReuseConfig | None = field(default=None, metadata={"policy": StepReuse})

    def __post_init__(self) -> None:
        for name, policy in POLICIES.items():
            object.__setattr__(self, name, _policy_config(name, policy.config_class, getattr(self, name)))

    @property
    def policies(self) -> dict[str, Any]:
        """Configurations of the policies that are on, by name."""
        return {name: getattr(self, name) for name in POLICIES if getattr(self, name) is not None}

    @classmethod
    def resolve(cls, value: "DynExecDiffusionConfig | Mapping[str, Any] | None") -> "DynExecDiffusionConfig":
        """
        Reads the argument `dynexec` of a call.

        Args:
            value (`DynExecDiffusionConfig` or `Mapping`, *optional*): value of the argument; `None` turns all
                policies off.

        Raises:
            `ValueError`: if the value has another type, or names an unknown policy.
        """
        if value is None:
            return cls()
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            _check_names("dynexec", value, cls)
            return cls(**value)
        raise ValueError(
            f"`dynexec` must be a DynExecDiffusionConfig or a dictionary of its fields, but it is {value!r}"
        )


POLICIES: dict[str, type[DenoisingPolicy]] = {
    policy.name: policy.metadata["policy"] for policy in fields(DynExecDiffusionConfig)
}


def _policy_config(name: str, config_class: type, value: object) -> object:
    if value is None or value is False:
        return None
    if value is True:
        return config_class()
    if isinstance(value, config_class):
        return value
    if isinstance(value, Mapping):
        _check_names(name, value, config_class)
        return config_class(**value)
    raise ValueError(
        f"`{name}` must be a {config_class.__name__}, a dictionary of its fields, True or False, but it is {value!r}"
    )


def _check_names(name: str, values: Mapping[str, Any], config_class: type) -> None:
    known = [field.name for field in fields(config_class)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"`{name}` has no field {unknown[0]!r}; its fields are {known}")
