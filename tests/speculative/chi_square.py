"""Whether samples follow a distribution."""

import numpy as np
from scipy.stats import chi2


P_VALUE = 1e-4


def p_value(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """
    Pearson's test; cells that expect fewer than 5 samples are merged. A sample of what cannot occur has p-value 0.

    Args:
        counts (`np.ndarray`): samples seen, per outcome.
        probabilities (`np.ndarray`): of the same shape, adding up to 1.
    """
    counts, probabilities = counts.ravel().astype(np.float64), probabilities.ravel().astype(np.float64)
    np.testing.assert_allclose(probabilities.sum(), 1.0, atol=1e-5)
    if counts[probabilities == 0].sum() > 0:
        return 0.0
    expected = probabilities * counts.sum()
    rare = expected < 5
    seen, expected = np.append(counts[~rare], counts[rare].sum()), np.append(expected[~rare], expected[rare].sum())
    seen, expected = seen[expected > 1], expected[expected > 1]
    assert len(seen) > 5, "too few cells to tell distributions apart"
    return float(chi2.sf(((seen - expected) ** 2 / expected).sum(), len(seen) - 1))
