"""Tunes a model in a directory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..directory.config import CLASSIFIER_TASKS, DECODER_TASK, DynExecConfig
from ..directory.errors import TuningError
from ..directory.staging import staged_directory
from ..directory.tuning import Tuning
from .arguments import TuningArguments


def tune(
    directory: str | Path,
    *,
    data: Sequence[str | Path],
    arguments: TuningArguments | None = None,
    progress: bool = True,
) -> Tuning:
    """
    Measures which way of running a model is fastest on its user's inputs and machine, within the quality limit, and
    writes it into `dynexec_config.json`, from where `from_pretrained` and `generate` start.

    Args:
        directory (`str` or `Path`): of an exported decoder or classifier.
        data (`Sequence[str or Path]`):
            Inputs like those to come. Of a decoder, prompts as [`~data.texts.read_texts`] takes them; of a classifier
            as [`~data.samples.read_samples`] does.
        arguments ([`TuningArguments`], *optional*): what is tried, and for how long.
        progress (`bool`, *optional*, defaults to `True`): show progress bars.

    Returns:
        [`Tuning`]: as written.

    Raises:
        [`TuningError`]: if the model cannot be tuned.
        `ValueError`: if the data cannot be read.
    """
    directory = Path(directory)
    if not data:
        raise TuningError("give inputs like those that the model will see as `data` (--data)")
    config = DynExecConfig.from_pretrained(directory)
    found = _tuner(config.task)(directory, data, arguments or TuningArguments(), progress)
    with staged_directory(directory, keep_others=True) as staging:
        replace(DynExecConfig.from_pretrained(directory), tuning=found.to_dict()).save_pretrained(staging)
    return found


def _tuner(task: str) -> Callable[[Path, Sequence[str | Path], TuningArguments, bool], Tuning]:
    from .classifier import tune_classifier
    from .decoder import tune_decoder

    tuners = {DECODER_TASK: tune_decoder, **dict.fromkeys(CLASSIFIER_TASKS, tune_classifier)}
    if task not in tuners:
        raise TuningError(f"models for the tasks {list(tuners)} can be tuned, not for {task!r}")
    return tuners[task]
