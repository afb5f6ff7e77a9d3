"""Exit records of a model that is a formula, so that the risk of any thresholds is known."""

import numpy as np

from optimum_dynexec.calibration import ExitRecords
from optimum_dynexec.early_exit import ExitStatistics


LAYERS, NUM_LAYERS = (3, 7), 12
WORDS = 50


def synthetic_records(num_texts: int, seed: int, *, tokens: tuple[int, int] = (3, 30)) -> ExitRecords:
    """
    Texts differ in how hard they are, which their tokens share. The deeper exit knows better, and both overestimate
    themselves a little.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(tokens[0], tokens[1] + 1, num_texts)
    ease = np.repeat(rng.normal(0.0, 1.5, num_texts), sizes)[:, None]
    samples = len(ease)
    luck = rng.normal(0.0, 1.5, (samples, 1)) + rng.normal(0.0, 1.0, (samples, 2))
    confidence = 1 / (1 + np.exp(-(np.array([0.5, 2.0]) + ease + luck)))
    full = rng.integers(0, WORDS, samples)
    right = rng.random((samples, 2)) < 1 / (1 + np.exp(-(np.array([0.0, 1.5]) + 1.2 * ease + luck)))
    wrong = (full[:, None] + rng.integers(1, WORDS, (samples, 2))) % WORDS
    rest = 1 - confidence
    max_prob = np.maximum(confidence, 1 / WORDS)
    entropy = -(confidence * np.log(confidence) + rest * np.log(rest / (WORDS - 1)))
    statistics = ExitStatistics(
        np.where(right, full[:, None], wrong),
        max_prob.astype(np.float32),
        np.maximum(max_prob - rest, 0).astype(np.float32),
        entropy.astype(np.float32),
        position=np.concatenate([np.arange(size) for size in sizes]),
    )
    labels = np.where(rng.random(samples) < 0.8, full, wrong[:, 0])
    return ExitRecords(LAYERS, NUM_LAYERS, statistics, full, sizes, labels)
