"""What cannot be done is said in words, and the model goes on working."""

import numpy as np
import pytest
import torch

from optimum_dynexec import DynExecModelForCausalLM, export_dynexec
from tests.patched_export import patch_weights
from tests.tiny_models import TEXT


IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture
def model(tiny_model):
    """The model, checked afterwards: no block is lost, and it generates what it should."""
    model = tiny_model("llama")
    expected = model.generate(IDS, max_new_tokens=5, do_sample=False, speculation="off")
    yield model
    paged = model.engine.paged_model
    assert paged.free_blocks == paged.num_blocks
    assert torch.equal(model.generate(IDS, max_new_tokens=5, do_sample=False), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"speculation": "bogus"}, "`speculation` must be one of"),
        ({"speculation": "draft_model"}, "`assistant_model`"),
        ({"num_assistant_tokens": 0}, "num_assistant_tokens"),
        ({"prompt_lookup_num_tokens": 0}, "prompt_lookup_num_tokens"),
        ({"assistant_confidence_threshold": 2.0}, "assistant_confidence_threshold"),
        ({"num_assistant_tokens_schedule": "never"}, "num_assistant_tokens_schedule"),
        ({"max_matching_ngram_size": 0}, "max_matching_ngram_size"),
        ({"assistant_early_exit": 1}, "assistant_early_exit"),
        ({"assistant_tokenizer": object()}, "assistant_tokenizer"),
        ({"temprature": 0.5}, "temprature"),
        ({"presence_penalty": float("nan")}, "presence_penalty"),
        ({"do_sample": True, "temperature": 0.0}, "temperature"),
        ({"do_sample": True, "top_p": -0.5}, "top_p"),
        ({"do_sample": True, "seed": -1}, "seed"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"repetition_penalty": 0.0}, "penalty"),
        ({"stop_strings": ["x"]}, "tokenizer"),
        ({"num_return_sequences": 2, "do_sample": False}, "num_return_sequences"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_arguments(arguments, message, model):
    with pytest.raises(ValueError, match=message):
        model.generate(IDS, **{"max_new_tokens": 5, **arguments})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": torch.zeros(1, 0, dtype=torch.long)}, "at least one token"),
        ({"input_ids": torch.tensor([5, 6])}, "shape"),
        ({"input_ids": torch.tensor([[5, -3]])}, "token id -3"),
        ({"input_ids": torch.tensor([[5, 350]])}, "token id 350.* the model's vocabulary has ids 0 to 349"),
        ({"input_ids": torch.tensor([[5, 2**40]])}, "token id"),
        ({"input_ids": torch.tensor([[5.0, 6.0]])}, "whole numbers, got torch.float32"),
        ({"input_ids": IDS, "attention_mask": torch.ones(1, 3, dtype=torch.long)}, "`attention_mask`"),
        ({"input_ids": IDS, "attention_mask": torch.ones(2, 4, dtype=torch.long)}, "`attention_mask`"),
        ({"input_ids": IDS, "attention_mask": torch.zeros(1, 4, dtype=torch.long)}, "Prompt 0 is empty"),
        (
            {"input_ids": torch.cat([IDS, IDS]), "attention_mask": torch.tensor([[1] * 4, [0] * 4])},
            "Prompt 1 is empty",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_inputs(inputs, message, model):
    with pytest.raises(ValueError, match=message):
        model.generate(**inputs, max_new_tokens=5, do_sample=False)


@pytest.mark.parametrize("inputs", ["text", ["text"], {"input_ids": IDS}, [[5, 6]], np.array([[5, 6]])], ids=str)
@pytest.mark.parametrize("name", ["inputs", "input_ids"])
def test_prompts_that_are_no_tensors(name, inputs, model):
    with pytest.raises(
        TypeError, match=rf"`{name}` must be a torch.Tensor .* got {type(inputs).__name__}: .*tokenizer"
    ):
        model.generate(**{name: inputs}, max_new_tokens=5)


@pytest.mark.parametrize("early_exit", [0.9, "sometimes", "tuned", {"threshold": 0.9}], ids=str)
def test_an_early_exit_of_another_kind(early_exit, model):
    kind = ValueError if isinstance(early_exit, str) else TypeError
    with pytest.raises(kind, match=r"an EarlyExitConfig, such as .*\(threshold=0.9\), 'calibrated' or None, got"):
        model.generate(IDS, max_new_tokens=5, early_exit=early_exit)


def test_numbers_of_numpy_are_numbers(model):
    arguments = {"max_new_tokens": 12, "do_sample": True, "seed": 3, "prompt_lookup_num_tokens": 4}
    arguments |= {"max_matching_ngram_size": 3, "assistant_confidence_threshold": 0.5}
    arguments |= {"presence_penalty": 0.5, "frequency_penalty": -0.25}
    expected = model.generate(IDS, **arguments)
    for whole, real in ((np.int64, np.float32), (np.uint8, np.float64), (np.int32, np.float16)):
        given = {name: (real if isinstance(value, float) else whole)(value) for name, value in arguments.items()}
        assert torch.equal(model.generate(IDS, **{**given, "do_sample": True}), expected)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_masks_and_ids_of_any_integer_kind(kind, model):
    expected = model.generate(IDS, max_new_tokens=5, do_sample=False)
    for mask in (torch.ones_like(IDS).bool(), torch.ones_like(IDS).int(), torch.ones_like(IDS).float()):
        out = model.generate(IDS.to(kind), attention_mask=mask, max_new_tokens=5, do_sample=False)
        assert torch.equal(out, expected)


def test_no_prompt_at_all_starts_with_the_beginning_of_text(model, torch_model):
    out = model.generate(max_new_tokens=5, do_sample=False)
    assert torch.equal(out, torch_model("llama").generate(max_new_tokens=5, do_sample=False))


def test_an_assistant_of_another_kind(model, torch_model):
    with pytest.raises(TypeError, match="`assistant_model` must be a DynExecModelForCausalLM"):
        model.generate(IDS, max_new_tokens=5, assistant_model=torch_model("llama"))


def test_an_assistant_of_optimum_intel_is_welcome(model, plain_model):
    expected = model.generate(IDS, max_new_tokens=12, do_sample=False, speculation="off")
    out = model.generate(
        IDS, max_new_tokens=12, do_sample=False, assistant_model=plain_model("llama"), assistant_confidence_threshold=0
    )
    assert torch.equal(out, expected)
    assert model.last_stats.acceptance_rate == 1.0


def test_an_assistant_can_be_a_directory(model, tiny_export, monkeypatch):
    directory = tiny_export("llama", "fp32")
    expected = model.generate(IDS, max_new_tokens=12, do_sample=False, speculation="off")
    arguments = {"max_new_tokens": 12, "do_sample": False, "assistant_confidence_threshold": 0}
    out = model.generate(IDS, assistant_model=str(directory), **arguments)
    assert torch.equal(out, expected)
    assert model.last_stats.acceptance_rate == 1.0
    # It is loaded once.
    monkeypatch.setattr(type(model), "from_pretrained", None)
    assert torch.equal(model.generate(IDS, assistant_model=directory, **arguments), expected)


def test_an_assistant_that_is_no_directory(model, tmp_path):
    with pytest.raises(ValueError, match="must be a model or the directory of an exported model, got 'nowhere'"):
        model.generate(IDS, assistant_model="nowhere")
    with pytest.raises(ValueError, match="has no openvino_model.xml"):
        model.generate(IDS, assistant_model=tmp_path)


def test_an_assistant_with_another_tokenizer(model, tiny_export, tmp_path):
    import json
    import shutil

    directory = tmp_path / "other"
    shutil.copytree(tiny_export("llama"), directory)
    content = json.loads((directory / "tokenizer.json").read_text())
    vocab = content["model"]["vocab"]
    vocab["!"], vocab["#"] = vocab["#"], vocab["!"]
    (directory / "tokenizer.json").write_text(json.dumps(content))
    other = DynExecModelForCausalLM.from_pretrained(directory, precision="exact")
    with pytest.raises(ValueError, match="another tokenizer than the model: 2 tokens differ"):
        model.generate(IDS, max_new_tokens=5, assistant_model=other)


def test_an_assistant_of_another_vocabulary_size(model, tiny_vocabulary_export):
    other = DynExecModelForCausalLM.from_pretrained(tiny_vocabulary_export, precision="exact")
    with pytest.raises(ValueError, match="vocabulary of 10 tokens"):
        model.generate(IDS, max_new_tokens=5, assistant_model=other)


def test_an_assistant_with_too_few_positions(tiny_model, tiny_hf):
    target, draft = tiny_model("llama"), tiny_model("gpt2")
    with pytest.raises(ValueError, match="positions for 256 tokens"):
        target.generate(IDS, max_new_tokens=300, assistant_model=draft)


@pytest.fixture(scope="module")
def tiny_vocabulary_export(tmp_path_factory):
    from tests.speculative.tiny_vocabulary import save_tiny_vocabulary

    base = tmp_path_factory.mktemp("another-vocabulary")
    save_tiny_vocabulary(base / "hf")
    export_dynexec(base / "hf", base / "ov", weight_format="fp32")
    # transformers makes one up for a model that has none.
    (base / "ov" / "tokenizer.json").unlink(missing_ok=True)
    return base / "ov"


@pytest.fixture(scope="module")
def poisoned(tiny_export, torch_model, tmp_path_factory):
    """A model that gives NaN once it has read token 7."""
    row = torch_model("llama").model.embed_tokens.weight[7].detach().numpy()
    output = tmp_path_factory.mktemp("poisoned") / "model"
    patch_weights(tiny_export("llama"), output, row, np.full_like(row, np.nan))
    return DynExecModelForCausalLM.from_pretrained(output, precision="exact")


@pytest.mark.parametrize("do_sample", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_logits_that_are_no_numbers(do_sample, batch, poisoned, tiny_model):
    healthy = torch.tensor([[5, 6, 8]])
    inputs = healthy if batch == 1 else torch.cat([healthy, healthy])
    sick = inputs.clone()
    sick[-1, 1] = 7
    arguments = {"max_new_tokens": 5, "do_sample": do_sample, "seed": 1, "suppress_tokens": None}
    with pytest.raises(RuntimeError, match=f"logits of sequence {batch - 1} after 3 tokens .* NaN or infinity"):
        poisoned.generate(sick, **arguments)
    paged = poisoned.engine.paged_model
    assert paged.free_blocks == paged.num_blocks
    expected = tiny_model("llama").generate(inputs, **arguments)
    assert 7 not in expected
    assert torch.equal(poisoned.generate(inputs, **arguments), expected)


def test_a_draft_model_whose_logits_are_no_numbers(poisoned, model):
    sick = torch.tensor([[5, 7, 8]])
    with pytest.raises(RuntimeError, match="draft model or head gave NaN"):
        model.generate(sick, max_new_tokens=9, do_sample=False, assistant_model=poisoned)
    paged = poisoned.engine.paged_model
    assert paged.free_blocks == paged.num_blocks


def test_processors_that_leave_no_token(model, encode):
    from transformers import LogitsProcessor, LogitsProcessorList

    class RemovesAll(LogitsProcessor):
        def __call__(self, input_ids, scores):
            return torch.full_like(scores, -torch.inf)

    with pytest.raises(RuntimeError, match="removed every token"):
        model.generate(
            **encode(TEXT[0]), max_new_tokens=5, do_sample=True, logits_processor=LogitsProcessorList([RemovesAll()])
        )
