"""The classifier that ends drafts, as it is fitted and as the engine evaluates it."""

import numpy as np
import pytest

from optimum_dynexec.heads import DecoderHeadConfig
from optimum_dynexec.heads.ir import build_head_ir, head_config
from optimum_dynexec.native import _C
from optimum_dynexec.training.decoder.stop_classifier import FEATURES, fit_stop_classifier
from tests.heads.reference import random_head


def probability(seen, weights):
    return 1 / (1 + np.exp(-(seen @ np.array(weights[:-1]) + weights[-1])))


def observations(rng, n):
    return np.column_stack([np.log(rng.uniform(0.01, 1, n)), rng.uniform(0, 5, n), rng.integers(0, 6, n)])


def test_finds_what_the_data_were_made_by():
    rng = np.random.default_rng(0)
    true = (1.5, -0.4, -0.3, 2.0)
    seen = observations(rng, 40000)
    accepted = rng.uniform(size=len(seen)) < probability(seen, true)
    np.testing.assert_allclose(fit_stop_classifier(seen, accepted), true, atol=0.12)


def test_all_accepted_and_none_at_all():
    seen = observations(np.random.default_rng(0), 50)
    assert (probability(seen, fit_stop_classifier(seen, np.ones(50, bool))) > 0.9).all()
    with pytest.raises(ValueError, match="at least 1 sample"):
        fit_stop_classifier(seen[:0], np.ones(0, bool))


def test_the_engine_evaluates_the_same():
    rng = np.random.default_rng(0)
    weights = tuple(rng.standard_normal(4).tolist())
    classifier = _C.StopClassifier(list(weights))
    for row in observations(rng, 100):
        found = classifier.accepted(float(np.exp(row[0])), row[1], int(row[2]))
        assert found == pytest.approx(probability(row, weights))


def test_stands_with_the_head():
    config, tensors, unembedding = random_head("norm", words=9, stop_classifier=(1.0, 2.0, 3.0, 4.0))
    assert head_config(build_head_ir(config, tensors, unembedding)).stop_classifier == (1.0, 2.0, 3.0, 4.0)
    assert DecoderHeadConfig.from_json(config.to_json()) == config
    assert len(FEATURES) + 1 == 4


@pytest.mark.parametrize("weights", [(1.0, 2.0), (1.0, 2.0, 3.0, float("nan")), ()])
def test_bad_weights(weights):
    with pytest.raises(ValueError, match="`stop_classifier` must be 4 finite numbers"):
        DecoderHeadConfig("norm", 0, 8, 9, stop_classifier=weights)
