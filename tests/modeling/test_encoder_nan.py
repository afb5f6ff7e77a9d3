"""Inputs for which the model computes NaN: nothing leaves on them, and nobody else notices."""

import numpy as np
import openvino.opset13 as ops
import pytest
import torch

from optimum_dynexec import DynExecModelForSequenceClassification, EarlyExitConfig


POISON = 299
ALWAYS, NEVER = EarlyExitConfig(threshold=0.0), EarlyExitConfig("patience", 99)


def poisoned(directory) -> DynExecModelForSequenceClassification:
    """A model that computes NaN from the token `POISON` on."""
    model = DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact", compile=False)
    (table,) = [
        node
        for node in model.model.get_ops()
        if node.get_type_name() == "Constant" and node.get_friendly_name().endswith("word_embeddings.weight")
    ]
    values = np.array(table.data, np.float32)
    values[POISON] = np.nan
    table.output(0).replace(ops.constant(values).output(0))
    return model


@pytest.fixture(scope="module")
def model(tiny_encoder):
    return poisoned(tiny_encoder("bert"))


@pytest.fixture(scope="module")
def inputs():
    ids = torch.randint(3, POISON, (5, 9), generator=torch.Generator().manual_seed(2))
    ids[1, 4] = ids[4, 0] = POISON
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def test_full_model(model, inputs):
    """As `OVModelFor…` gives them, and not sure of anything."""
    plain = model(**inputs)
    assert plain.logits.isnan().all(1).tolist() == [False, True, False, False, True]
    found = model(**inputs, early_exit=NEVER)
    torch.testing.assert_close(found.logits, plain.logits, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert found.confidence.isnan().tolist() == [False, True, False, False, True]
    assert found.exit_layer.tolist() == [3] * 5


@pytest.mark.parametrize("early_exit", [ALWAYS, EarlyExitConfig(deadline_ms=0), EarlyExitConfig("entropy", 9.0)])
def test_exits(model, inputs, early_exit):
    found = model(**inputs, early_exit=early_exit)
    assert found.exit_layer.tolist() == [0, 3, 0, 0, 3]
    assert found.logits.isnan().all(1).tolist() == [False, True, False, False, True]
    alone = model(**{name: value[[0, 2, 3]] for name, value in inputs.items()}, early_exit=early_exit)
    torch.testing.assert_close(found.logits[[0, 2, 3]], alone.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.confidence[[0, 2, 3]], alone.confidence, rtol=1e-4, atol=1e-4)


def test_streams(model, inputs):
    samples = [{name: value[i] for name, value in inputs.items()} for i in range(5)]
    found = list(model.stream(samples, batch_size=2, early_exit=ALWAYS))
    assert [int(output.exit_layer) for output in found] == [0, 3, 0, 0, 3]
    assert [bool(output.confidence.isnan()) for output in found] == [False, True, False, False, True]
