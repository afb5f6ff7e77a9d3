import math

import numpy as np
import pytest

from optimum_dynexec.early_exit import EarlyExitConfig


def test_one_threshold_for_all_exits():
    config = EarlyExitConfig(threshold=0.9)
    assert (config.criterion, config.kv, config.prefill) == ("max_prob", "deferred", False)
    assert config.thresholds_for([4, 9]) == [0.9, 0.9]


def test_a_threshold_for_each_exit():
    config = EarlyExitConfig("entropy", thresholds={9: 0.5, 4: 1}, kv="copy")
    assert config.thresholds == {4: 1.0, 9: 0.5}
    assert config.thresholds_for([4, 6, 9]) == [1.0, -math.inf, 0.5]
    assert EarlyExitConfig("margin", thresholds={9: 0.5}).thresholds_for([4, 9]) == [math.inf, 0.5]


def test_exits_that_the_model_lacks():
    with pytest.raises(ValueError, match=r"for layer 9, but the model has exit heads after \[4\]"):
        EarlyExitConfig(thresholds={4: 0.5, 9: 0.5}).thresholds_for([4])
    with pytest.raises(ValueError, match="none: train them with `optimum-cli dynexec train-heads`"):
        EarlyExitConfig(threshold=0.5).thresholds_for([])


def test_numbers_of_numpy():
    config = EarlyExitConfig(thresholds={np.int64(4): np.float32(0.5)}, deadline_ms=np.int32(7))
    assert config == EarlyExitConfig(thresholds={4: 0.5}, deadline_ms=7.0)
    assert {type(value) for value in (*config.thresholds, *config.thresholds.values())} == {int, float}
    assert EarlyExitConfig("patience", np.int8(2)) == EarlyExitConfig("patience", 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either `threshold`.*or `thresholds`"),
        ({"threshold": 0.5, "thresholds": {1: 0.5}}, "give either"),
        ({"threshold": 1.5}, "a threshold of the criterion 'max_prob' must be a number from 0 to 1, but it is 1.5"),
        ({"threshold": "high"}, "but it is 'high'"),
        ({"criterion": "patience", "threshold": 0}, "a whole number of exits of 1 or more"),
        ({"criterion": "mood", "threshold": 0.5}, "`criterion` must be one of"),
        ({"thresholds": {}}, "must map each exit layer to its threshold"),
        ({"thresholds": [0.5]}, "must map each exit layer to its threshold"),
        ({"thresholds": {"4": 0.5}}, "layers as keys, whole numbers of 0 or more, but one is '4'"),
        ({"thresholds": {-1: 0.5}}, "layers as keys"),
        ({"thresholds": {True: 0.5}}, "layers as keys"),
        ({"thresholds": {4: math.nan}}, "a threshold of the criterion 'max_prob'"),
        ({"threshold": 0.5, "kv": "skip"}, "`kv` must be one of .*'deferred', 'copy'.* but it is 'skip'"),
        ({"threshold": 0.5, "prefill": "yes"}, "`prefill` must be True or False"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        EarlyExitConfig(**options)
