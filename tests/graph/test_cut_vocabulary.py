"""The logits of a part of a vocabulary are those that the whole model computes."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from optimum_dynexec.graph.cut_vocabulary import cut_vocabulary
from tests.graph.test_merged_products import CONFIG, WEIGHTS, WIDTH, packed, weights


VOCABULARY = 96
TOKENS = [95, 3, 4, 17, 0]


def build(weight, bias=None, transpose_b=True):
    hidden = ops.parameter([-1, 1, WIDTH], np.float32, name="hidden")
    logits = ops.matmul(hidden, weight, False, transpose_b)
    if bias is not None:
        logits = ops.add(logits, bias)
    logits = ops.tanh(logits)
    logits.output(0).set_names({"logits"})
    return ov.Model([ops.result(logits)], [hidden], "unembedding")


def logits_of(model):
    hidden = np.random.default_rng(0).standard_normal((4, 1, WIDTH)).astype(np.float32) / 8
    return ov.Core().compile_model(model, "CPU", CONFIG)(hidden)["logits"]


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("with_bias", [False, True])
def test_logits_stay(kind, with_bias):
    bias = ops.constant(np.random.default_rng(1).standard_normal(VOCABULARY).astype(np.float32)) if with_bias else None
    model = build(weights(kind, VOCABULARY, 0), bias)
    whole = logits_of(model)
    cut_vocabulary(model, TOKENS)
    assert model.output("logits").get_partial_shape()[-1].get_length() == len(TOKENS)
    np.testing.assert_allclose(logits_of(model), whole[..., TOKENS], rtol=1e-5, atol=1e-6)


def test_compressed_weights_stay_compressed():
    model = build(weights("u4_groups", VOCABULARY, 0))
    before = {str(node.get_output_element_type(0)) for node in model.get_ops() if node.get_type_name() == "Constant"}
    cut_vocabulary(model, TOKENS)
    after = {str(node.get_output_element_type(0)) for node in model.get_ops() if node.get_type_name() == "Constant"}
    assert before == after


def test_an_unembedding_without_rows_is_refused():
    value = ops.transpose(weights("f32", VOCABULARY, 0), ops.constant([1, 0], np.int64))
    with pytest.raises(ValueError, match="cannot be cut: its unembedding has no row for each token"):
        cut_vocabulary(build(value, transpose_b=False), TOKENS)
    with pytest.raises(ValueError, match="has no row for each token"):
        cut_vocabulary(build(weights("f32", VOCABULARY, 0)), [VOCABULARY])


def test_rows_that_end_inside_a_byte_are_refused():
    values = ops.convert(packed(np.zeros((VOCABULARY, 3), np.uint8), ov.Type.u4), "f32")
    hidden = ops.parameter([-1, 3], np.float32, name="hidden")
    logits = ops.matmul(hidden, values, False, True)
    logits.output(0).set_names({"logits"})
    with pytest.raises(ValueError, match="end inside a byte"):
        cut_vocabulary(ov.Model([ops.result(logits)], [hidden], "odd"), TOKENS)
