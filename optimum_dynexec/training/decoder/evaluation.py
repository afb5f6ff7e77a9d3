"""Measures how often a head agrees with the model."""

from dataclasses import dataclass

import torch

from .batches import Batches


# Length of the drafts in the evaluation of a draft head.
DRAFT_STEPS = 6


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
    """

    first: float
    accepted: float
    steps: int
    tokens: int
    by_step: tuple[float, ...] = ()

    def __str__(self) -> str:
        if not self.tokens:
            return "no held-out text to measure the agreement on"
        accepted = f", {self.accepted:.2f} of {self.steps} draft tokens accepted" if self.steps > 1 else ""
        return f"agrees with the model on {self.first:.1%} of held-out tokens{accepted}"


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
    tokens = 0
    for chosen in batches.indices(indices):
        batch, labels, _ = batches.batch(chosen)
        with torch.autocast(batches.device, torch.bfloat16):
            guessed = [head.logits(g).argmax(-1).cpu() for g in head(batch, steps)]
        stands = torch.ones(len(labels), dtype=torch.bool)
        for step, words in enumerate(guessed):
            wanted, inside = batches.shifted(batch, labels, step)
            stands &= inside & (words == wanted)
            standing[step] += int(stands.sum())
        tokens += len(labels)
    head.train(was_training)
    shares = tuple(count / max(tokens, 1) for count in standing)
    return Agreement(shares[0], sum(shares), steps, tokens, shares)
