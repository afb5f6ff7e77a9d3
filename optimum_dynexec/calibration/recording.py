"""Exit records of a decoder: the predictions of its exits and of the full model for the same texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from ..early_exit.statistics import NO_PREDICTION, ExitStatistics
from .records import ExitRecords


# Logits: one array for all rows, or rows that may differ in length.
Rows = np.ndarray | Sequence[np.ndarray]


@dataclass(frozen=True)
class ExitLogits:
    """
    The outputs of the exits and the full model at `rows` positions of one text.

    Args:
        exits (`Sequence[np.ndarray]`, float32 `[rows, words]` each): logits of each head, in order of depth.
        full (`np.ndarray` int64 `[rows]`): the full model's most probable token.
    """

    exits: Sequence[np.ndarray]
    full: np.ndarray


class ExitRunner(Protocol):
    """Runs a model and its exits on texts."""

    layers: tuple[int, ...]
    num_layers: int
    # For each exit, the token id of each logit.
    token_ids: Sequence[np.ndarray]

    def __call__(self, tokens: Sequence[int], rows: np.ndarray) -> ExitLogits:
        """Runs the model on `tokens`; `rows` (int64) are the positions whose logits are returned."""
        ...


@dataclass(frozen=True)
class RecordedText:
    """
    A text and the positions in it to record.

    Args:
        tokens (`Sequence[int]`): token ids of the whole text.
        first (`int`): first position whose next token is predicted; the last position is that before the last token.
        labeled (`bool`, *optional*, defaults to `False`): whether the text's own next tokens are the labels.
    """

    tokens: Sequence[int]
    first: int
    labeled: bool = False

    @property
    def rows(self) -> np.ndarray:
        """The positions, int64; empty if the text is too short."""
        return np.arange(self.first, len(self.tokens) - 1)


def record_texts(
    runner: ExitRunner, texts: Sequence[RecordedText], *, progress: bool = True, **identity: Any
) -> ExitRecords:
    """
    Records the predictions of the exits and the full model for texts.

    At each position, both read the same text before it. A disagreement is therefore counted where it occurs, and not
    its consequences in the rest of the text.

    Args:
        runner ([`ExitRunner`]): runner of the model.
        texts (`Sequence[RecordedText]`): texts in any order. Texts that are too short are left out.
        progress (`bool`, *optional*, defaults to `True`): whether to show a progress bar.
        identity (*optional*): `model_hash`, `head_hashes` and `source` of the [`~calibration.ExitRecords`].

    Raises:
        `ValueError`: if no text is long enough.
    """
    texts = [text for text in texts if len(text.rows)]
    if not texts:
        raise ValueError("no text is long enough: a text needs at least 2 tokens after its prompt")
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("prediction", "max_prob", "margin", "entropy")}
    full, labels = [], []
    for text in tqdm(texts, desc="exits", unit="text", disable=not progress):
        logits = runner(text.tokens, text.rows)
        for name, values in exit_columns(logits.exits, runner.token_ids).items():
            columns[name].append(values)
        full.append(logits.full)
        if text.labeled:
            labels.append(np.asarray(text.tokens, np.int64)[text.rows + 1])
    statistics = ExitStatistics(
        **{name: np.concatenate(parts) for name, parts in columns.items()},
        position=np.concatenate([text.rows for text in texts]),
    )
    return ExitRecords(
        runner.layers,
        runner.num_layers,
        statistics,
        np.concatenate(full),
        np.array([len(text.rows) for text in texts]),
        np.concatenate(labels) if len(labels) == len(texts) else None,
        **identity,
    )


def exit_columns(exits: Sequence[Rows], token_ids: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Uses the kernel of the engine, so that calibration and engine see the same numbers."""
    from ..native import _C

    found = [[_C.logits_stats(row) for row in logits] for logits in exits]
    words = np.array([[stats.argmax for stats in column] for column in found], np.int64).T
    prediction = np.stack(
        [np.where(words[:, index] < 0, NO_PREDICTION, ids[words[:, index]]) for index, ids in enumerate(token_ids)], 1
    )
    numbers = {
        name: np.array([[getattr(stats, name) for stats in column] for column in found], np.float32).T
        for name in ("max_prob", "margin", "entropy")
    }
    return {"prediction": prediction, **numbers}


def exit_statistics(exits: Sequence[Rows], token_ids: Sequence[np.ndarray]) -> ExitStatistics:
    """
    The statistics for criteria.

    Args:
        exits (`Sequence[np.ndarray or Sequence[np.ndarray]]`, float32 `[samples, words]` each): logits of each head,
            in order of depth. Samples may differ in length.
        token_ids (`Sequence[np.ndarray]`, int64 `[words]` each): token id of each logit of a head.
    """
    return ExitStatistics(**exit_columns(exits, token_ids))
