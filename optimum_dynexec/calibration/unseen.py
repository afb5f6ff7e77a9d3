"""Refuses to calibrate on the texts that the heads were trained on."""

from collections.abc import Sequence

from ..data.overlap import seen_share
from ..directory.config import DynExecConfig
from .errors import TrainingDataError


# Above the share of texts that occur by chance in both (short ones, duplicates in the source), and the share is only
# estimated.
LARGEST_SHARE = 0.25


def check_unseen(config: DynExecConfig, hashes: Sequence[str], data: Sequence[str], unit: str = "texts") -> None:
    """
    Checks that the exit heads of a model were not trained on the texts of a calibration. Heads that do not say what
    they were trained on are not checked.

    Args:
        config ([`DynExecConfig`]): configuration that lists the heads.
        hashes (`Sequence[str]`): hashes of the texts, from [`~data.overlap.content_hash`].
        data (`Sequence[str]`): names of the files, for the message.
        unit (`str`, *optional*, defaults to `"texts"`): what the texts are called in the message.

    Raises:
        [`~calibration.TrainingDataError`]: if a head was trained on more than a quarter of them.
    """
    for name, head in config.heads.items():
        if head.layer is None or head.training_texts is None:
            continue
        share = seen_share(hashes, head.training_texts)
        if share > LARGEST_SHARE:
            raise TrainingDataError(
                f"{', '.join(map(str, data))}: {name} was trained on about {share:.0%} of these {unit}, so the"
                f" guarantee would not hold: use other {unit}"
            )
