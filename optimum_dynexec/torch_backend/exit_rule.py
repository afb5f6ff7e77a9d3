"""When a token leaves: the criteria of `early_exit`, asked exit by exit."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..early_exit.config import EarlyExitConfig
from ..early_exit.criteria import Criterion, criterion_class, load_criterion
from ..early_exit.statistics import ExitStatistics, reference_statistics
from ..heads.modules import HeadModule
from .decoder import Decoder


CALIBRATED = (
    "`early_exit='calibrated'` is for the OpenVINO classes: thresholds are guaranteed for the exported model they were"
    " calibrated with. Give `EarlyExitConfig(thresholds=...)`"
)


def criterion_of(early_exit: EarlyExitConfig | str, layers: list[int], directory: str | Path) -> Criterion:
    """
    Makes the criterion of a call.

    Args:
        early_exit ([`~early_exit.EarlyExitConfig`]): when to leave.
        layers (`list[int]`): of the exits, ascending.
        directory (`str` or `Path`): of the model, where the weights of the criterion `classifier` are.

    Raises:
        `ValueError`: for what this backend does not do, or a criterion with weights for other exits.
        `TypeError`: for an `early_exit` of another kind.
    """
    if early_exit == "calibrated":
        raise ValueError(CALIBRATED)
    if not isinstance(early_exit, EarlyExitConfig):
        raise TypeError(f"`early_exit` must be an EarlyExitConfig, got {early_exit!r}")
    if early_exit.deadline_ms is not None:
        raise ValueError("the torch backend has no `deadline_ms`: leave it out")
    criterion = load_criterion(early_exit.criterion, directory)
    criterion.check_layers(layers)
    return criterion


def statistics_so_far(
    logits: Sequence[np.ndarray],
    exits: int,
    *,
    position: np.ndarray | None = None,
    certainty: Sequence[np.ndarray] | None = None,
) -> ExitStatistics:
    """
    What criteria decide by when only the first exits have been asked. The others have no distribution, NaN, which no
    criterion looks at.

    Args:
        logits (`Sequence[np.ndarray]`, `[samples, words]` each): of the exits asked so far, in order of depth.
        exits (`int`): how many there are in all.
        position (`np.ndarray` int64 `[samples]`, *optional*): see [`~early_exit.ExitStatistics`].
        certainty (`Sequence[np.ndarray]`, `[samples]` each, *optional*): what those exits say of their answers.

    Returns:
        [`~early_exit.ExitStatistics`]: of shape `[samples, exits]`, float64.
    """

    def all_exits(asked: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [*asked, *[np.full_like(asked[0], np.nan)] * (exits - len(asked))]

    statistics = reference_statistics(all_exits(logits), position=position)
    if certainty is None:
        return statistics
    return replace(statistics, certainty=np.stack(all_exits(certainty), axis=1).astype(np.float64))


class TokenExitRule:
    """
    Decides where one token after the other leaves.

    Args:
        early_exit ([`~early_exit.EarlyExitConfig`]): when to leave.
        heads (`Mapping[int, HeadModule]`): by layer, ascending.
        last_layer (`int`): of the model.
        directory (`str` or `Path`): see [`criterion_of`].

    Raises:
        `ValueError`: see [`criterion_of`].
    """

    def __init__(
        self,
        early_exit: EarlyExitConfig | str,
        heads: Mapping[int, HeadModule],
        last_layer: int,
        directory: str | Path,
    ):
        self._heads = heads
        self._layers = list(heads)
        self._criterion = criterion_of(early_exit, self._layers, directory)
        assert isinstance(early_exit, EarlyExitConfig)
        if criterion_class(early_exit.criterion).needs_certainty:
            raise ValueError(
                f"the criterion {early_exit.criterion!r} is for encoders: a decoder's exits say no certainty"
            )
        if early_exit.kv != "deferred":
            raise ValueError(f"`kv={early_exit.kv!r}` is for the OpenVINO classes; here it is 'deferred'")
        self._thresholds = early_exit.thresholds_for(self._layers)
        self._last_layer = last_layer
        self.prefill = early_exit.prefill
        self.begin(decides=False)

    def begin(self, *, decides: bool) -> None:
        """The next token is about to be chosen; with `decides=False` the full model chooses it."""
        self._open = decides
        self._said: list[np.ndarray] = []
        self.layer = self._last_layer
        self.logits: torch.Tensor | None = None

    def leaves(self, layer: int, tokens: list[int], decoder: Decoder) -> bool:
        """
        Asks the exit after a layer, unless the token has left already.

        Returns:
            `bool`: whether the next token comes from this exit; `layer` and `logits`, float32 `[vocab_size]`, then say
            which one it is and what it says.
        """
        if not self._open:
            return self.logits is not None
        exit = len(self._said)
        logits = decoder.exit_logits(self._heads[layer], len(tokens))
        self._said.append(logits[None].numpy())
        statistics = statistics_so_far(self._said, len(self._layers), position=np.array([len(tokens) - 1]))
        score = self._criterion.scores(statistics)[0, exit]
        if self._criterion.passes(score, self._thresholds[exit]):
            self._open, self.layer, self.logits = False, layer, logits
        return not self._open
