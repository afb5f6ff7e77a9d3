"""How often a head is right."""

from dataclasses import dataclass

import torch

from .batches import Batches


# Length of the drafts that a draft head is judged by.
DRAFT_STEPS = 6


@dataclass(frozen=True)
class Agreement:
    """
    How often a head is right on greedy texts, against the full model.

    Args:
        first (`float`): share of tokens that its first prediction gets right.
        accepted (`float`): mean number of tokens of a draft of `steps` that stand; equals `first` for exit heads.
        steps (`int`): length of that draft.
        tokens (`int`): predictions that were counted.
        by_step (`tuple[float, ...]`): share of drafts of which at least so many tokens stand, from 1 on.
    """

    first: float
    accepted: float
    steps: int
    tokens: int
    by_step: tuple[float, ...] = ()

    def __str__(self) -> str:
        if not self.tokens:
            return "no held-out text to agree with the model on"
        accepted = f", {self.accepted:.2f} of {self.steps} draft tokens stand" if self.steps > 1 else ""
        return f"agrees with the model on {self.first:.1%} of held-out tokens{accepted}"


@torch.no_grad()
def evaluate(batches: Batches, indices: list[int]) -> Agreement:
    """
    Compares a head with its backbone along the backbone's own greedy continuations. Where a draft still stands, its
    tokens are those of the text, so that this is what drafting would have given.

    Args:
        batches ([`Batches`]): of the head.
        indices (`list[int]`): examples to look at.
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
