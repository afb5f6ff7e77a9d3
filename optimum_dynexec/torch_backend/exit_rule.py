"""Decides when a token leaves, exit by exit, with the criteria of `early_exit`."""

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
    "`early_exit='calibrated'` is for the OpenVINO classes: thresholds are guaranteed for the exported model that they"
    " were"
    " calibrated with. Use `EarlyExitConfig(thresholds=...)`"
)


def criterion_of(early_exit: EarlyExitConfig | str, layers: list[int], directory: str | Path) -> Criterion:
    """
    Makes the criterion of a call.

    Args:
        early_exit ([`~early_exit.EarlyExitConfig`]): configuration of early exit.
        layers (`list[int]`): exit layers, ascending.
        directory (`str` or `Path`): directory of the model, with the weights of the criterion `classifier`.

    Raises:
        `ValueError`: if this backend does not support the configuration, or the criterion has weights for other exits.
        `TypeError`: if `early_exit` has another type.
    """
    if early_exit == "calibrated":
        raise ValueError(CALIBRATED)
    if not isinstance(early_exit, EarlyExitConfig):
        raise TypeError(f"`early_exit` must be an EarlyExitConfig, but it is {early_exit!r}")
    if early_exit.deadline_ms is not None:
        raise ValueError("the torch backend does not support `deadline_ms`: leave it out")
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
    The statistics for criteria while only the first exits have run. The others have no distribution, NaN, which no
    criterion uses.

    Args:
        logits (`Sequence[np.ndarray]`, `[samples, words]` each): logits of the exits so far, in order of depth.
        exits (`int`): number of all exits.
        position (`np.ndarray` int64 `[samples]`, *optional*): position of each token in its sequence, from 0.
        certainty (`Sequence[np.ndarray]`, `[samples]` each, *optional*): certainty of these exits.

    Returns:
        [`~early_exit.ExitStatistics`]: the statistics, `[samples, exits]`, float64.
    """

    def all_exits(asked: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [*asked, *[np.full_like(asked[0], np.nan)] * (exits - len(asked))]

    statistics = reference_statistics(all_exits(logits), position=position)
    if certainty is None:
        return statistics
    return replace(statistics, certainty=np.stack(all_exits(certainty), axis=1).astype(np.float64))


class TokenExitRule:
    """
    Decides where each token leaves.

    Args:
        early_exit ([`~early_exit.EarlyExitConfig`]): configuration of early exit.
        heads (`Mapping[int, HeadModule]`): exit heads by layer, ascending.
        last_layer (`int`): last layer of the model.
        directory (`str` or `Path`): directory of the model, with the weights of the criterion `classifier`.

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
                f"the criterion {early_exit.criterion!r} is for encoders: the exit heads of a decoder predict no"
                " certainty"
            )
        if early_exit.kv != "deferred":
            raise ValueError(
                f"`kv={early_exit.kv!r}` is for the OpenVINO classes; the torch backend supports 'deferred'"
            )
        self._thresholds = early_exit.thresholds_for(self._layers)
        self._last_layer = last_layer
        self.prefill = early_exit.prefill
        self.begin(decides=False)

    def begin(self, *, decides: bool) -> None:
        """Starts with the next token. With `decides=False`, the full model chooses it."""
        self._open = decides
        self._said: list[np.ndarray] = []
        self.layer = self._last_layer
        self.logits: torch.Tensor | None = None

    def leaves(self, layer: int, tokens: list[int], decoder: Decoder) -> bool:
        """
        Runs the exit after a layer, unless the token has already left.

        Returns:
            `bool`: whether the next token comes from this exit; `layer` and `logits`, float32 `[vocab_size]`, then
            contain its layer and its logits.
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
