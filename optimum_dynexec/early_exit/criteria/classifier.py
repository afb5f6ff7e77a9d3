"""A learned combination of the other criteria."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...utils.logistic_regression import fit_logistic_regression, sigmoid
from ..statistics import ExitStatistics
from .base import Criterion, near_one
from .patience import run_lengths


FORMAT_VERSION = 1
FEATURES = ("max_prob", "margin", "entropy", "log_entropy", "patience", "log_position")
# Below this entropy, the logarithm carries no information.
SMALLEST_ENTROPY = 1e-6


class ClassifierCriterion(Criterion):
    """
    Leaves if a logistic regression predicts, with at least the threshold as probability, that leaving here is right.

    The features of an exit are, in this order: `max_prob`; `margin`; `entropy`; the logarithm of the entropy, at least
    1e-6; the number of exits directly before with the same prediction; log(1 + position). The score is
    `1 / (1 + exp(-(weights[exit] @ features + bias[exit])))`, in float64.

    CALM learns such a classifier on hidden states (arXiv 2207.07061), BERxiT learns to exit (Xin et al.
    2021); here it uses the inputs of the cheap criteria, which cost nothing to compute.

    Args:
        layers (`Sequence[int]`): the exit layers.
        weights (`np.ndarray` float64 `[exits, 6]`): weights of the features.
        bias (`np.ndarray` float64 `[exits]`): bias that is added to the weighted features.

    Raises:
        `ValueError`: if the shapes do not fit, or a number is not finite.
    """

    name = "classifier"
    accepted = "a number from 0 to 1"
    file_name = "exit_classifier.safetensors"

    def __init__(self, layers: Sequence[int], weights: np.ndarray, bias: np.ndarray):
        self.layers = tuple(int(layer) for layer in layers)
        self.weights = np.asarray(weights, np.float64)
        self.bias = np.asarray(bias, np.float64)
        expected = (len(self.layers), len(FEATURES))
        if self.weights.shape != expected or self.bias.shape != expected[:1]:
            raise ValueError(
                f"a classifier of {expected[0]} exits must have weights {expected} and bias {expected[:1]}, but they"
                " are"
                f" {self.weights.shape} and {self.bias.shape}"
            )
        if not (np.isfinite(self.weights).all() and np.isfinite(self.bias).all()):
            raise ValueError("the weights of a classifier must be finite numbers")

    def check_layers(self, layers: Sequence[int]) -> None:
        """
        Checks that a model has exits after the layers that the weights were learned for.

        Raises:
            `ValueError`: if the model has other exits.
        """
        if list(self.layers) != list(layers):
            raise ValueError(
                f"the criterion 'classifier' was trained for exits after layers {list(self.layers)}, but the model"
                f" has them after {list(layers)}: train it again with `optimum-cli dynexec calibrate --criterion"
                " classifier`"
            )

    @classmethod
    def accepts(cls, threshold: float) -> bool:
        return 0.0 <= threshold <= 1.0

    def scores(self, statistics: ExitStatistics) -> np.ndarray:
        if statistics.shape[1] != len(self.layers):
            raise ValueError(
                f"the classifier is for the {len(self.layers)} exits after layers {list(self.layers)}, but the"
                " statistics have"
                f" {statistics.shape[1]}"
            )
        return sigmoid(np.einsum("nef,ef->ne", features(statistics), self.weights) + self.bias)

    def grid(self, num_exits: int) -> np.ndarray:
        return near_one()

    @classmethod
    def fit(cls, layers: Sequence[int], statistics: ExitStatistics, right: np.ndarray) -> "ClassifierCriterion":
        """
        Fits one logistic regression per exit with Newton's method.

        The data must not contain data for the calibration of thresholds, because the guarantee would be lost.

        Args:
            layers (`Sequence[int]`): the exit layers.
            statistics ([`~early_exit.ExitStatistics`] `[samples, exits]`): statistics of the exit heads.
            right (`np.ndarray` bool or float `[samples, exits]`): how correct the output of each exit is, from 0 to 1.

        Raises:
            `ValueError`: if an exit has a distribution for no sample.
        """
        inputs = features(statistics)
        fitted = [
            fit_logistic_regression(inputs[:, index], np.asarray(right)[:, index]) for index in range(len(layers))
        ]
        return cls(layers, np.stack([weights for weights, _ in fitted]), np.array([bias for _, bias in fitted]))

    def learned(self) -> tuple[list[list[float]], list[float]]:
        return self.weights.tolist(), self.bias.tolist()

    def content(self) -> bytes:
        text = json.dumps({"format_version": FORMAT_VERSION, "layers": self.layers, "features": FEATURES})
        return save({"weights": self.weights, "bias": self.bias}, metadata={"config": text})

    @classmethod
    def load(cls, directory: str | Path | None) -> "ClassifierCriterion":
        """
        Reads the weights of `exit_classifier.safetensors`.

        Raises:
            `ValueError`: if the file does not exist or is not valid. The message says what to do.
        """
        if directory is None or not (Path(directory) / cls.file_name).is_file():
            where = "" if directory is None else f", which {directory} lacks"
            raise ValueError(
                f"the criterion 'classifier' needs learned weights, {cls.file_name}{where}: train them with"
                " `optimum-cli dynexec calibrate --criterion classifier`"
            )
        path = Path(directory) / cls.file_name
        stat = path.stat()
        return _read(path.resolve(), stat.st_mtime_ns, stat.st_size, stat.st_ino)

    @classmethod
    def _read(cls, path: Path) -> "ClassifierCriterion":
        try:
            with safe_open(str(path), framework="np") as file:
                config: Any = json.loads((file.metadata() or {})["config"])
                if config["format_version"] != FORMAT_VERSION or tuple(config["features"]) != FEATURES:
                    raise ValueError("it was written by another version of optimum-dynexec")
                return cls(config["layers"], file.get_tensor("weights"), file.get_tensor("bias"))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not an exit classifier: {error}") from error


@lru_cache(maxsize=8)
def _read(path: Path, *version: int) -> ClassifierCriterion:
    """Caches the file, which each call would read again. The key contains the `version` of the file."""
    return ClassifierCriterion._read(path)


def features(statistics: ExitStatistics) -> np.ndarray:
    """The features of the classifier, float64 `[samples, exits, 6]`."""
    assert statistics.position is not None
    columns = [
        statistics.max_prob,
        statistics.margin,
        statistics.entropy,
        np.log(np.maximum(statistics.entropy, SMALLEST_ENTROPY)),
        run_lengths(statistics.prediction),
        np.broadcast_to(np.log1p(statistics.position)[:, None], statistics.shape),
    ]
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=-1)
