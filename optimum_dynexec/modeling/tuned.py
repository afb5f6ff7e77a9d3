"""What a model was tuned to, applied where the caller says nothing else."""

import logging
from typing import TYPE_CHECKING, Any

from ..directory.errors import TuningError
from ..directory.tuning import Tuning, why_stale
from ..early_exit.config import EarlyExitConfig
from ..precision import PRECISIONS


if TYPE_CHECKING:
    from .base import DynExecModelMixin


logger = logging.getLogger(__name__)

# The value of `early_exit` that stands for what was tuned.
TUNED = "tuned"


def start_from_tuning(model: "DynExecModelMixin", precision: str | None) -> None:
    """
    Gives a model that is loaded, and not compiled yet, its `tuning`, if it is one of this model on this machine, and
    the precision and OpenVINO properties of it that the caller has not given. Of a stale one, a warning says so.

    Args:
        model ([`~modeling.DynExecModelForCausalLM`] or one of an encoder): with its configuration and heads.
        precision (`str`, *optional*): that the caller has given.
    """
    config = model.dynexec_config
    if config is None or config.tuning is None:
        return
    tuning = Tuning.from_dict(config.tuning)
    reason = "it was loaded with other heads" if model._other_heads else why_stale(tuning, config, model._device)
    if reason is not None:
        logger.warning("The model is not run as tuned: %s. Tune it with `optimum-cli dynexec tune`.", reason)
        return
    model.tuning = tuning
    exactness = {} if precision is not None else PRECISIONS[tuning.precision]
    model.ov_config = {**exactness, **tuning.ov_config, **model.ov_config}


def tuned_exit(tuning: Tuning | None) -> EarlyExitConfig | str | None:
    """
    How samples of a classifier leave as it was tuned.

    Raises:
        [`~directory.errors.TuningError`]: if there is no tuning to be used.
    """
    if tuning is None:
        raise TuningError(
            "`early_exit='tuned'` needs a model that was tuned: run `optimum-cli dynexec tune MODEL_DIR --data ...`"
        )
    found: Any = tuning.options.get("early_exit")
    return EarlyExitConfig(**found) if isinstance(found, dict) else found
