"""What differs between the versions of transformers that the package runs with, in one place."""

from functools import cache
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from transformers import GenerationConfig


# The oldest and the newest version that the tests run with (`make test-matrix`).
TESTED_TRANSFORMERS = ("4.57.6", "5.5.4")


def rope_parameters(config: Any) -> dict[str, Any]:
    """
    The parameters of a model's rotary position embeddings, as transformers 5 has them in `config.rope_parameters`. In
    transformers 4 they are `rope_theta`, for some families `rotary_emb_base`, and `rope_scaling`, in which `rope_type`
    may be called `type`.

    Args:
        config (`PretrainedConfig`): configuration of the model.

    Returns:
        `dict[str, Any]`: `rope_type`, `rope_theta` and others; empty for a model without such embeddings.
    """
    parameters = getattr(config, "rope_parameters", None)
    if parameters is not None:
        return dict(parameters)
    theta = getattr(config, "rope_theta", None) or getattr(config, "rotary_emb_base", None)
    if theta is None:
        return {}
    scaling = getattr(config, "rope_scaling", None) or {}
    return {"rope_type": scaling.get("type", "default"), "rope_theta": theta, **scaling}


def given_values(config: "GenerationConfig | None") -> dict[str, Any]:
    """
    The values that a generation configuration sets. A value that is not set is `None` in transformers 5. In
    transformers 4 it is a default, such as 20 for `max_length`, and a value that equals its default counts as not set.

    Args:
        config (`GenerationConfig`, *optional*): configuration of a model or of a call.
    """
    if config is None:
        return {}
    defaults = _default_values()
    return {
        name: value
        for name, value in vars(config).items()
        if value is not None and not (name in defaults and defaults[name] == value)
    }


@cache
def _default_values() -> dict[str, Any]:
    from transformers import GenerationConfig

    return vars(GenerationConfig())
