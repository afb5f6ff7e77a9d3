"""Weight formats of heads: what they compute stays nearly the same, and what they weigh does not."""

import numpy as np
import openvino as ov
import pytest

from optimum_dynexec.heads.ir import build_head_ir, head_config
from optimum_dynexec.heads.weight_formats import is_compressed, with_weight_format
from tests.heads.reference import random_head


F32 = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}


def logits(model: ov.Model) -> np.ndarray:
    rng = np.random.default_rng(1)
    feed = {
        "dynexec.hidden_states": rng.normal(size=(1, 7, 48)).astype(np.float32),
        "inputs_embeds": rng.normal(size=(1, 7, 48)).astype(np.float32),
        "position_ids": np.arange(7, dtype=np.int64)[None],
        "beam_idx": np.zeros(1, np.int32),
    }
    names = {name for value in model.inputs for name in value.get_names()}
    request = ov.Core().compile_model(model, "CPU", F32).create_infer_request()
    return request.infer({name: value for name, value in feed.items() if name in names})["logits"]


def types(model: ov.Model) -> set[str]:
    products = [node.input_value(1).get_node() for node in model.get_ops() if node.get_type_name() == "MatMul"]
    found = set()
    for node in products:
        while node.get_type_name() in ("Convert", "Multiply", "Subtract", "Reshape"):
            node = node.input_value(0).get_node()
        if node.get_type_name() == "Constant":
            found.add(node.get_output_element_type(0).to_string())
    return found


@pytest.mark.parametrize("kind", ["draft", "block", "adapter", "norm"])
def test_formats(kind):
    model = build_head_ir(*random_head(kind))
    reference = logits(model)
    spread = reference.std()
    for form, stored, error in (("int8", {"i8"}, 0.03), ("int4", {"i4"}, 0.4), ("fp32", {"f32"}, 1e-6)):
        made = with_weight_format(model, form)
        assert types(made) == stored
        assert is_compressed(made) == (form != "fp32")
        assert head_config(made) == head_config(model)
        difference = np.abs(logits(made) - reference).mean() / spread
        assert difference < error
        if form == "int4":
            assert difference > 0.03
    assert types(model) == {"f32"}


def test_from_a_compressed_head():
    shape, tensors, matrix = random_head("draft")
    in_8_bits = build_head_ir(shape, tensors, matrix, weight_format="int8")
    back = with_weight_format(in_8_bits, "fp32")
    assert types(back) == {"f32"}
    np.testing.assert_allclose(logits(back), logits(in_8_bits), atol=1e-4)
    in_4_bits = with_weight_format(in_8_bits, "int4")
    assert types(in_4_bits) == {"i4"}
    # Compressed by NNCF, they can be changed once more.
    assert types(with_weight_format(in_4_bits, "int8")) == {"i8"}
    with pytest.raises(ValueError, match="`weight_format` must be one of"):
        with_weight_format(in_8_bits, "int3")
