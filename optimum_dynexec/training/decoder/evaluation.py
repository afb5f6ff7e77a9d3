"""Measures how often a head agrees with the model."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ...utils.intervals import Interval, grouped_share_interval, interval_text
from .batches import Batches


# Length of the drafts in the evaluation of a draft head.
DRAFT_STEPS = 6
# With less agreement, a head costs more time than its drafts or exits save.
LEAST_AGREEMENT = 0.3


@dataclass(frozen=True)
class Agreement:
    """
    How often a head agrees with the full model on greedy texts.

    Args:
        first (`float`): share of tokens on which the head's first prediction agrees.
        accepted (`float`): mean number of accepted tokens in a draft of `steps`; equals `first` for exit heads.
        steps (`int`): length of the draft.
        tokens (`int`): number of predictions.
        by_step (`tuple[float, ...]`): shares of drafts with at least 1, 2, … accepted tokens.
        interval ([`~utils.intervals.Interval`], *optional*):
            95% interval of `first`, in which the tokens of a text may depend on each other.
    """

    first: float
    accepted: float
    steps: int
    tokens: int
    by_step: tuple[float, ...] = ()
    interval: Interval | None = None

    def __str__(self) -> str:
        if not self.tokens:
            return "no held-out text to measure the agreement on"
        accepted = f", {self.accepted:.2f} of {self.steps} draft tokens accepted" if self.steps > 1 else ""
        interval = "" if self.interval is None else f" ({interval_text(self.interval, '{:.1%}')})"
        return f"agrees with the model on {self.first:.1%} of {self.tokens} held-out tokens{interval}{accepted}"


def agreement_warnings(heads: Mapping[str, Agreement]) -> list[str]:
    """
    Which heads are too weak, as far as held-out texts show it.

    Args:
        heads (`Mapping[str, Agreement]`): by the name of the head.

    Returns:
        `list[str]`: a sentence for each.
    """
    return [
        f"{name} is too weak to help: it agrees on less than {LEAST_AGREEMENT:.0%} of the tokens. Train on more"
        " prompts (the draft head shipped for SmolLM2-135M was trained on 8,817 and agrees on 67%)"
        for name, agreement in heads.items()
        if agreement.tokens and agreement.first < LEAST_AGREEMENT
    ]


@torch.no_grad()
def evaluate(batches: Batches, indices: list[int]) -> Agreement:
    """
    Compares a head with its backbone on the backbone's own greedy continuations. As long as a draft is accepted, its
    tokens are those of the text, so the result is that of real drafting.

    Args:
        batches ([`Batches`]): batches of the head.
        indices (`list[int]`): indices of the examples.
    """
    head = batches.head
    was_training = head.training
    head.eval()
    steps = DRAFT_STEPS if head.config.kind == "draft" else 1
    standing = [0] * steps
    agreed: list[int] = []
    lengths: list[int] = []
    for chosen in batches.indices(indices):
        batch, labels, _ = batches.batch(chosen)
        with torch.autocast(batches.device, torch.bfloat16):
            guessed = [head.logits(g).argmax(-1).cpu() for g in head(batch, steps)]
        stands = torch.ones(len(labels), dtype=torch.bool)
        for step, words in enumerate(guessed):
            wanted, inside = batches.shifted(batch, labels, step)
            stands &= inside & (words == wanted)
            standing[step] += int(stands.sum())
            if step == 0:
                sizes = [rows.stop - rows.start for rows in head.rows(batch)]
                lengths += sizes
                agreed += [int(part.sum()) for part in stands.split(sizes)]
    head.train(was_training)
    tokens = sum(lengths)
    shares = tuple(count / max(tokens, 1) for count in standing)
    interval = grouped_share_interval(agreed, lengths) if tokens else None
    return Agreement(shares[0], sum(shares), steps, tokens, shares, interval)
