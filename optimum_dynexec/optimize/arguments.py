"""The arguments of an optimization."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import OptimizeError
from .recipes import RECIPES


if TYPE_CHECKING:
    from ..data.samples import Columns


@dataclass(frozen=True)
class OptimizeArguments:
    """
    Goal, limits and data of an optimization.

    Args:
        recipe (`str`, *optional*, defaults to `"latency"`): recipe, one of [`~optimize.recipes.RECIPES`].
        max_loss (`float`, *optional*, defaults to 0.01):
            Largest loss of quality over all steps, relative to the model in float32. Decoders: the share of tokens for
            which the model would continue differently, given the same text. Classifiers: accuracy, or without labels
            the share of answers that differ.
        task (`str`, *optional*, defaults to `"auto"`): task of the model.
        fine_tune (`bool`, *optional*, defaults to `False`):
            Whether to first train a classifier on the labels of the data. An encoder without a classifier gets one.
        fine_tune_epochs (`float`, *optional*):
            number of passes over the data for `fine_tune`. If not set: as in `joint`.
        accuracy_check (`bool`, *optional*, defaults to `True`):
            Whether to refuse a classifier that is not shown to be more accurate than the most frequent label.
        formats (`tuple[str, ...]`, *optional*): quantizations to try. If not set: those of the recipe. `()`: none.
        heads (`str` or `Path`, *optional*): trained heads to use, instead of training heads.
        train (`bool`, *optional*, defaults to `True`): whether to train heads, if the recipe has any.
        layers (`list[int]`, *optional*):
            layers to train exit heads for. If not set: none for a decoder, all for a classifier.
        epochs (`float`, *optional*): number of epochs of the heads' training. If not set: as in `train-heads`.
        vocab_size (`int`, *optional*, defaults to 8192): number of tokens that a decoder's heads can predict.
        max_samples (`int`, *optional*): maximum number of inputs, which are drawn at random.
        max_new_tokens (`int`, *optional*, defaults to 128): maximum number of tokens in a decoder's answer.
        quantization_samples (`int`, *optional*, defaults to 64): number of samples for data-aware quantization.
        max_length (`int`, *optional*, defaults to 128): maximum number of tokens in a classifier's text.
        delta (`float`, *optional*, defaults to 0.1): probability that a calibrated risk is above its limit.
        tuning_time (`float`, *optional*, defaults to 600): time for the measurements of tuning, in seconds.
        benchmark_samples (`int`, *optional*):
            Number of inputs for the report; with 0, there is no benchmark and no report. If not set: 20 prompts for a
            decoder, whose loss is measured on the tokens of all inputs; for a classifier, the number of samples that
            shows that a loss is within `max_loss`, if there are enough.
        columns ([`~data.samples.Columns`], *optional*): columns of a row of a classifier's data.
        seed (`int`, *optional*, defaults to 0): random seed.

    Raises:
        [`OptimizeError`]: if a value is not accepted.
    """

    recipe: str = "latency"
    max_loss: float = 0.01
    task: str = "auto"
    fine_tune: bool = False
    fine_tune_epochs: float | None = None
    accuracy_check: bool = True
    formats: tuple[str, ...] | None = None
    heads: str | Path | None = None
    train: bool = True
    layers: list[int] | None = None
    epochs: float | None = None
    vocab_size: int = 8192
    max_samples: int | None = None
    max_new_tokens: int = 128
    quantization_samples: int = 64
    max_length: int = 128
    delta: float = 0.1
    tuning_time: float = 600.0
    benchmark_samples: int | None = None
    columns: "Columns | None" = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise OptimizeError(f"`recipe` must be one of {list(RECIPES)}, but it is {self.recipe!r}")
        for name in ("max_loss", "delta"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise OptimizeError(f"`{name}` must be between 0 and 1, but it is {getattr(self, name)!r}")
        for name in (
            "fine_tune_epochs",
            "max_samples",
            "max_new_tokens",
            "quantization_samples",
            "max_length",
            "tuning_time",
        ):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise OptimizeError(f"`{name}` must be positive, but it is {value!r}")
        if self.benchmark_samples is not None and self.benchmark_samples < 0:
            raise OptimizeError(f"`benchmark_samples` must be 0 or more, but it is {self.benchmark_samples!r}")
        if self.heads is not None and not os.path.exists(self.heads):
            raise OptimizeError(f"`heads` must be a file or directory of heads, but {self.heads} does not exist")
