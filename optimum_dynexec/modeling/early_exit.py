"""From the argument `early_exit` to the parameters of the engines."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ..directory.calibrated_exit import resolve_early_exit
from ..directory.errors import StaleCalibrationError
from ..early_exit.config import EarlyExitConfig
from ..early_exit.criteria import criterion_class, load_criterion
from ..native import _C
from ..runtime import Engine


# The parameters that the engines of decoders and of encoders take.
Params = TypeVar("Params", _C.EarlyExitParams, _C.EncoderParams)
# The value of `early_exit` that stands for the calibrated thresholds.
CALIBRATED = "calibrated"


def check_early_exit(early_exit: object, *words: str) -> None:
    """
    Checks the type of the argument `early_exit`.

    Args:
        early_exit: argument as the caller gave it.
        words (`str`): strings that are accepted, such as `"calibrated"`.

    Raises:
        `TypeError`: if it is neither an [`~early_exit.EarlyExitConfig`], nor a word, nor `None`.
        `ValueError`: if it is another word.
    """
    if early_exit is None or isinstance(early_exit, EarlyExitConfig):
        return
    if not isinstance(early_exit, str) or early_exit not in words:
        kind = ValueError if isinstance(early_exit, str) else TypeError
        raise kind(
            f"`early_exit` must be an EarlyExitConfig, such as EarlyExitConfig(threshold=0.9),"
            f" {', '.join(map(repr, words))} or None, got {early_exit!r}"
        )


class CalibratedOnce:
    """
    Mixin that keeps the parameters of `early_exit="calibrated"`: making them reads the whole model from the disk.
    """

    # Whether the model was loaded with other heads than those in its directory.
    _other_heads: bool = False
    _calibrated: tuple[Engine | None, Any] | None = None

    def _once_if_calibrated(
        self, early_exit: EarlyExitConfig | str, make: Callable[[], Params], engine: Engine | None = None
    ) -> Params:
        """
        Args:
            early_exit ([`~early_exit.EarlyExitConfig`] or `str`): early exit of a call.
            make (`Callable`): function that makes the engine's parameters.
            engine (*optional*): engine that the parameters belong to. For another engine they are made again.

        Raises:
            [`~directory.errors.StaleCalibrationError`]: if `early_exit` is `"calibrated"` and the model was loaded
                with other heads than the calibrated ones.
            All errors of `make`.
        """
        if early_exit != CALIBRATED:
            return make()
        if self._calibrated is None or self._calibrated[0] is not engine:
            if self._other_heads:
                raise StaleCalibrationError(
                    "the model was loaded with other heads than those in its directory, which were calibrated"
                )
            self._calibrated = engine, make()
        return self._calibrated[1]


def early_exit_params(
    early_exit: EarlyExitConfig | str, engine: Engine, directory: str | Path | None, precision: str | None = None
) -> _C.EarlyExitParams:
    """
    Makes the parameters of the decode loop.

    Args:
        early_exit ([`~early_exit.EarlyExitConfig`] or `str`):
            Criterion and thresholds, or `"calibrated"`.
        engine ([`~runtime.Engine`]):
            Engine with the exit heads.
        directory (`str` or `Path`, *optional*):
            Directory of the model, with its calibration and the learned weights of criteria.
        precision (`str`, *optional*):
            Precision that the model computes in, see [`resolve_early_exit`].

    Returns:
        `_C.EarlyExitParams`.

    Raises:
        The errors of [`fill_params`].
        `ValueError`: if the criterion is not for tokens, or there is a deadline.
    """
    layers = list(engine.exit_heads)
    early_exit = resolve_early_exit(early_exit, directory, precision)
    if criterion_class(early_exit.criterion).needs_certainty:
        raise ValueError(
            f"the criterion {early_exit.criterion!r} is for encoders: the exit heads of a decoder predict no certainty"
        )
    if early_exit.deadline_ms is not None:
        raise ValueError("`deadline_ms` is for encoders: leave it out for a decoder")
    params = fill_params(_C.EarlyExitParams(), early_exit, layers, directory)
    params.exits = [engine.exit(layer) for layer in layers]
    params.prefill = early_exit.prefill
    params.copy_kv = early_exit.kv == "copy"
    return params


def encoder_exit_params(
    early_exit: EarlyExitConfig | str,
    layers: Sequence[int],
    directory: str | Path | None,
    *,
    embeddings: bool,
    precision: str | None = None,
) -> _C.EncoderParams:
    """
    Makes the parameters of an encoder's run.

    Args:
        early_exit ([`~early_exit.EarlyExitConfig`] or `str`): criterion and thresholds, or `"calibrated"`.
        layers (`Sequence[int]`): exit layers, ascending.
        directory (`str` or `Path`, *optional*): directory of the model.
        embeddings (`bool`): whether the model gives embeddings rather than distributions over labels.
        precision (`str`, *optional*): precision that the model computes in, see [`resolve_early_exit`].

    Returns:
        `_C.EncoderParams`.

    Raises:
        The errors of [`fill_params`].
        `ValueError`: if the criterion does not apply to the outputs of the model.
    """
    early_exit = resolve_early_exit(early_exit, directory, precision)
    asked = early_exit.threshold is not None or early_exit.thresholds is not None
    if asked and criterion_class(early_exit.criterion).for_embeddings != embeddings:
        needed = "'settled'" if embeddings else "another one"
        raise ValueError(f"the criterion {early_exit.criterion!r} cannot be used with this model: use {needed}")
    params = fill_params(_C.EncoderParams(), early_exit, layers, directory)
    if early_exit.deadline_ms is not None:
        params.deadline_seconds = early_exit.deadline_ms / 1000
    return params


def no_exits() -> _C.EncoderParams:
    """The parameters of a run on a model without exits."""
    whole = _C.EncoderParams()
    whole.criterion = "max_prob"
    return whole


def fill_params(
    params: Params, early_exit: EarlyExitConfig, layers: Sequence[int], directory: str | Path | None
) -> Params:
    """
    Fills in criterion, thresholds and weights.

    Args:
        params (`_C.EarlyExitParams` or `_C.EncoderParams`): parameters to fill in.
        early_exit ([`~early_exit.EarlyExitConfig`]): criterion and thresholds.
        layers (`Sequence[int]`): exit layers, ascending.
        directory (`str` or `Path`, *optional*): directory of the model, with the learned weights of criteria.

    Returns:
        `params`.

    Raises:
        `ValueError`: if the model has no exit heads, a threshold is for a layer without an exit head, or the learned
            weights of the criterion are missing or for other exits.
    """
    layers = list(layers)
    params.thresholds = early_exit.thresholds_for(layers)
    params.criterion = early_exit.criterion
    criterion = load_criterion(early_exit.criterion, directory)
    criterion.check_layers(layers)
    params.weights, params.bias = criterion.learned()
    return params
