"""Options of calls from JSON."""

from typing import Any

from ...early_exit.config import EarlyExitConfig


def early_exit_config(values: dict[str, Any]) -> EarlyExitConfig:
    """
    Makes an [`~early_exit.EarlyExitConfig`] from its fields. Layers may be strings, as in JSON.

    Raises:
        `ValueError`: if a value is not accepted.
        `TypeError`: if a field does not exist.
    """
    thresholds = values.get("thresholds")
    if isinstance(thresholds, dict):
        values = {**values, "thresholds": {int(layer): value for layer, value in thresholds.items()}}
    return EarlyExitConfig(**values)
