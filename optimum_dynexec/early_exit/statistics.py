"""The statistics that criteria use: a few numbers about the distribution of an exit head."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np


NO_PREDICTION = -1


@dataclass(frozen=True)
class ExitStatistics:
    """
    Statistics of `samples` inputs (tokens, or samples of a classifier) at `exits` exits, in order of depth.

    A row of logits that contains NaN or +inf, or only -inf, has no distribution: its prediction is -1, the rest is
    NaN. NaN passes no threshold, so no input leaves there.

    Args:
        prediction (`np.ndarray` int64 `[samples, exits]`):
            Most probable token or class; in a tie, the lowest index.
        max_prob (`np.ndarray` float32 or float64 `[samples, exits]`):
            Probability of the prediction.
        margin (`np.ndarray` float32 or float64 `[samples, exits]`):
            `max_prob` minus the second largest probability.
        entropy (`np.ndarray` float32 or float64 `[samples, exits]`):
            Entropy of the distribution, in nats.
        position (`np.ndarray` int64 `[samples]`, *optional*, defaults to zeros):
            Position of a token in its sequence, from 0.
        certainty (`np.ndarray` float32 or float64 `[samples, exits]`, *optional*):
            Certainty that the exit heads predict for their answers, for the criteria `learned` and `settled`.

    Raises:
        `ValueError`: if the shapes do not match.
    """

    prediction: np.ndarray
    max_prob: np.ndarray
    margin: np.ndarray
    entropy: np.ndarray
    position: np.ndarray | None = None
    certainty: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.prediction.ndim != 2:
            raise ValueError(f"`prediction` must have the shape (samples, exits), but it has {self.prediction.shape}")
        if self.position is None:
            object.__setattr__(self, "position", np.zeros(len(self.prediction), np.int64))
        for field in fields(self):
            if field.name == "certainty" and self.certainty is None:
                continue
            shape = self.prediction.shape[:1] if field.name == "position" else self.prediction.shape
            if getattr(self, field.name).shape != shape:
                raise ValueError(
                    f"`{field.name}` must have the shape {shape}, but it has {getattr(self, field.name).shape}"
                )

    @property
    def shape(self) -> tuple[int, int]:
        """Number of samples, number of exits."""
        return self.prediction.shape[0], self.prediction.shape[1]

    def __getitem__(self, samples: np.ndarray) -> "ExitStatistics":
        """The statistics of some samples: `samples` is an array of indices or a mask."""
        return ExitStatistics(**{name: values[samples] for name, values in self.arrays().items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """The fields that are set, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values for name, values in found.items() if values is not None}


def reference_statistics(
    logits: np.ndarray | Sequence[np.ndarray],
    token_ids: Sequence[np.ndarray | None] | None = None,
    position: np.ndarray | None = None,
) -> ExitStatistics:
    """
    Computes the statistics in float64. This simple version is the reference for tests of the C++ kernel.

    Args:
        logits (`np.ndarray` `[samples, exits, words]`, or a sequence of `[samples, words]`, one for each exit):
            Logits of the exit heads, whose vocabularies may differ in size.
        token_ids (sequence of `np.ndarray` int64 `[words]` or `None`, *optional*):
            For each exit, the token id of each logit; `None` where the index is the token id.
        position (`np.ndarray` int64 `[samples]`, *optional*):
            Position of a token in its sequence, from 0.
    """
    exits = list(np.moveaxis(np.asarray(logits), 1, 0)) if isinstance(logits, np.ndarray) else list(logits)
    columns: list[tuple[np.ndarray, ...]] = []
    for index, rows in enumerate(exits):
        ids = None if token_ids is None else token_ids[index]
        columns.append(_of_one_exit(np.asarray(rows, np.float64), ids))
    prediction, max_prob, margin, entropy = (np.stack(values, axis=1) for values in zip(*columns, strict=True))
    return ExitStatistics(prediction, max_prob, margin, entropy, position)


def _of_one_exit(logits: np.ndarray, ids: np.ndarray | None) -> tuple[np.ndarray, ...]:
    top = logits.max(axis=1)
    valid = np.isfinite(top)  # NaN spreads through the maximum
    exponentials = np.exp(np.where(valid[:, None], logits - np.where(valid, top, 0.0)[:, None], 0.0))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    ordered = np.sort(probabilities, axis=1)
    second = ordered[:, -2] if logits.shape[1] > 1 else np.zeros(len(logits))
    logarithms = np.log(np.where(probabilities > 0, probabilities, 1.0))
    entropy = -(probabilities * logarithms).sum(axis=1) + 0.0  # + 0.0 turns -0.0 into 0.0
    word = np.argmax(np.where(valid[:, None], logits, 0.0), axis=1)
    prediction = np.where(valid, word if ids is None else np.asarray(ids)[word], NO_PREDICTION).astype(np.int64)
    numbers = (np.where(valid, values, np.nan) for values in (ordered[:, -1], ordered[:, -1] - second, entropy))
    return (prediction, *numbers)
