"""Calls that have to end in time: samples leave with the best answer there is."""

from types import SimpleNamespace

import pytest
import torch

from optimum_dynexec import DynExecModelForFeatureExtraction, DynExecModelForSequenceClassification, EarlyExitConfig
from optimum_dynexec.exporters.single_ir import export_single_ir
from optimum_dynexec.modeling.early_exit import early_exit_params
from optimum_dynexec.torch_backend.exit_rule import criterion_of


BATCH, LENGTH = 12, 10
HUGE = 1e6


@pytest.fixture(scope="module")
def directory(tiny_encoder):
    return tiny_encoder("bert")


@pytest.fixture(scope="module")
def model(directory):
    return DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact")


def texts(batch: int = BATCH, length: int = LENGTH) -> dict[str, torch.Tensor]:
    ids = torch.randint(3, 300, (batch, length), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def test_no_time_at_all(model):
    found = model(**texts(), early_exit=EarlyExitConfig(deadline_ms=0))
    assert found.exit_layer.tolist() == [0] * BATCH
    torch.testing.assert_close(found.logits, model.exit_logits(**texts())[0]["logits"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.confidence, found.logits.softmax(-1).amax(-1), rtol=1e-4, atol=1e-4)
    assert model.last_stats.segment_rows == [BATCH, 0, 0, 0]
    assert model.last_stats.out_of_time == BATCH
    assert "for the deadline       12" in str(model.last_stats)


def test_all_the_time_there_is(model):
    found = model(**texts(), early_exit=EarlyExitConfig(deadline_ms=HUGE))
    assert found.exit_layer.tolist() == [3] * BATCH
    torch.testing.assert_close(found.logits, model(**texts()).logits, rtol=1e-4, atol=1e-4)
    assert model.last_stats.out_of_time == 0
    # Heads cost time, and nobody needs what they say.
    assert model.last_stats.head_seconds == 0


def test_with_a_criterion(model):
    threshold = model.exit_logits(**texts())[0]["logits"].softmax(-1).amax(-1).median().item()
    alone = model(**texts(), early_exit=EarlyExitConfig(threshold=threshold))
    assert len(set(alone.exit_layer.tolist())) > 1
    both = model(**texts(), early_exit=EarlyExitConfig(threshold=threshold, deadline_ms=HUGE))
    assert both.exit_layer.tolist() == alone.exit_layer.tolist()
    torch.testing.assert_close(both.logits, alone.logits)
    over = model(**texts(), early_exit=EarlyExitConfig(threshold=threshold, deadline_ms=0))
    assert over.exit_layer.tolist() == [0] * BATCH
    assert model.last_stats.out_of_time == int((alone.exit_layer > 0).sum())
    # At exits where the criterion lets nothing leave, the deadline does.
    late = model(**texts(), early_exit=EarlyExitConfig(thresholds={2: threshold}, deadline_ms=0))
    assert late.exit_layer.tolist() == [0] * BATCH


def test_a_segment_that_would_take_too_long_is_not_begun(directory):
    """All that is known are passes of one token, each of which takes as long as many do together."""
    model = DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact")
    seconds = []
    for _ in range(2):
        model(**texts(1, 1), early_exit=EarlyExitConfig(deadline_ms=HUGE))
        seconds.append(model.last_stats.segment_seconds[1])
    inputs = texts(128, 64)
    needed = 128 * 64 * min(seconds)
    found = model(**inputs, early_exit=EarlyExitConfig(deadline_ms=500 * needed))
    assert found.exit_layer.tolist() == [0] * 128
    assert model.last_stats.out_of_time == 128
    assert model.last_stats.total_seconds < needed / 2, "the time was not over"


def test_samples_that_an_exit_has_no_answer_for_go_on(model, directory, tmp_path):
    from tests.encoder_heads import random_encoder_heads

    heads = random_encoder_heads(directory, [0], tmp_path, scale=float("nan"))
    broken = DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact", heads=heads)
    found = broken(**texts(), early_exit=EarlyExitConfig(deadline_ms=0))
    assert found.exit_layer.tolist() == [1] * BATCH
    assert not found.logits.isnan().any()


def test_embeddings(tiny_encoder):
    model = DynExecModelForFeatureExtraction.from_pretrained(
        tiny_encoder("bert", "feature-extraction"), precision="exact", exit_layers=[0, 1]
    )
    found = model(**texts(), early_exit=EarlyExitConfig(deadline_ms=0))
    assert found.exit_layer.tolist() == [0] * BATCH
    expected = model(**texts(), early_exit=EarlyExitConfig("settled", 1.0, deadline_ms=HUGE))
    assert set(expected.exit_layer.tolist()) == {3}
    torch.testing.assert_close(expected.last_hidden_state, model(**texts()).last_hidden_state, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "5", True])
def test_what_is_no_deadline(value):
    with pytest.raises(ValueError, match="`deadline_ms` must be a number of milliseconds of 0 or more"):
        EarlyExitConfig(deadline_ms=value)


def test_a_threshold_or_a_deadline():
    assert EarlyExitConfig(deadline_ms=5).thresholds_for([1, 2]) == [float("inf")] * 2
    with pytest.raises(ValueError, match="Only with `deadline_ms` may both be left out"):
        EarlyExitConfig()
    with pytest.raises(ValueError, match="give either `threshold`"):
        EarlyExitConfig(threshold=0.5, thresholds={1: 0.5}, deadline_ms=5)


def test_where_there_is_no_deadline(model, directory):
    with pytest.raises(ValueError, match="`deadline_ms` is for calls"):
        next(model.stream([{"input_ids": [1]}], early_exit=EarlyExitConfig(deadline_ms=5)))
    with pytest.raises(ValueError, match="cannot measure time"):
        export_single_ir(directory, EarlyExitConfig(threshold=0.5, deadline_ms=5))
    with pytest.raises(ValueError, match="is for encoders"):
        early_exit_params(EarlyExitConfig(deadline_ms=5), SimpleNamespace(exit_heads={1: None}), directory)
    with pytest.raises(ValueError, match="the torch backend does not support"):
        criterion_of(EarlyExitConfig(deadline_ms=5), [1], directory)
