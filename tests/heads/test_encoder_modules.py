"""The heads in torch compute what their OpenVINO models do."""

import numpy as np
import openvino as ov
import pytest
import torch

from optimum_dynexec.heads import EncoderHeadConfig
from optimum_dynexec.heads.ir import build_head_ir
from optimum_dynexec.heads.modules.encoder import EncoderHeadModule


SHAPES = {"tokens": (3, 5, 8), "nchw": (3, 8, 4, 2), "nhwc": (3, 4, 2, 8)}


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "pooled", "num_labels": 4, "pooling": "cls", "dense_size": 8, "activation": "tanh"},
        {"kind": "pooled", "num_labels": 4, "pooling": "mean", "masked": True, "layer_norm": True, "certainty": True},
        {"kind": "pooled", "num_labels": 4, "pooling": "mean", "dense_size": 6, "activation": "gelu"},
        {
            "kind": "pooled",
            "num_labels": 4,
            "pooling": "mean",
            "layout": "nchw",
            "dense_size": 6,
            "activation": "relu",
        },
        {"kind": "pooled", "num_labels": 4, "pooling": "mean", "layout": "nhwc", "layer_norm": True},
        {"kind": "token", "num_labels": 4, "layer_norm": True, "dense_size": 6},
        {"kind": "span", "num_labels": 2},
        {"kind": "features", "num_labels": 8, "layer_norm": True},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_same_as_the_openvino_model(options):
    config = EncoderHeadConfig(layer=1, hidden_size=8, **options)
    torch.manual_seed(0)
    head = EncoderHeadModule(config, dropout=0.5).eval()
    for parameter in head.parameters():
        parameter.data.normal_()
    states = torch.randn(SHAPES[config.layout])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])

    compiled = ov.Core().compile_model(
        build_head_ir(config, head.tensors()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    feed = {"dynexec.hidden_states": states.numpy(), **({"attention_mask": mask.numpy()} if config.masked else {})}
    result = compiled(feed)
    found = {value.get_any_name(): result[value] for value in compiled.outputs}

    with torch.no_grad():
        pooled = head.pool(states, mask)
        logits = head(pooled).numpy()
        certainty = head.certainty_logit(pooled).sigmoid().numpy() if config.certainty else None
    if config.kind == "span":
        np.testing.assert_allclose(found["start_logits"], logits[..., 0], atol=1e-5)
        np.testing.assert_allclose(found["end_logits"], logits[..., 1], atol=1e-5)
    else:
        name = "last_hidden_state" if config.kind == "features" else "logits"
        np.testing.assert_allclose(found[name], logits, atol=1e-5)
    if certainty is not None:
        np.testing.assert_allclose(found["dynexec.certainty"][:, 0], certainty, atol=1e-5)


def test_a_masked_head_without_a_mask():
    head = EncoderHeadModule(
        EncoderHeadConfig(kind="pooled", layer=0, hidden_size=8, num_labels=2, pooling="mean", masked=True)
    )
    with pytest.raises(ValueError, match="pools with an attention mask"):
        head.pool(torch.zeros(1, 2, 8))
