"""Losses against their definitions."""

import numpy as np
import pytest
import torch

from optimum_dynexec.training.encoder.objectives import OBJECTIVES, certainty_loss, kl_divergence


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_divergence_is_from_the_full_model(temperature):
    generator = np.random.default_rng(0)
    head, full = generator.standard_normal((2, 5, 4))
    p, q = _softmax(full / temperature), _softmax(head / temperature)
    expected = temperature**2 * (p * (np.log(p) - np.log(q))).sum(-1).mean()
    found = kl_divergence(torch.from_numpy(head), torch.from_numpy(full), temperature)
    assert float(found) == pytest.approx(expected)
    # The other way round is another number.
    assert float(kl_divergence(torch.from_numpy(full), torch.from_numpy(head), temperature)) != pytest.approx(expected)


def test_spans_are_distributions_over_each_text():
    generator = torch.Generator().manual_seed(0)
    head, full = torch.randn(2, 7, 2, generator=generator)
    sizes = torch.tensor([3, 4])
    parts = [kl_divergence(a.T, b.T, 1.0) for a, b in ((head[:3], full[:3]), (head[3:], full[3:]))]
    found = OBJECTIVES["span"].divergence(head, full, sizes, 1.0)
    assert float(found) == pytest.approx(float(sum(parts) / 2), rel=1e-5)
    same = OBJECTIVES["span"].agreement(full, full, sizes)
    assert same.tolist() == [1.0, 1.0]
    # Right about the start of the first text only.
    other = full.clone()
    other[:3, 1] = -full[:3, 1]
    assert OBJECTIVES["span"].agreement(other, full, sizes).tolist() == [0.0, 1.0]


def test_features():
    full = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    sizes = torch.tensor([4])
    assert float(OBJECTIVES["features"].divergence(full, full, sizes, 1.0)) == pytest.approx(0.0, abs=1e-6)
    assert OBJECTIVES["features"].agreement(full, full, sizes).tolist() == pytest.approx([1.0] * 4)
    assert OBJECTIVES["features"].agreement(-full, full, sizes).tolist() == [0.0] * 4


def test_certainty():
    logits, right = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    # Sure and right, sure and wrong.
    assert float(certainty_loss(torch.tensor([30.0, 30.0]), logits, right)) == pytest.approx(0.5)
    assert float(certainty_loss(torch.tensor([30.0, -30.0]), logits, right)) == pytest.approx(0.0)
