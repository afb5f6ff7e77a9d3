"""Risks: the loss of leaving at an exit. A risk is one function and one line in the registry."""

import importlib
from collections.abc import Callable

import numpy as np

from ..directory.errors import CalibrationError
from ..utils.intervals import mean_interval, proportion_interval


# (predictions int64 [samples, exits + 1] with the full model as the last column, labels int64 [samples] or None) ->
# losses float [samples, exits + 1] in [0, 1]
Risk = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


def token_disagreement(predictions: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """1 where the prediction, a token or a class, differs from the full model's."""
    return (predictions != predictions[:, -1:]).astype(np.float64)


def accuracy(predictions: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """1 where the full model is right and leaving would be wrong. The accuracy loss is at most this risk: cases that
    the full model gets wrong and an exit gets right do not reduce it."""
    if labels is None:
        raise CalibrationError(
            "the risk 'accuracy' needs labels, but the data has none: name their column (--label-column,"
            " `Columns(label=...)`), or use the risk 'disagreement'"
        )
    right = predictions == labels[:, None]
    return (right[:, -1:] & ~right).astype(np.float64)


# "disagreement" is the name for classifiers, whose answers are not tokens.
RISKS: dict[str, Risk] = {
    "token_disagreement": token_disagreement,
    "disagreement": token_disagreement,
    "accuracy": accuracy,
}


def find_risk(risk: str | Risk) -> tuple[str, Risk]:
    """
    Finds a risk by its name.

    Args:
        risk (`str` or `Callable`):
            A name in [`RISKS`]; `"package.module:function"`; or the function itself, with the signature of [`Risk`].

    Returns:
        `tuple`: its name and the function.

    Raises:
        [`~directory.errors.CalibrationError`]: if no risk has this name.
    """
    if callable(risk):
        return getattr(risk, "__qualname__", type(risk).__name__), risk
    if risk in RISKS:
        return risk, RISKS[risk]
    module, _, function = risk.partition(":")
    if not function:
        raise CalibrationError(f"`risk` must be one of {list(RISKS)} or package.module:function, but it is {risk!r}")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise CalibrationError(f"`risk` {risk!r} cannot be imported: {error}") from error
    return risk, found


def losses_of(risk: Risk, predictions: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """
    Calls a risk and checks the losses.

    Returns:
        `np.ndarray` float64 `[samples, exits + 1]`.

    Raises:
        [`~directory.errors.CalibrationError`]: if the losses have another shape, or one is not in [0, 1].
    """
    losses = np.asarray(risk(predictions, labels), np.float64)
    if losses.shape != predictions.shape:
        raise CalibrationError(
            f"the risk must return losses of the shape {predictions.shape}, but their shape is {losses.shape}"
        )
    if not ((losses >= 0.0) & (losses <= 1.0)).all():
        raise CalibrationError("the risk must return numbers from 0 to 1, but some losses are not")
    return losses


def risk_interval(losses: np.ndarray) -> list[float] | None:
    """
    The 95% interval of a measured risk.

    Args:
        losses (`np.ndarray` float64 `[texts]`): mean loss of each text.
    """
    if np.isin(losses, (0.0, 1.0)).all():
        return list(proportion_interval(int(losses.sum()), len(losses)))
    interval = mean_interval(losses)
    return None if interval is None else [max(interval.low, 0.0), min(interval.high, 1.0)]


def check_risk(risk: Risk, labels: np.ndarray | None, exits: int) -> None:
    """
    Calls a risk on made-up answers, so that one that cannot be computed is found before a model runs for hours.

    Args:
        risk (`Callable`): with the signature of [`Risk`].
        labels (`np.ndarray` int64 `[samples]`, *optional*): of the data.
        exits (`int`): number of the exits.

    Raises:
        [`~directory.errors.CalibrationError`]: if it needs labels that there are not, or gives no losses.
    """
    few = None if labels is None else labels[:2]
    losses_of(risk, np.zeros((2 if few is None else len(few), exits + 1), np.int64), few)
