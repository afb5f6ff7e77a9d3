"""Full quantization that keeps layers in floating point until the accuracy loss is within a limit."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov

from ..directory.config import CLASSIFIER_TASKS
from ..utils.losses import accuracy_loss
from .configs import OVQuantizationConfig
from .errors import QuantizationError


if TYPE_CHECKING:
    import nncf

    from ..data.samples import Columns, Samples


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AccuracyControl:
    """
    The limit of the accuracy loss of a full quantization.

    Args:
        max_drop (`float`): largest accuracy loss on `sources`, absolute, between 0 and 1.
        sources (`Sequence[str or Path]`):
            Samples, as accepted by [`~data.samples.read_samples`]. Without labels, the predictions of the full model
            count as correct.
        columns ([`~data.samples.Columns`], *optional*): columns of a row.
        max_samples (`int`, *optional*): maximum number of samples, which are drawn at random.
        max_length (`int`, *optional*, defaults to 128): maximum number of tokens in a text.
        seed (`int`, *optional*, defaults to 0): random seed of the draw.

    Raises:
        [`QuantizationError`]: if a value is not accepted.
    """

    max_drop: float
    sources: Sequence[str | Path]
    columns: "Columns | None" = None
    max_samples: int | None = None
    max_length: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.max_drop < 1.0:
            raise QuantizationError(f"`max_drop` must be between 0 and 1, but it is {self.max_drop!r}")
        if isinstance(self.sources, str | Path) or not self.sources:
            raise QuantizationError("accuracy control needs validation samples: give `sources`")


def quantize_with_accuracy_control(
    model: ov.Model,
    directory: Path,
    task: str,
    config: OVQuantizationConfig,
    dataset: "nncf.Dataset",
    control: AccuracyControl,
) -> ov.Model:
    """
    Quantizes weights and activations, and restores layers to floating point, those with the largest loss first, until
    the accuracy is within the limit (`nncf.quantize_with_accuracy_control`).

    Args:
        model (`openvino.Model`): classifier, which is not changed.
        directory (`Path`): directory of the model.
        task (`str`): task of the model.
        config (`OVQuantizationConfig`): configuration of the quantization.
        dataset (`nncf.Dataset`): calibration data.
        control ([`AccuracyControl`]): the limit and its validation samples.

    Raises:
        [`QuantizationError`]: if the configuration has options that NNCF's accuracy
            control does not support, or the limit cannot be kept.
    """
    import nncf

    from .data import encoder_inputs

    if not isinstance(config, OVQuantizationConfig):
        raise QuantizationError("accuracy control is for full quantization: give an OVQuantizationConfig")
    options = config.to_nncf_dict()
    if options.pop("mode", None) is not None:
        raise QuantizationError(f"accuracy control is for int8, but the configuration asks for {config.dtype}")
    samples, labels = _validation(directory, control)
    feeds = encoder_inputs(model, directory, task, samples, control.max_length)
    original = said(ov.Core().compile_model(model, "CPU"), feeds)
    if labels is None:
        labels = original
    items = list(zip(feeds, labels.tolist(), strict=True))

    def validate(candidate: ov.CompiledModel, rows: Iterable[Any]) -> tuple[float, list[float]]:
        answers = [(said(candidate, [feed])[0], label) for feed, label in rows]
        right = [float(answer == label) for answer, label in answers]
        return float(np.mean(right)), right

    quantized = nncf.quantize_with_accuracy_control(
        model,
        dataset,
        nncf.Dataset(items, lambda item: item[0]),
        validate,
        max_drop=control.max_drop,
        advanced_quantization_parameters=options.pop("advanced_parameters"),
        **options,
    )
    # If NNCF does not reach the limit, it logs this and returns its last model.
    right = said(ov.Core().compile_model(quantized, "CPU"), feeds) == labels
    loss = accuracy_loss(original == labels, right)
    if loss.value > control.max_drop:
        raise QuantizationError(
            f"the quantized model has an accuracy of {right.mean():.4g}, {loss.value:.4g} less than before. This is"
            f" more than the allowed {control.max_drop:g}, even with layers restored to floating point: quantize only"
            " the weights (--weight-format), or calibrate on more data"
        )
    # NNCF judges by the measured loss alone.
    judgement = "" if loss.within(control.max_drop) else f"; {loss.undecided(control.max_drop)}"
    logger.warning(
        f"Accuracy loss by quantization: {loss.value:.2%} ({loss.text()}), limit {control.max_drop:.2%}{judgement}"
    )
    return quantized


def check_control(directory: Path, task: str, control: AccuracyControl) -> None:
    """
    Checks that accuracy can be controlled, before a model is loaded.

    Args:
        directory (`Path`): of the model.
        task (`str`): of the model.
        control ([`AccuracyControl`]): the limit, and what it is measured on.

    Raises:
        [`QuantizationError`]: if the model is no classifier.
        `ValueError`: if the samples cannot be read, or have labels that the model does not know.
    """
    if task not in CLASSIFIER_TASKS:
        raise QuantizationError(
            f"accuracy control is for the tasks {list(CLASSIFIER_TASKS)}, but the task is {task!r}"
        )
    _validation(directory, control)


def said(model: ov.CompiledModel, feeds: Sequence[dict[str, np.ndarray]]) -> np.ndarray:
    """
    The predictions of a compiled classifier.

    Args:
        model (`openvino.CompiledModel`): classifier with the output `logits`.
        feeds (`Sequence[dict[str, np.ndarray]]`): inputs by name.

    Returns:
        `np.ndarray` int64 `[samples]`: the most probable label of each sample.
    """
    return np.concatenate([np.asarray(model(feed)["logits"]).argmax(-1) for feed in feeds]).astype(np.int64)


def _validation(directory: Path, control: AccuracyControl) -> "tuple[Samples, np.ndarray | None]":
    from transformers import AutoConfig

    from ..data.samples import draw, read_samples

    samples = draw(
        read_samples(control.sources, control.columns, split="validation"), control.max_samples, control.seed
    )
    return samples, samples.label_ids(AutoConfig.from_pretrained(directory).label2id)
