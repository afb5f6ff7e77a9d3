"""What a model is shown while it is quantized. A kind of model is a function and a line in the registry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..directory.config import DECODER_TASK, ENCODER_TASKS
from .errors import QuantizationError
from .own_texts import SELF, own_texts


if TYPE_CHECKING:
    import nncf

    from ..data.samples import Columns

# As many as optimum-intel's quantizer takes if nothing is said.
DEFAULT_SAMPLES = 128


@dataclass(frozen=True)
class CalibrationData:
    """
    Calibration data of a model that is quantized.

    Args:
        sources (`Sequence[str or Path]`):
            Of a decoder, prompts or texts as [`~data.texts.read_texts`] takes them, or `"self"`: what the model writes
            by itself, alone. Of an encoder or vision model, as [`~data.samples.read_samples`] takes it. Of a
            diffusion pipeline, prompts.
        continuations (`str`, *optional*, defaults to `"text"`):
            Of decoders. `"text"`: the texts as they stand. `"own"`: they are prompts, and the model is shown them with
            its own answers.
        columns ([`~data.samples.Columns`], *optional*): where in a row things stand; not of decoders.
        max_samples (`int`, *optional*, defaults to 128): samples to use at most, drawn from all.
        max_length (`int`, *optional*, defaults to 128): of texts, in tokens; what is longer is cut off. Of what the
            model writes itself, without what it was given.
        seed (`int`, *optional*, defaults to 0): of what is drawn.

    Raises:
        [`QuantizationError`]: if a value is not acceptable.
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
                f"{SELF!r} in `sources` stands alone, but {others} are beside it: leave out the one or the others"
            )
        if self.continuations not in ("own", "text"):
            raise QuantizationError(f"`continuations` must be 'own' or 'text', but it is {self.continuations!r}")
        for name in ("max_samples", "max_length"):
            if getattr(self, name) < 1:
                raise QuantizationError(f"`{name}` must be at least 1, but it is {getattr(self, name)!r}")


def calibration_dataset(model: Any, directory: Path, task: str, data: CalibrationData) -> "nncf.Dataset":
    """
    Makes what NNCF runs the model on.

    Args:
        model (`OVBaseModel`): as [`~quantization.models.load_model`] gives it.
        directory (`Path`): of the model, with its tokenizer or processor.
        task (`str`): of the model.
        data ([`CalibrationData`]): what to show.

    Returns:
        `nncf.Dataset`: of the model's inputs by name, one sample each.

    Raises:
        `ValueError`: if the data cannot be read, or does not fit the model.
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


def _texts(model: Any, directory: Path, task: str, data: CalibrationData) -> "nncf.Dataset":
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
        raise QuantizationError(f"{[str(source) for source in data.sources]} give no text to calibrate on")
    return lists


def _samples(model: Any, directory: Path, task: str, data: CalibrationData) -> "nncf.Dataset":
    import nncf

    from ..data.samples import draw, read_samples

    samples = draw(read_samples(data.sources, data.columns), data.max_samples, data.seed)
    return nncf.Dataset(encoder_inputs(model.model, directory, task, samples, data.max_length))


def encoder_inputs(model: Any, directory: Path, task: str, samples: Any, max_length: int) -> list[dict[str, Any]]:
    """
    Inputs of an encoder, one sample at a time, so that there is no padding.

    Args:
        model (`openvino.Model`): that takes them.
        directory (`Path`): of the model.
        task (`str`): of the model.
        samples ([`~data.samples.Samples`]): what to make them of.
        max_length (`int`): of texts, in tokens.

    Returns:
        `list[dict[str, np.ndarray]]`: arrays `[1, ...]` by name.
    """
    from ..data.inputs import load_inputs, with_defaults

    make, _ = load_inputs(directory, task)
    names = {name for value in model.inputs for name in value.get_names()}
    feeds = (with_defaults(make(samples.select([index]), max_length)) for index in range(len(samples)))
    return [{name: value for name, value in feed.items() if name in names} for feed in feeds]


Maker = Callable[[Any, Path, str, CalibrationData], "nncf.Dataset"]
DATASETS: dict[str, Maker] = {DECODER_TASK: _texts, **dict.fromkeys(ENCODER_TASKS, _samples)}
