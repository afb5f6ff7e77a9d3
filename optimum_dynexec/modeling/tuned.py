"""The result of tuning, applied to what the caller leaves open."""

import logging
from typing import TYPE_CHECKING, Any

from ..directory.config import DynExecConfig
from ..directory.errors import TuningError
from ..directory.tuning import Tuning, why_stale
from ..early_exit.config import EarlyExitConfig
from ..precision import DYNAMIC_QUANTIZATION, PRECISIONS, group_config


if TYPE_CHECKING:
    from .base import DynExecModelMixin


logger = logging.getLogger(__name__)

# The value of `early_exit` that stands for the tuned setting.
TUNED = "tuned"


def start_from_tuning(model: "DynExecModelMixin") -> None:
    """
    Applies the tuning of a model that is loaded, but not compiled yet. It sets `tuning`, and the OpenVINO properties
    that the caller has not set. A tuning for another model or machine is not applied, and a warning says so.

    Args:
        model ([`~modeling.DynExecModelForCausalLM`] or a model of an encoder): model with its configuration and heads.
    """
    config = model.dynexec_config
    if config is None or config.tuning is None:
        return
    # A tuning only makes a model faster: without it, the model is still right.
    try:
        tuning = Tuning.from_dict(config.tuning)
        _check_use(tuning, model)
    except TuningError as error:
        logger.warning("The model is not run as tuned: %s. Tune it with `optimum-cli dynexec tune`.", error)
        return
    model.tuning = tuning
    for_all = {name: value for name, value in tuning.ov_config.items() if name != DYNAMIC_QUANTIZATION}
    model.ov_config = {**for_all, **model.ov_config}


def measured_group(tuning: Tuning | None, config: DynExecConfig | None) -> dict[str, str]:
    """
    The OpenVINO property for the group size of dynamic quantization that `tune` chose, or else the export. It is meant
    for the precision `"exact"` with compressed weights only. `{}` leaves it to OpenVINO.
    """
    if tuning is not None:
        return {name: value for name, value in tuning.ov_config.items() if name == DYNAMIC_QUANTIZATION}
    return group_config(None if config is None else config.group_size)


def _check_use(tuning: Tuning, model: "DynExecModelMixin") -> None:
    if tuning.precision not in PRECISIONS:
        raise TuningError(f"it was tuned to the precision {tuning.precision!r}; accepted are {list(PRECISIONS)}")
    assert model.dynexec_config is not None
    reason = why_stale(tuning, model.dynexec_config, model._device)
    if model._other_heads:
        reason = "it was loaded with other heads"
    if reason is not None:
        raise TuningError(reason)


def tuned_exit(tuning: Tuning | None) -> EarlyExitConfig | str | None:
    """
    The early exit that a classifier was tuned to.

    Raises:
        [`~directory.errors.TuningError`]: if there is no tuning that applies.
    """
    if tuning is None:
        raise TuningError(
            "`early_exit='tuned'` needs a model that was tuned: run `optimum-cli dynexec tune MODEL_DIR --data ...`"
        )
    found: Any = tuning.options.get("early_exit")
    try:
        return EarlyExitConfig(**found) if isinstance(found, dict) else found
    except TypeError as error:
        raise TuningError(f"the tuned early exit {found!r} is not accepted: {error}") from error
