"""Calibration data for quantization. A kind of model is a function and a line in the registry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..directory.config import DECODER_TASK, ENCODER_TASKS
from .errors import QuantizationError
from .own_texts import SELF, own_texts


if TYPE_CHECKING:
    import nncf
    import openvino as ov
    from optimum.intel.openvino.modeling_base import OVBaseModel

    from ..data.samples import Columns, Samples

# The default of optimum-intel's quantizer.
DEFAULT_SAMPLES = 128


@dataclass(frozen=True)
class CalibrationData:
    """
    Calibration data for quantization.

    Args:
        sources (`Sequence[str or Path]`):
            For a decoder: prompts or texts, as accepted by [`~data.texts.read_texts`], or only `"self"`: texts that
            the model writes itself. For an encoder or a vision model: samples, as accepted by
            [`~data.samples.read_samples`]. For a diffusion pipeline: prompts.
        continuations (`str`, *optional*, defaults to `"text"`):
            For decoders only. `"text"`: the texts as they are. `"own"`: the texts are prompts, which are used with
            the model's own answers.
        columns ([`~data.samples.Columns`], *optional*): columns of a row; not for decoders.
        max_samples (`int`, *optional*, defaults to 128): maximum number of samples, which are drawn at random.
        max_length (`int`, *optional*, defaults to 128):
            maximum number of tokens in a text; longer texts are truncated. For texts that the model writes itself, the
            prompt does not count.
        seed (`int`, *optional*, defaults to 0): random seed of the draw.

    Raises:
        [`QuantizationError`]: if a value is not accepted.
    """

    sources: Sequence[str | Path]
    continuations: str = "text"
    columns: "Columns | None" = None
    max_samples: int = DEFAULT_SAMPLES
    max_length: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.sources, str | Path) or not self.sources:
            raise QuantizationError(f"`sources` must be a list of files or data sets, but it is {self.sources!r}")
        if SELF in self.sources and any(source != SELF for source in self.sources):
            others = [str(source) for source in self.sources if source != SELF]
            raise QuantizationError(
                f"{SELF!r} must be the only entry of `sources`, but {others} are given too: leave out {SELF!r} or the"
                " others"
            )
        if self.continuations not in ("own", "text"):
            raise QuantizationError(f"`continuations` must be 'own' or 'text', but it is {self.continuations!r}")
        for name in ("max_samples", "max_length"):
            if getattr(self, name) < 1:
                raise QuantizationError(f"`{name}` must be at least 1, but it is {getattr(self, name)!r}")


def calibration_dataset(model: "OVBaseModel", directory: Path, task: str, data: CalibrationData) -> "nncf.Dataset":
    """
    Makes the calibration data set for NNCF.

    Args:
        model (`OVBaseModel`): model from [`~quantization.models.load_model`].
        directory (`Path`): directory of the model, with its tokenizer or processor.
        task (`str`): task of the model.
        data ([`CalibrationData`]): calibration data.

    Returns:
        `nncf.Dataset`: the model's inputs by name, one sample per entry.

    Raises:
        `ValueError`: if the data cannot be read, or does not suit the model.
    """
    return DATASETS[task](model, directory, task, data)


def check_sources(task: str, data: CalibrationData) -> None:
    """
    Reads calibration data, to find out whether it can be read.

    Args:
        task (`str`): of the model.
        data ([`CalibrationData`]): what to show.

    Raises:
        `ValueError`: if it cannot.
    """
    if task == DECODER_TASK:
        from ..data.texts import read_texts

        for source in data.sources:
            if source != SELF:
                read_texts(source)
    else:
        from ..data.samples import read_samples

        read_samples(data.sources, data.columns)


def _texts(model: "OVBaseModel", directory: Path, task: str, data: CalibrationData) -> "nncf.Dataset":
    import nncf
    import numpy as np

    names = {name for value in model.model.inputs for name in value.get_names()}

    def inputs(tokens: list[int]) -> dict[str, np.ndarray]:
        ids = np.array([tokens], np.int64)
        feed: dict[str, np.ndarray] = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "position_ids": np.arange(ids.shape[1], dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        return {name: value for name, value in feed.items() if name in names}

    return nncf.Dataset(_token_lists(directory, data), inputs)


def _token_lists(directory: Path, data: CalibrationData) -> list[list[int]]:
    import random

    from transformers import AutoTokenizer

    from ..data.texts import chat_prompts, read_texts

    sources = [source for source in data.sources if source != SELF]
    tokenizer = AutoTokenizer.from_pretrained(directory)
    texts = [text for source in sources for text in read_texts(source)]
    random.Random(data.seed).shuffle(texts)
    texts = texts[: data.max_samples]
    how = {"max_samples": data.max_samples, "max_length": data.max_length, "seed": data.seed}
    if not sources:
        lists = own_texts(directory, None, tokenizer, **how)
    elif data.continuations == "own":
        lists = own_texts(directory, chat_prompts(texts, tokenizer), tokenizer, **how)
    else:
        lists = [tokenizer(text)["input_ids"][: data.max_length] for text in texts]
    lists = [tokens for tokens in lists if tokens]
    if not lists:
        raise QuantizationError(f"the calibration data {[str(source) for source in data.sources]} contains no text")
    return lists


def _samples(model: "OVBaseModel", directory: Path, task: str, data: CalibrationData) -> "nncf.Dataset":
    import nncf

    from ..data.samples import draw, read_samples

    samples = draw(read_samples(data.sources, data.columns), data.max_samples, data.seed)
    return nncf.Dataset(encoder_inputs(model.model, directory, task, samples, data.max_length))


def encoder_inputs(
    model: "ov.Model", directory: Path, task: str, samples: "Samples", max_length: int
) -> list[dict[str, Any]]:
    """
    Inputs of an encoder, one sample at a time, so that there is no padding.

    Args:
        model (`openvino.Model`): model with these inputs.
        directory (`Path`): directory of the model.
        task (`str`): task of the model.
        samples ([`~data.samples.Samples`]): samples to convert.
        max_length (`int`): maximum number of tokens in a text.

    Returns:
        `list[dict[str, np.ndarray]]`: arrays `[1, ...]` by name.
    """
    from ..data.inputs import load_inputs, with_defaults

    make, _ = load_inputs(directory, task)
    names = {name for value in model.inputs for name in value.get_names()}
    feeds = (with_defaults(make(samples.select([index]), max_length)) for index in range(len(samples)))
    return [{name: value for name, value in feed.items() if name in names} for feed in feeds]


Maker = Callable[["OVBaseModel", Path, str, CalibrationData], "nncf.Dataset"]
DATASETS: dict[str, Maker] = {DECODER_TASK: _texts, **dict.fromkeys(ENCODER_TASKS, _samples)}
