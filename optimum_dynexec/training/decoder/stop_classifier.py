"""A classifier that ends a draft: it judges the head's distribution for the latest draft token."""

import numpy as np
import torch

from ...utils.logistic_regression import fit_logistic_regression
from .batches import Batches
from .evaluation import DRAFT_STEPS


FEATURES = ("log_prob", "entropy", "position")
# Below this probability, the logarithm carries no information.
SMALLEST_PROB = 1e-6


@torch.no_grad()
def draft_observations(batches: Batches, indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """
    Has a head draft on the backbone's own greedy continuations.

    Args:
        batches ([`Batches`]): batches of the head.
        indices (`list[int]`): indices of the examples, preferably some that the head was not trained on.

    Returns:
        `tuple`: for each draft token after accepted ones: the features of the classifier, float64
        `[tokens, 3]`, and whether it was accepted, bool `[tokens]`.
    """
    head = batches.head
    was_training = head.training
    head.eval()
    steps = DRAFT_STEPS if head.config.kind == "draft" else 1
    seen = [np.zeros((0, len(FEATURES)))]
    accepted = [np.zeros(0, bool)]
    for chosen in batches.indices(indices):
        batch, labels, _ = batches.batch(chosen)
        stands = torch.ones(len(labels), dtype=torch.bool)
        with torch.autocast(batches.device, torch.bfloat16):
            outputs = head(batch, steps)
        for step, output in enumerate(outputs):
            wanted, inside = batches.shifted(batch, labels, step)
            stands &= inside
            with torch.autocast(batches.device, torch.bfloat16):
                log_probs = head.logits(output).float().log_softmax(-1).cpu()
            log_prob, word = log_probs.max(-1)
            entropy = -(log_probs.exp() * log_probs.clamp(min=-100.0)).sum(-1)
            columns = [log_prob.clamp(min=np.log(SMALLEST_PROB)), entropy, torch.full_like(entropy, step)]
            seen.append(torch.stack(columns, dim=-1)[stands].double().numpy())
            accepted.append((word == wanted)[stands].numpy())
            stands &= word == wanted
    head.train(was_training)
    return np.concatenate(seen), np.concatenate(accepted)


def fit_stop_classifier(seen: np.ndarray, accepted: np.ndarray) -> tuple[float, ...]:
    """
    Fits a logistic regression that predicts whether a draft token is accepted, with which DISCO (Mamou et al. 2024,
    arXiv 2405.04304) ends drafts.

    Args:
        seen (`np.ndarray` float64 `[tokens, 3]`): [`FEATURES`] of draft tokens, from [`draft_observations`].
        accepted (`np.ndarray` bool `[tokens]`): whether each token was accepted.

    Returns:
        `tuple[float, ...]`: the weights of the features, followed by the bias: `stop_classifier` of a
        [`DecoderHeadConfig`].

    Raises:
        `ValueError`: if there are no tokens.
    """
    weights, bias = fit_logistic_regression(seen, accepted)
    return (*(float(weight) for weight in weights), bias)
