"""Real models of each family: drafts and batches do not change the greedy text with 8-bit weights, and with float32
weights it is that of transformers.

`DYNEXEC_TEST_MODELS` names the directory that contains the models by name, by default `models/` in the repository.
Models that are missing are skipped; `python -m examples.models NAME DIRECTORY` makes them. An export `NAME-int8` there
and an export `NAME-fp32` are used as they are.
"""

import math
import os
import unicodedata
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from optimum_dynexec import DynExecModelForCausalLM, export_dynexec


pytestmark = pytest.mark.slow
MODELS = Path(os.environ.get("DYNEXEC_TEST_MODELS") or Path(__file__).parents[2] / "models")
FAMILIES = {
    "llama": "SmolLM2-135M-Instruct",
    "qwen2": "Qwen2.5-Coder-0.5B-Instruct",
    "gemma3": "Gemma-3-270m",
}
NEW_TOKENS = 48
PROMPTS = [
    "Rename `x` to `price` in this function and show the whole function:\n"
    "def total(x, count):\n    if x < 0:\n        raise ValueError('x must not be negative')\n    return x * count",
    "Explain in two sentences why the sky is blue.",
    "Repeat this list word by word, twice: apples, pears, plums, cherries, quinces, medlars, grapes.",
]
COMMON_TEXT = (
    "It was a cold morning in the village. The children walked to school along the river, and the old man who lived"
    " next to the bridge said hello to them, as he did every day. "
)
TEXTS = [
    "def f(x):\n    return x + 12345\n\n\n# done\t\ttab",
    "  two spaces  before and after  ",
    "Straße, naïve, 你好, мир, नमस्ते, 🙂, a non-breaking\u00a0space",
    "line\r\nline\n \n  end",
]


@pytest.fixture(scope="module", params=FAMILIES)
def directory(request):
    """The export `NAME-int8` if it is there, else the model of transformers."""
    name = FAMILIES[request.param]
    if (MODELS / f"{name}-int8" / "openvino_model.xml").is_file():
        return MODELS / f"{name}-int8"
    if not (MODELS / name / "config.json").is_file():
        pytest.skip(f"{MODELS / name} is missing: python -m examples.models {name} {MODELS / name}")
    return MODELS / name


@pytest.fixture(scope="module")
def tokenizer(directory):
    return AutoTokenizer.from_pretrained(directory, padding_side="left")


@pytest.fixture(scope="module")
def model(directory, tmp_path_factory):
    export = directory
    if not (directory / "openvino_model.xml").is_file():
        export = tmp_path_factory.mktemp("export") / directory.name
        export_or_skip(directory, export, "int8")
    return DynExecModelForCausalLM.from_pretrained(export, precision="exact")


def export_or_skip(original: Path, export: Path, weight_format: str):
    try:
        export_dynexec(original, export, task="text-generation-with-past", weight_format=weight_format)
    except ValueError as error:
        # optimum-intel exports some families only with older versions of transformers.
        if "In another environment" not in str(error):
            raise
        pytest.skip(f"export {original.name} with an older transformers to {original}-{weight_format}: {error}")


@pytest.fixture(scope="module")
def plain(model, tokenizer):
    return [generate(model, tokenizer, [prompt], speculation="off")[0] for prompt in PROMPTS]


def generate(model, tokenizer, prompts: list[str], **arguments) -> list[list[int]]:
    """The new tokens for each prompt, without padding."""
    if tokenizer.chat_template is None:
        inputs = tokenizer(prompts, padding=True, return_tensors="pt")
    else:
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
    arguments = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False, **arguments}
    output = model.generate(inputs["input_ids"], attention_mask=inputs["attention_mask"], **arguments)
    return output[:, inputs["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("text", TEXTS)
def test_the_tokenizer_gives_back_the_text(text, tokenizer):
    # Some tokenizers normalize to NFC, which these texts are in.
    assert unicodedata.is_normalized("NFC", text)
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


@pytest.mark.parametrize("speculation", ["prompt_lookup", "auto"])
def test_drafts_do_not_change_the_text(speculation, model, tokenizer, plain):
    arguments = {"speculation": speculation}
    if speculation == "prompt_lookup":  # drafts even where it does not pay on this machine
        arguments["prompt_lookup_num_tokens"] = 4
    proposed = 0
    for prompt, expected in zip(PROMPTS, plain, strict=True):
        assert generate(model, tokenizer, [prompt], **arguments) == [expected]
        proposed += model.last_stats.proposed
    if speculation == "prompt_lookup":
        assert proposed > 0


@pytest.mark.parametrize("speculation", ["off", "auto"])
def test_a_batch_does_not_change_the_text(speculation, model, tokenizer, plain):
    assert generate(model, tokenizer, PROMPTS, speculation=speculation) == plain


def test_the_model_knows_its_language(model, tokenizer):
    # Not so with a wrong tokenizer or wrong weights. A small model copies no list, but it expects the words of a text.
    ids = tokenizer(COMMON_TEXT, return_tensors="pt")["input_ids"]
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    loss = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:])
    assert loss < 0.5 * math.log(logits.shape[-1])


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_decoding_equals_transformers_beyond_the_window(family, tmp_path):
    original = MODELS / FAMILIES[family]
    if not (original / "config.json").is_file():
        pytest.skip(f"{original} is missing: python -m examples.models {original.name} {original}")
    export = MODELS / f"{original.name}-fp32"
    if not (export / "openvino_model.xml").is_file():
        export = tmp_path / original.name
        export_or_skip(original, export, "fp32")
    tokenizer = AutoTokenizer.from_pretrained(original)
    # The sliding window of Gemma-3-270m has 512 tokens.
    ids = tokenizer(COMMON_TEXT * 40, return_tensors="pt")["input_ids"][:, :700]
    assert ids.shape[1] == 700
    arguments = {"max_new_tokens": 24, "min_new_tokens": 24, "do_sample": False}
    reference = AutoModelForCausalLM.from_pretrained(original, dtype=torch.float32)
    expected = reference.generate(ids, attention_mask=torch.ones_like(ids), **arguments).tolist()
    del reference
    model = DynExecModelForCausalLM.from_pretrained(export, precision="exact")
    assert model.generate(ids, speculation="off", **arguments).tolist() == expected
    assert model.generate(ids, prompt_lookup_num_tokens=4, **arguments).tolist() == expected
    assert model.last_stats.accepted > 0
