"""Options of calls, as JSON has them."""

from typing import Any

from ...early_exit.config import EarlyExitConfig


def early_exit_config(values: dict[str, Any]) -> EarlyExitConfig:
    """
    An [`~early_exit.EarlyExitConfig`] of its fields; layers may be strings, as they are in JSON.

    Raises:
        `ValueError`: if a value is not acceptable.
        `TypeError`: for a field that there is not.
    """
    thresholds = values.get("thresholds")
    if isinstance(thresholds, dict):
        values = {**values, "thresholds": {int(layer): value for layer, value in thresholds.items()}}
    return EarlyExitConfig(**values)
