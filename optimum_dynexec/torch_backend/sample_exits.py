"""Decides where the samples of one batch leave."""

import time
from collections.abc import Mapping

import numpy as np
import torch

from ..early_exit.criteria import Criterion
from ..early_exit.statistics import reference_statistics
from ..heads.modules.encoder import EncoderHeadModule
from .answers import ANSWERS, OUTPUTS
from .exit_rule import statistics_so_far


class SampleExits:
    """
    Runs the exits on a batch one by one. `exit_layer` and `confidence` have an entry for each sample, and `outputs`
    the rows of samples that have left.

    Args:
        heads (`Mapping[int, EncoderHeadModule]`): exit heads by layer, ascending.
        criterion ([`~early_exit.Criterion`]): criterion for leaving.
        thresholds (`list[float]`): threshold of each exit.
        last_layer (`int`): last layer of the model.
        mask (`torch.Tensor` of shape `(batch, length)`, *optional*): attention mask of the batch, for texts.
        size (`int`): number of samples in the batch.
    """

    def __init__(
        self,
        heads: Mapping[int, EncoderHeadModule],
        criterion: Criterion | None,
        thresholds: list[float],
        last_layer: int,
        mask: torch.Tensor | None,
        size: int,
    ):
        self._heads, self._criterion, self._thresholds, self._mask = heads, criterion, thresholds, mask
        self._layers = list(heads)
        self._kind = next(iter(heads.values())).config.kind
        self._logits: list[np.ndarray] = []
        self._certainty: list[np.ndarray] = []
        self.said: dict[int, dict[str, torch.Tensor]] = {}
        self.exit_layer = np.full(size, last_layer, np.int64)
        self.confidence = np.full(size, np.nan, np.float32)
        self._inside = np.ones(size, bool)
        self.head_seconds = 0.0

    @torch.no_grad()
    def see(self, layer: int, hidden: torch.Tensor) -> bool:
        """
        Runs the exit after a layer.

        Args:
            layer (`int`): index of the layer.
            hidden (`torch.Tensor` of shape `(batch, length, hidden_size)`): hidden states after the layer.

        Returns:
            `bool`: whether all samples have left.
        """
        start = time.perf_counter()
        head = self._heads[layer]
        pooled = head.pool(hidden.float(), self._mask)
        self.said[layer] = OUTPUTS[self._kind](head(pooled))
        certainty = head.certainty_logit(pooled).sigmoid().cpu().numpy() if head.config.certainty else None
        if self._criterion is not None:
            self._decide(layer, certainty)
        self.head_seconds += time.perf_counter() - start
        return not self._inside.any()

    def finish(self, outputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """
        Combines the outputs of all samples.

        Args:
            outputs (`dict[str, torch.Tensor]`): outputs of the whole model; empty if all samples have left.
        """
        if self._inside.any():
            self._settle(self._inside, *self._sure(outputs))
        result = {name: value.float().clone() for name, value in (outputs or self.said[self._layers[0]]).items()}
        for layer, said in self.said.items():
            left = torch.from_numpy(self.exit_layer == layer)
            for name, value in said.items():
                result[name][left] = value[left]
        return result

    def _decide(self, layer: int, certainty: np.ndarray | None) -> None:
        assert self._criterion is not None
        exit = len(self._logits)
        found = ANSWERS[self._kind](self.said[layer], self._mask)
        self._logits.append(found.logits)
        if certainty is not None:
            self._certainty.append(certainty[found.samples])
        # The outputs are complete only if all samples have them.
        said = self._certainty if len(self._certainty) == len(self._logits) else None
        statistics = statistics_so_far(self._logits, len(self._layers), certainty=said)
        passes = self._criterion.passes(self._criterion.scores(statistics)[:, exit], self._thresholds[exit])
        stays = np.zeros(len(self._inside), bool)
        stays[found.samples[~passes]] = True
        some = np.isin(np.arange(len(stays)), found.samples)
        leaves = self._inside & some & ~stays
        self.exit_layer[leaves] = layer
        self._settle(leaves, found.samples, statistics.max_prob[:, exit])
        self._inside &= ~leaves

    def _sure(self, outputs: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        found = ANSWERS[self._kind]({name: value.float() for name, value in outputs.items()}, self._mask)
        return found.samples, reference_statistics([found.logits]).max_prob[:, 0]

    def _settle(self, which: np.ndarray, samples: np.ndarray, max_prob: np.ndarray) -> None:
        """The confidence of a sample is that of its least confident distribution."""
        least = np.full(len(which), np.inf)
        np.minimum.at(least, samples, max_prob)
        self.confidence[which] = np.where(np.isfinite(least), least, np.nan)[which]
