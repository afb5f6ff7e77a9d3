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
    Finds the fastest way to run a model on the user's inputs and machine, within the quality limit, and
    writes it to `dynexec_config.json`. `from_pretrained` and `generate` then use it.

    Args:
        directory (`str` or `Path`): directory of an exported decoder or classifier.
        data (`Sequence[str or Path]`):
            Inputs like those in use. For a decoder: prompts, as accepted by [`~data.texts.read_texts`]. For a
            classifier: samples, as accepted by [`~data.samples.read_samples`].
        arguments ([`TuningArguments`], *optional*): objective, limits and data of the tuning.
        progress (`bool`, *optional*, defaults to `True`): whether to show progress bars.

    Returns:
        [`Tuning`]: the tuning written.

    Raises:
        [`TuningError`]: if the model cannot be tuned.
        `ValueError`: if the data cannot be read.
    """
    directory = Path(directory)
    if not data:
        raise TuningError("give inputs like those in use as `data` (--data)")
    config = DynExecConfig.from_pretrained(directory)
    found = _tuner(config.task)(directory, data, arguments or TuningArguments(), progress)
    with staged_directory(directory, keep_others=True) as staging:
        replace(DynExecConfig.from_pretrained(directory), tuning=found.to_dict()).save_pretrained(staging)
    return found


def _tuner(task: str) -> Callable[[Path, Sequence[str | Path], TuningArguments, bool], Tuning]:
    from .decoder import tune_decoder
    from .encoder import tune_encoder

    tuners = {DECODER_TASK: tune_decoder, **dict.fromkeys(CLASSIFIER_TASKS, tune_encoder)}
    if task not in tuners:
        raise TuningError(f"models for the tasks {list(tuners)} can be tuned, but this model is for {task!r}")
    return tuners[task]
