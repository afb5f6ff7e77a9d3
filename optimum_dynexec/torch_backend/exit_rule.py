"""When a token leaves: the criteria of `early_exit`, asked exit by exit."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from ..early_exit.config import EarlyExitConfig
from ..early_exit.criteria import Criterion, criterion_class, load_criterion
from ..early_exit.criteria.classifier import ClassifierCriterion
from ..early_exit.statistics import reference_statistics
from ..heads.modules import Head
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
    if isinstance(criterion, ClassifierCriterion):
        criterion.check_layers(layers)
    return criterion


class TokenExitRule:
    """
    Decides where one token after the other leaves.

    Args:
        early_exit ([`~early_exit.EarlyExitConfig`]): when to leave.
        heads (`Mapping[int, Head]`): by layer, ascending.
        last_layer (`int`): of the model.
        directory (`str` or `Path`): see [`criterion_of`].

    Raises:
        `ValueError`: see [`criterion_of`].
    """

    def __init__(
        self, early_exit: EarlyExitConfig | str, heads: Mapping[int, Head], last_layer: int, directory: str | Path
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
        self._said: list[torch.Tensor] = []
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
        self._said.append(decoder.exit_logits(self._heads[layer], len(tokens)))
        # Exits that have not been asked have no distribution, which no criterion looks at.
        unknown = [torch.full_like(self._said[0], torch.nan)] * (len(self._layers) - exit - 1)
        statistics = reference_statistics(
            [logits[None].numpy() for logits in [*self._said, *unknown]], position=np.array([len(tokens) - 1])
        )
        score = self._criterion.scores(statistics)[0, exit]
        if self._criterion.passes(score, self._thresholds[exit]):
            self._open, self.layer, self.logits = False, layer, self._said[exit]
        return not self._open
