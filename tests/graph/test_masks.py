"""Paging is refused wherever it would change what is attended to."""

import openvino as ov
import pytest
from openvino import opset13 as ops
from openvino._offline_transformations import paged_attention_transformation

from optimum_dynexec.graph.errors import NotPageableError
from optimum_dynexec.graph.masks import ALIBI_SLOPES, SLIDING_WINDOW, check_masks
from optimum_dynexec.graph.paging import to_paged
from tests.tiny_models import SLIDING_WINDOW as WINDOW


def read(directory) -> ov.Model:
    return ov.Core().read_model(directory / "openvino_model.xml")


def page(model: ov.Model) -> ov.Model:
    """The transformation alone, unchecked."""
    paged = model.clone()
    paged_attention_transformation(paged)
    return paged


def attentions(model: ov.Model) -> list[ov.Node]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() == "PagedAttentionExtension"]


def test_model_is_left_as_it_is(tiny_export):
    model = read(tiny_export("mistral"))
    before = [(node.get_type_name(), node.get_friendly_name()) for node in model.get_ordered_ops()]
    to_paged(model)
    assert [(node.get_type_name(), node.get_friendly_name()) for node in model.get_ordered_ops()] == before
    assert sorted(value.get_any_name() for value in model.inputs) == [
        "attention_mask",
        "beam_idx",
        "input_ids",
        "position_ids",
    ]


def test_dropped_local_attention_is_noticed(tiny_export):
    """Layer 1 of this model has a window that OpenVINO's transformation drops."""
    model = read(tiny_export("gpt_neo"))
    check = "does not keep the mask of layer 1"
    with pytest.raises(NotPageableError, match=check):
        to_paged(model)
    with pytest.raises(NotPageableError, match=check):
        check_masks(model, page(model))


@pytest.mark.parametrize("window", [0, WINDOW - 1, WINDOW + 1])
def test_other_window_is_noticed(tiny_export, window):
    model = read(tiny_export("mistral"))
    paged = page(model)
    check_masks(model, paged)
    attentions(paged)[2].input(SLIDING_WINDOW).replace_source_output(ops.constant(window, ov.Type.i32).output(0))
    with pytest.raises(NotPageableError, match="mask of layer 2"):
        check_masks(model, paged)


def test_window_where_there_is_none_is_noticed(tiny_export):
    """However long: it is compared over thousands of tokens."""
    model = read(tiny_export("llama"))
    paged = page(model)
    attentions(paged)[0].input(SLIDING_WINDOW).replace_source_output(ops.constant(8192, ov.Type.i32).output(0))
    with pytest.raises(NotPageableError, match="mask of layer 0"):
        check_masks(model, paged)


@pytest.mark.parametrize("slopes", [[], [0.5, 0.25, 0.125, 0.0625]])
def test_other_alibi_slopes_are_noticed(tiny_export, slopes):
    model = read(tiny_export("bloom"))
    paged = page(model)
    check_masks(model, paged)
    attentions(paged)[1].input(ALIBI_SLOPES).replace_source_output(ops.constant(slopes, ov.Type.f32).output(0))
    with pytest.raises(NotPageableError, match="mask of layer 1"):
        check_masks(model, paged)


def test_missing_attention_is_noticed(tiny_export):
    with pytest.raises(NotPageableError, match="the model has 3 attentions, but only 2 are paged"):
        check_masks(read(tiny_export("llama")), page(read(tiny_export("gpt_neo"))))


def test_reason_for_other_attention_is_openvinos_own(tiny_export):
    with pytest.raises(NotPageableError, match="No ScaledDotProductAttention operation observed"):
        to_paged(read(tiny_export("xglm")))
