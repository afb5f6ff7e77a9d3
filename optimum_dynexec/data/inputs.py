"""Makes a model's inputs from samples, by task. A task is a function and a line in the registry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .samples import Samples


if TYPE_CHECKING:
    from PIL import Image
    from transformers.image_processing_utils import BaseImageProcessor


# The output of a feature extractor for audio.
SOUND_TYPES: dict[str, type] = {"input_values": np.float32, "attention_mask": np.int64}
# (samples, longest text in tokens) -> inputs by name, whose first dimension is the number of samples
Inputs = Callable[[Samples, int], dict[str, np.ndarray]]


def load_inputs(directory: str | Path, task: str) -> tuple[Inputs, Any]:
    """
    Finds the function that makes a model's inputs.

    Args:
        directory (`str` or `Path`): directory of the model, with its tokenizer or image processor.
        task (`str`): name of the task, a key of [`INPUTS`].

    Returns:
        `tuple`: the function, and the tokenizer or processor that it uses.

    Raises:
        `ValueError`: if the task is not one of these.
    """
    if task not in INPUTS:
        raise ValueError(
            f"heads can be trained and calibrated for the tasks {sorted(INPUTS)}, but the task is {task!r}"
        )
    return INPUTS[task](directory)


def _texts(directory: str | Path) -> tuple[Inputs, Any]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)

    def make(samples: Samples, max_length: int) -> dict[str, np.ndarray]:
        texts = [_text(value) for value in samples.inputs]
        pairs = None if samples.pairs is None else list(samples.pairs)
        longest = min(max_length, tokenizer.model_max_length)
        encoded = tokenizer(texts, pairs, truncation=True, max_length=longest, padding=True, return_tensors="np")
        return {name: np.asarray(values, np.int64) for name, values in encoded.items()}

    return make, tokenizer


def as_image(value: object) -> "Image.Image":
    """
    Converts an input of an image model to an image.

    Args:
        value (`str`, `Path`, `np.ndarray` or `PIL.Image.Image`): the image, its pixels or its file.

    Returns:
        `PIL.Image.Image`: the image in RGB.

    Raises:
        `ValueError`: if this is not an image, or its file cannot be opened. The message names the file.
    """
    from PIL import Image

    if isinstance(value, str | Path):
        try:
            with Image.open(value) as opened:
                return opened.convert("RGB")
        except OSError as error:
            raise ValueError(
                f"the model takes images, but {str(value)[:200]!r} in the data is not an image file that can be opened"
                f" ({type(error).__name__})"
            ) from error
    if isinstance(value, np.ndarray):
        value = Image.fromarray(value)
    if not isinstance(value, Image.Image):
        raise ValueError(f"the model takes images, but the data contains {type(value).__name__}")
    return value.convert("RGB")


def _images(directory: str | Path) -> tuple[Inputs, Any]:
    processor = _image_processor(directory)

    def make(samples: Samples, max_length: int) -> dict[str, np.ndarray]:
        found = processor([as_image(value) for value in samples.inputs], return_tensors="np")
        return {"pixel_values": np.asarray(found["pixel_values"], np.float32)}

    return make, processor


def _sounds(directory: str | Path) -> tuple[Inputs, Any]:
    from transformers import AutoFeatureExtractor

    extractor = AutoFeatureExtractor.from_pretrained(directory)

    def make(samples: Samples, max_length: int) -> dict[str, np.ndarray]:
        sounds = [_sound(value) for value in samples.inputs]
        found = extractor(sounds, sampling_rate=extractor.sampling_rate, padding=True, return_tensors="np")
        return {name: np.asarray(found[name], kind) for name, kind in SOUND_TYPES.items() if name in found}

    return make, extractor


def _sound(value: object) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise ValueError(f"the model takes audio, but the data contains {type(value).__name__}")
    return np.asarray(value, np.float32)


def _image_processor(directory: str | Path) -> "BaseImageProcessor":
    """
    Loads the processor for PIL. transformers' `AutoImageProcessor` requires torchvision, which that one does not.
    """
    import transformers
    from transformers.utils import cached_file, is_torchvision_available

    if is_torchvision_available():
        return transformers.AutoImageProcessor.from_pretrained(directory)
    path = cached_file(str(directory), "preprocessor_config.json")
    kind = json.loads(Path(str(path)).read_text(encoding="utf-8")).get("image_processor_type") or ""
    name = kind.removesuffix("Fast").removesuffix("Pil") + "Pil"
    if not hasattr(transformers, name):
        raise ValueError(f"the image processor {kind!r} of {directory} needs torchvision: pip install torchvision")
    return getattr(transformers, name).from_pretrained(directory)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"the model takes texts, but the data contains {type(value).__name__}")
    return value


INPUTS: dict[str, Callable[[str | Path], tuple[Inputs, Any]]] = {
    "text-classification": _texts,
    "token-classification": _texts,
    "question-answering": _texts,
    "feature-extraction": _texts,
    "image-classification": _images,
    "audio-classification": _sounds,
}


def with_defaults(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inputs of text models that a tokenizer may leave out, with the values that transformers gives them."""
    ids = feed.get("input_ids")
    if ids is None:
        return feed
    return {"attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids), **feed}
