"""What is found in a backbone's graph is what the checkpoint holds."""

import numpy as np
import openvino as ov
import pytest
import torch
import transformers
from openvino import opset13 as ops

from optimum_dynexec.graph import backbone as backbone_graph
from tests.tiny_models import LAYERS, TINY_DECODERS, build_tokenizer


FAMILIES = sorted(TINY_DECODERS)
QUANTIZED = {"fp32": 0.0, "fp16": 1e-3, "int8": 0.02, "int4": 0.25}


def read(directory) -> ov.Model:
    return ov.Core().read_model(directory / "openvino_model.xml")


@pytest.fixture
def checkpoint(tiny_hf):
    return lambda name, **options: transformers.AutoModelForCausalLM.from_pretrained(tiny_hf(name, **options)).eval()


@pytest.mark.parametrize("name", FAMILIES)
def test_unembedding_and_embedding_of_every_family(name, tiny_export, checkpoint):
    hf, model = checkpoint(name), read(tiny_export(name))
    np.testing.assert_array_equal(backbone_graph.unembedding(model), hf.get_output_embeddings().weight.detach())
    table = backbone_graph.embedding_matrix(model)
    expected = hf.get_input_embeddings()(torch.arange(len(build_tokenizer()))).detach()
    if name == "bloom":
        # Its embeddings are normalised before anything else is done with them.
        expected = hf.transformer.word_embeddings_layernorm(expected).detach()
    np.testing.assert_allclose(table, expected, atol=1e-5)
    # The model itself is as it was.
    assert [output.get_any_name() for output in model.outputs] == ["logits"]
    ov.Core().compile_model(model, "CPU")


@pytest.mark.parametrize("weight_format", QUANTIZED)
@pytest.mark.parametrize("name", ["llama", "qwen2"])  # the second has one tied matrix
def test_compressed_weights(name, weight_format, tiny_export, checkpoint):
    hf, model = checkpoint(name), read(tiny_export(name, weight_format))
    layer = hf.model.layers[1]
    for found, weight in [
        (backbone_graph.unembedding(model), hf.lm_head.weight),
        (backbone_graph.embedding_matrix(model), hf.model.embed_tokens.weight),
        (
            backbone_graph.named_weight(model, "self.model.layers.1.self_attn.q_proj.weight"),
            layer.self_attn.q_proj.weight,
        ),
        (backbone_graph.named_weight(model, "self.model.layers.1.mlp.down_proj.weight"), layer.mlp.down_proj.weight),
    ]:
        expected = weight.detach().numpy()
        assert found.dtype == np.float32
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= QUANTIZED[weight_format] * np.abs(expected).max()
    assert backbone_graph.named_weight(model, "self.model.layers.9.mlp.down_proj.weight") is None


def test_weights_of_norms(tiny_export, tiny_hf, tmp_path):
    from optimum_dynexec import export_dynexec

    hf = transformers.AutoModelForCausalLM.from_pretrained(tiny_hf("llama"))
    norms = [
        hf.model.norm,
        *(n for layer in hf.model.layers for n in (layer.input_layernorm, layer.post_attention_layernorm)),
    ]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight)
    hf.save_pretrained(tmp_path / "hf")
    build_tokenizer().save_pretrained(tmp_path / "hf")
    for weight_format in ("fp32", "int8"):
        export_dynexec(tmp_path / "hf", tmp_path / weight_format, weight_format=weight_format)
        model = read(tmp_path / weight_format)
        for product, norm in [
            (None, hf.model.norm),
            ("self.model.layers.1.self_attn.q_proj.weight", hf.model.layers[1].input_layernorm),
            ("self.model.layers.1.mlp.up_proj.weight", hf.model.layers[1].post_attention_layernorm),
        ]:
            found = backbone_graph.norm_weight_before(model, product)
            np.testing.assert_allclose(found, norm.weight.detach(), atol=1e-6)
        assert backbone_graph.norm_weight_before(model, "self.model.layers.0.self_attn.o_proj.weight") is None
        assert backbone_graph.norm_weight_before(model, "elsewhere") is None


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "gpt_neox"])
def test_last_hidden_states(name, tiny_export, checkpoint):
    model = read(tiny_export(name))
    hf = checkpoint(name)
    model.add_results([ops.result(backbone_graph.last_hidden_states(model))])
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ids = np.array([[5, 6, 7, 8]])
    feed = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "position_ids": np.arange(4)[None],
        "beam_idx": np.zeros(1, np.int32),
    }
    names = {value.get_any_name() for value in compiled.inputs}
    found = compiled.create_infer_request().infer({k: v for k, v in feed.items() if k in names})[1]
    with torch.no_grad():
        expected = hf(torch.tensor(ids), output_hidden_states=True).hidden_states[-1]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def with_tail(model: ov.Model, tail) -> ov.Model:
    (result,) = model.get_results()
    value = tail(result.input_value(0))
    value.output(0).set_names({"logits"})
    return ov.Model([ops.result(value)], model.get_sinks(), model.get_parameters(), "tail")


@pytest.mark.parametrize(
    ("tail", "named"),
    [
        (lambda value: ops.add(value, np.float32(1)), "Add"),
        (lambda value: ops.multiply(ops.tanh(value), np.float32(30)), "Tanh and Multiply"),
    ],
)
def test_logits_that_are_more_than_a_product_are_refused(tail, named, tiny_export):
    model = with_tail(read(tiny_export("llama")), tail)
    with pytest.raises(ValueError, match=f"{named} comes after"):
        backbone_graph.unembedding(model)
    assert backbone_graph.last_hidden_states(model).get_partial_shape()[-1] == 64


def test_an_embedding_and_logits_that_are_scaled(tiny_hf, tmp_path):
    from optimum_dynexec import export_dynexec

    config = transformers.GraniteConfig(
        vocab_size=len(build_tokenizer()),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        embedding_multiplier=8.0,
        logits_scaling=4.0,
    )
    hf = transformers.GraniteForCausalLM(config)
    hf.save_pretrained(tmp_path / "hf")
    build_tokenizer().save_pretrained(tmp_path / "hf")
    export_dynexec(tmp_path / "hf", tmp_path / "ov", weight_format="int8")
    model = read(tmp_path / "ov")
    expected = 8 * hf.model.embed_tokens.weight.detach().numpy()
    assert np.abs(backbone_graph.embedding_matrix(model) - expected).max() <= 0.02 * np.abs(expected).max()
    with pytest.raises(ValueError, match="comes after it"):
        backbone_graph.unembedding(model)
