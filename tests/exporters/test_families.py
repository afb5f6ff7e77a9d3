"""Every family, exported from a tiny random model: it loads everywhere, and the layer boundaries are what they say."""

import json

import numpy as np
import openvino as ov
import openvino_genai
import pytest
import torch
from optimum.intel import OVModelForCausalLM
from transformers import AutoModelForCausalLM

from optimum_dynexec import DynExecConfig
from optimum_dynexec.directory.marking import read_boundaries
from optimum_dynexec.graph.boundaries import find_layer_boundaries
from optimum_dynexec.graph.paging import to_paged
from tests.tiny_models import TEXT, TINY_DECODERS, UNPAGEABLE, UNSEGMENTABLE


FAMILIES = sorted(TINY_DECODERS)
SEGMENTABLE = [name for name in FAMILIES if name not in UNSEGMENTABLE]
PAGEABLE = [name for name in FAMILIES if name not in UNPAGEABLE]
# Longer than the sliding windows.
PROMPT = TEXT[0]
NEW_TOKENS = 24


def read(directory) -> ov.Model:
    return ov.Core().read_model(directory / "openvino_model.xml")


def layers_of(model: torch.nn.Module) -> torch.nn.ModuleList:
    (layers,) = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == model.config.num_hidden_layers
    ]
    return layers


@pytest.fixture(scope="module")
def reference(tiny_hf, tiny_tokenizer):
    """What transformers computes: greedy tokens, and the output of each layer for the prompt."""
    made = {}

    def get(name: str):
        if name not in made:
            model = AutoModelForCausalLM.from_pretrained(tiny_hf(name), dtype=torch.float32).eval()
            inputs = tiny_tokenizer(PROMPT, return_tensors="pt", return_token_type_ids=False)
            hidden: list[torch.Tensor] = []

            def keep(_module, _inputs, output):
                hidden.append(output[0] if isinstance(output, tuple) else output)

            hooks = []
            for layer in layers_of(model):
                hooks.append(layer.register_forward_hook(keep))
            with torch.no_grad():
                model(**inputs)
            for hook in hooks:
                hook.remove()
            tokens = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
            made[name] = inputs, tokens[0, inputs["input_ids"].shape[1] :].tolist(), [h.numpy() for h in hidden]
        return made[name]

    return get


@pytest.mark.parametrize("name", FAMILIES)
def test_optimum_intel_generates_the_same_tokens(name, tiny_export, reference, exact_ov_config):
    inputs, tokens, _ = reference(name)
    assert len(set(tokens)) > 3, "a model that repeats itself shows little"
    model = OVModelForCausalLM.from_pretrained(tiny_export(name), ov_config=exact_ov_config)
    generated = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    assert generated[0, inputs["input_ids"].shape[1] :].tolist() == tokens


@pytest.mark.parametrize("name", FAMILIES)
def test_openvino_genai_generates_the_same_tokens(name, tiny_export, reference, exact_ov_config):
    inputs, tokens, _ = reference(name)
    # Its paged backend refuses some of what cannot be paged and gives wrong tokens for the rest; its other is right.
    backend = "SDPA" if name in UNPAGEABLE else "PA"
    pipeline = openvino_genai.LLMPipeline(tiny_export(name), "CPU", ATTENTION_BACKEND=backend, **exact_ov_config)
    settings = openvino_genai.GenerationConfig(max_new_tokens=NEW_TOKENS, do_sample=False, apply_chat_template=False)
    generated = pipeline.generate(ov.Tensor(inputs["input_ids"].numpy()), settings).tokens[0]
    # It leaves the end-of-text token out.
    assert list(generated) == [token for token in tokens if token != pipeline.get_tokenizer().get_eos_token_id()]


def test_openvino_genai_takes_text(tiny_export, tiny_tokenizer, reference, exact_ov_config):
    _, tokens, _ = reference("llama")
    pipeline = openvino_genai.LLMPipeline(tiny_export("llama"), "CPU", **exact_ov_config)
    settings = openvino_genai.GenerationConfig(max_new_tokens=NEW_TOKENS, do_sample=False, apply_chat_template=False)
    assert str(pipeline.generate(PROMPT, settings)) == tiny_tokenizer.decode(tokens, skip_special_tokens=True)


@pytest.mark.parametrize("name", FAMILIES)
def test_configuration_and_marks_say_the_same(name, tiny_export):
    config = DynExecConfig.from_pretrained(tiny_export(name))
    marks = read_boundaries(read(tiny_export(name)))
    assert list(config.hidden_state_names.values()) == marks
    layers = json.loads((tiny_export(name) / "config.json").read_text())
    count = next(layers[key] for key in ("num_hidden_layers", "n_layer", "num_layers") if key in layers)
    assert len(marks) == (0 if name in UNSEGMENTABLE else count)
    assert config.pageable == (name not in UNPAGEABLE)
    assert (config.pageable_reason is None) == config.pageable
    assert {"openvino", "optimum-intel", "transformers", "torch", "optimum-dynexec"} == set(config.versions)


@pytest.mark.parametrize("name", SEGMENTABLE)
def test_boundaries_carry_the_hidden_states(name, tiny_export, reference):
    inputs, _, hidden = reference(name)
    model = read(tiny_export(name))
    marks = read_boundaries(model)
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
    model.add_outputs([nodes[mark].output(0) for mark in marks])
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    length = inputs["input_ids"].shape[1]
    feed = {
        "input_ids": inputs["input_ids"].numpy(),
        "attention_mask": inputs["attention_mask"].numpy(),
        "position_ids": np.arange(length)[None],
        "beam_idx": np.zeros(1, np.int32),
    }
    known = {value.get_any_name() for value in compiled.inputs}
    outputs = compiled({key: value for key, value in feed.items() if key in known})
    assert len(hidden) == len(marks)
    for layer, expected in enumerate(hidden):
        found = outputs[layer + 1].reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("name", "form"), [(name, "stateful") for name in SEGMENTABLE] + [(name, "paged") for name in PAGEABLE]
)
def test_nothing_but_shapes_goes_around_a_boundary(name, form, tiny_export):
    """With the graph cut after a layer, no token reaches the logits."""
    model = read(tiny_export(name))
    marks = read_boundaries(model)
    if form == "paged":
        model = to_paged(model)
    for mark in marks:
        seen, stack = set(), [model.get_results()[0]]
        while stack:
            node = stack.pop()
            if node.get_name() in seen or node.get_friendly_name() == mark or node.get_type_name() == "ShapeOf":
                continue
            seen.add(node.get_name())
            stack += [value.get_node() for value in node.input_values()]
            assert "input_ids" not in (node.output(0).get_names() if node.get_type_name() == "Parameter" else ())


@pytest.mark.parametrize("name", PAGEABLE)
def test_paging_keeps_the_names(name, tiny_export):
    model = read(tiny_export(name))
    paged = to_paged(model)
    assert find_layer_boundaries(paged) == find_layer_boundaries(model) == read_boundaries(model)
    nodes = {node.get_friendly_name(): node for node in paged.get_ops()}
    for mark in read_boundaries(model):
        assert nodes[mark].get_output_partial_shape(0)[-1] == 64


@pytest.mark.parametrize("weight_format", ["fp16", "int8", "int4"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_compressed_weights_keep_the_boundaries(name, weight_format, tiny_export):
    directory = tiny_export(name, weight_format)
    model = read(directory)
    assert read_boundaries(model) == read_boundaries(read(tiny_export(name)))
    assert find_layer_boundaries(model) == read_boundaries(model)
    size = (directory / "openvino_model.bin").stat().st_size
    assert size < 0.75 * (tiny_export(name) / "openvino_model.bin").stat().st_size
    constants = {node.get_element_type().to_string() for node in model.get_ops() if node.get_type_name() == "Constant"}
    assert {"fp16": "f16", "int8": "u8", "int4": "u4"}[weight_format] in constants
    OVModelForCausalLM.from_pretrained(directory)
