"""`DynExecModelForCausalLM` takes the place of `OVModelForCausalLM`."""

import pytest
import torch
from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig
from transformers import pipeline

from optimum_dynexec import DynExecModelForCausalLM, DynExecModelForSequenceClassification
from tests.tiny_models import TEXT, UNPAGEABLE


FAMILIES = ["llama", "qwen2", "qwen3", "mistral", "phi3", "gpt2", "gpt_neox", "opt"]


def load(directory, **options):
    return DynExecModelForCausalLM.from_pretrained(directory, **{"precision": "exact", **options})


@pytest.fixture
def prompt(encode):
    return {**encode(TEXT[0]), "max_new_tokens": 12, "do_sample": False}


@pytest.mark.parametrize("name", FAMILIES)
def test_forward_equals_optimum_intel(name, tiny_model, plain_model, encode):
    inputs = encode(*TEXT[:2])
    ours, theirs = tiny_model(name)(**inputs), plain_model(name)(**inputs)
    torch.testing.assert_close(ours.logits, theirs.logits)


@pytest.mark.parametrize("name", FAMILIES)
def test_it_is_the_class_of_optimum_intel_and_ours(name, tiny_model, plain_model):
    """optimum-intel has classes of its own for some families."""
    model = tiny_model(name)
    assert isinstance(model, DynExecModelForCausalLM)
    assert isinstance(model, type(plain_model(name)))
    assert type(model).__name__ == "DynExecModelForCausalLM"
    assert type(model).from_pretrained.__func__ is DynExecModelForCausalLM.from_pretrained.__func__


def test_the_engine_agrees_with_forward(tiny_model, encode):
    """One greedy token, by hand."""
    model, inputs = tiny_model("llama"), encode(TEXT[0])
    token = model(**inputs).logits[0, -1].argmax()
    assert model.generate(**inputs, max_new_tokens=1, do_sample=False)[0, -1] == token


def test_the_plain_model_of_optimum_intel_can_be_asked(tiny_export, plain_model, prompt):
    """`request` is what optimum-intel's users ask for properties; the plain model is not compiled before."""
    model = load(tiny_export("llama"))
    assert model.__dict__["request"] is None
    ours, theirs = (m.request.get_compiled_model() for m in (model, plain_model("llama")))
    assert ours.get_property("INFERENCE_PRECISION_HINT") == theirs.get_property("INFERENCE_PRECISION_HINT")
    assert {o.any_name for o in ours.outputs} == {o.any_name for o in theirs.outputs}
    request = model.request
    model.forward(prompt["input_ids"])
    assert model.request is request
    model.clear_requests()
    assert model.__dict__["request"] is None


def test_to_compiles_anew(tiny_export, prompt):
    model = load(tiny_export("llama"))
    expected, engine = model.generate(**prompt), model.engine
    assert model.to("cpu") is model
    assert torch.equal(model.generate(**prompt), expected)
    assert model.engine is not engine
    assert str(model.device) == "cpu"


def test_compilation_can_wait(tiny_export, tiny_model, prompt):
    model = load(tiny_export("llama"), compile=False)
    assert model._engine is None
    assert torch.equal(model.generate(**prompt), tiny_model("llama").generate(**prompt))
    model.compile()
    assert torch.equal(model.generate(**prompt), tiny_model("llama").generate(**prompt))


def test_reshape_keeps_a_decoder_dynamic(tiny_export, tiny_model, prompt):
    model = load(tiny_export("llama"))
    assert model.reshape(1, 16) is model
    assert torch.equal(model.generate(**prompt), tiny_model("llama").generate(**prompt))


def test_half_still_generates(tiny_export, prompt):
    model = load(tiny_export("llama"), compile=False)
    model.half()
    assert model.generate(**prompt).shape[1] == prompt["input_ids"].shape[1] + 12


def test_transformers_pipeline(tiny_model, torch_model, tiny_tokenizer):
    arguments = {"max_new_tokens": 10, "do_sample": False, "return_full_text": False}
    ours = pipeline("text-generation", model=tiny_model("gpt2"), tokenizer=tiny_tokenizer)
    theirs = pipeline("text-generation", model=torch_model("gpt2"), tokenizer=tiny_tokenizer)
    texts = [*TEXT[:2], "a"]
    assert ours(texts, **arguments) == theirs(texts, **arguments)
    assert ours(texts, batch_size=3, **arguments) == theirs(texts, **arguments)
    assert ours(TEXT[0], prompt_lookup_num_tokens=4, **arguments) == theirs(TEXT[0], **arguments)


@pytest.mark.parametrize("name", ["llama", "phi3"])
def test_export_on_loading(name, tiny_hf, tiny_model, prompt):
    model = load(tiny_hf(name), export=True, exit_layers=[1])
    assert isinstance(model, DynExecModelForCausalLM)
    assert model.engine.paged_model.num_segments == 2
    assert torch.equal(model.generate(**prompt), tiny_model(name).generate(**prompt))


@pytest.mark.parametrize(
    "options",
    [{"load_in_8bit": True}, {"quantization_config": OVWeightQuantizationConfig(bits=8)}],
    ids=["load_in_8bit", "quantization_config"],
)
def test_quantization_on_loading(options, tiny_hf, prompt, tmp_path):
    model = load(tiny_hf("llama"), export=True, **options)
    constants = {op.get_element_type().to_string() for op in model.model.get_ops() if op.get_type_name() == "Constant"}
    assert "u8" in constants
    expected = model.generate(**prompt, speculation="off")
    assert torch.equal(model.generate(**prompt, prompt_lookup_num_tokens=5), expected)
    model.save_pretrained(tmp_path)
    assert torch.equal(load(tmp_path).generate(**prompt), expected)


def test_fast_is_the_default_and_exact_is_float32(tiny_export):
    assert "INFERENCE_PRECISION_HINT" not in load(tiny_export("llama"), precision="fast", compile=False).ov_config
    exact = load(tiny_export("llama"), compile=False).ov_config
    assert exact["INFERENCE_PRECISION_HINT"] == exact["KV_CACHE_PRECISION"] == "f32"
    default = DynExecModelForCausalLM.from_pretrained(tiny_export("llama"), compile=False).ov_config
    assert "KV_CACHE_PRECISION" not in default


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "sloppy"}, "`precision` must be one of"),
        ({"ov_config": {"KV_CACHE_PRECISION": "u8"}}, "KV_CACHE_PRECISION"),
    ],
)
def test_precision_that_cannot_be_is_refused(options, message, tiny_export):
    with pytest.raises(ValueError, match=message):
        load(tiny_export("llama"), **options)


def test_options_for_openvino_reach_it(tiny_export):
    model = load(tiny_export("llama"), ov_config={"NUM_STREAMS": "1"}, compile=False)
    assert model.ov_config["NUM_STREAMS"] == "1"


def test_compile_only_generates_plainly(tiny_export, tiny_model, prompt, caplog):
    model = load(tiny_export("llama"), compile_only=True)
    assert torch.equal(model.generate(**prompt), tiny_model("llama").generate(**prompt))
    assert model.engine is None
    assert caplog.text.count("compile_only") == 1


@pytest.mark.parametrize("name", sorted(UNPAGEABLE))
def test_what_cannot_be_paged_generates_with_one_warning(name, tiny_export, torch_model, prompt, caplog):
    model = load(tiny_export(name))
    assert isinstance(model, OVModelForCausalLM)
    for _ in range(2):
        assert torch.equal(model.generate(**prompt), torch_model(name).generate(**prompt))
    assert caplog.text.count("without speculation and its speed-up") == 1
    assert model.engine is None
    model.generate(**prompt, prompt_lookup_num_tokens=3)
    assert "Generating without speculation" in caplog.text


def test_what_cannot_be_paged_cannot_draft(tiny_export, tiny_model, prompt):
    with pytest.raises(ValueError, match="`assistant_model` cannot draft"):
        tiny_model("llama").generate(**prompt, assistant_model=load(tiny_export("gpt_neo")))


def test_a_directory_of_another_class(tiny_export, tiny_encoder):
    with pytest.raises(ValueError, match="load it with `DynExecModelForCausalLM`"):
        DynExecModelForSequenceClassification.from_pretrained(tiny_export("llama"))
    with pytest.raises(ValueError, match="load it with `DynExecModelForSequenceClassification`"):
        DynExecModelForCausalLM.from_pretrained(tiny_encoder("bert"))


@pytest.mark.parametrize("kind", [DynExecModelForCausalLM, DynExecModelForSequenceClassification])
def test_a_model_that_is_not_there(kind, tmp_path):
    for name in (tmp_path / "nope", "nope-dir"):
        with pytest.raises(OSError, match=f"there is no directory '{name}'"):
            kind.from_pretrained(name)
