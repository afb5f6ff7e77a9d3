"""What a model was tuned to, applied where the caller says nothing else."""

import logging
from typing import Any

from ..configuration import DynExecConfig
from ..early_exit.config import EarlyExitConfig
from ..tuning.errors import TuningError
from ..tuning.tuning import Tuning, why_stale


logger = logging.getLogger(__name__)

# The value of `early_exit` that stands for what was tuned.
TUNED = "tuned"


def find_tuning(config: DynExecConfig | None, device: str, own_heads: bool, wanted: bool = True) -> Tuning | None:
    """
    The tuning of a model that is loaded, if it is one of this model on this machine. A stale one is warned of.

    Args:
        config ([`DynExecConfig`], *optional*): of the model.
        device (`str`): that it is loaded on.
        own_heads (`bool`): whether its heads are those of its directory.
        wanted (`bool`, *optional*, defaults to `True`): whether the caller wants it.
    """
    if not wanted or config is None or config.tuning is None:
        return None
    tuning = Tuning.from_dict(config.tuning)
    reason = why_stale(tuning, config, device) if own_heads else "the model was loaded with other heads"
    if reason is None:
        return tuning
    logger.warning("The tuning of the model is not used: %s. Tune it again with `optimum-cli dynexec tune`.", reason)
    return None


def tuned_ov_config(tuning: Tuning | None, given: dict[str, str]) -> dict[str, str]:
    """OpenVINO properties: those of the caller before those that were tuned."""
    return dict(given) if tuning is None else {**tuning.ov_config, **given}


def tuned_exit(tuning: Tuning | None) -> EarlyExitConfig | str | None:
    """
    How samples of a classifier leave as it was tuned.

    Raises:
        [`~tuning.TuningError`]: if there is no tuning to be used.
    """
    if tuning is None:
        raise TuningError(
            "`early_exit='tuned'` needs a model that was tuned: run `optimum-cli dynexec tune MODEL_DIR --data ...`"
        )
    found: Any = tuning.options.get("early_exit")
    return EarlyExitConfig(**found) if isinstance(found, dict) else found
