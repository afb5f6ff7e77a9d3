"""Heads are attached to encoders that they fit, and to no other."""

import shutil

import numpy as np
import pytest

from optimum_dynexec.directory import attach_heads
from optimum_dynexec.heads import DecoderHeadConfig, EncoderHeadConfig, save_head
from optimum_dynexec.heads.tensors import tensor_shapes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 3}, "has no such exit"),
        ({"hidden_size": 16}, "its `hidden_size` is 16, but layer 0 of the model needs 32"),
        ({"num_labels": 5}, "its `num_labels` is 5"),
        ({"kind": "token"}, "its `kind` is 'token'"),
        ({"layout": "nchw", "pooling": "mean"}, "its `layout` is 'nchw'"),
        ({"pooling": "mean"}, "needs `masked=True`"),
        (
            {"kind": "norm", "vocab_size": 7},
            "of kind 'norm', which a model for the task 'text-classification' has not",
        ),
    ],
)
def test_heads_that_do_not_fit(tiny_encoder, tmp_path, options, message):
    directory = tmp_path / "model"
    shutil.copytree(tiny_encoder("bert"), directory)
    before = (directory / "dynexec_config.json").read_text()
    if "vocab_size" in options:
        config = DecoderHeadConfig(layer=0, hidden_size=32, **options)
    else:
        config = EncoderHeadConfig(**{"kind": "pooled", "layer": 0, "hidden_size": 32, "num_labels": 3, **options})
    tensors = {name: np.ones(shape, np.float32) for name, shape in tensor_shapes(config, 7).items()}
    if config.kind == "norm":
        tensors["token_ids"] = np.arange(7)
    save_head(config, tensors, tmp_path / "head.safetensors")
    with pytest.raises(ValueError, match=message):
        attach_heads(directory, tmp_path / "head.safetensors")
    assert (directory / "dynexec_config.json").read_text() == before
