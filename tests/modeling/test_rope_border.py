"""Models with other RoPE factors beyond their original context: what they write is what transformers writes."""

import pytest
import torch

from optimum_dynexec.torch_backend import TorchDynExecModelForCausalLM
from tests.tiny_models import ROPE_BORDER, TEXT, TINY_LONGROPE


NEW_TOKENS = 10
MODES = {
    "off": {"speculation": "off"},
    "prompt_lookup": {"prompt_lookup_num_tokens": 6},
    "itself": {"num_assistant_tokens": 6, "assistant_confidence_threshold": 0.0},
    "auto": {"speculation": "auto"},
}
# The last token is never an input: a text of one token more than the border does not cross it.
LAST_WITHIN = ROPE_BORDER + 1 - NEW_TOKENS
LENGTHS = [8, LAST_WITHIN, LAST_WITHIN + 1, ROPE_BORDER - 1, ROPE_BORDER, ROPE_BORDER + 1, ROPE_BORDER + 20]


@pytest.fixture(scope="module")
def prompt(tiny_tokenizer):
    """A prompt that repeats itself, so that lookup proposes."""

    def get(length, rows=1):
        words = tiny_tokenizer(TEXT[:rows], return_tensors="pt", padding=True)["input_ids"][:, -length // 2 :]
        ids = torch.cat([words] * (length // words.shape[1] + 1), dim=1)[:, :length]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    return get


@pytest.fixture
def expected(torch_model):
    """
    What transformers writes. Its Phi-3 means to compute the whole text anew where the border is crossed; with its
    cache, transformers 5.5 then runs the last token alone and forgets the text before, so it goes without.
    """

    def get(name, **arguments):
        return torch_model(name).generate(**arguments, use_cache=name != "phi3_longrope")

    return get


@pytest.fixture
def call():
    return {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", TINY_LONGROPE)
def test_greedy_text_on_either_side_of_the_border(name, length, rows, prompt, call, tiny_model, expected):
    model, inputs = tiny_model(name), prompt(length, rows)
    right = expected(name, **inputs, **call)
    for mode, arguments in MODES.items():
        assistant = {"assistant_model": model} if mode == "itself" else {}
        model.last_stats = None
        assert torch.equal(model.generate(**inputs, **call, **arguments, **assistant), right), mode
        # A call that stays within the original context is the engine's.
        assert (model.last_stats is not None) == (length <= LAST_WITHIN)


@pytest.mark.parametrize(
    "length",
    [{}, {"max_length": ROPE_BORDER + 4}, {"max_length": ROPE_BORDER + 1}, {"max_new_tokens": 26}],
    ids=str,
)
def test_every_way_to_say_how_long_a_text_gets(length, prompt, tiny_model, expected):
    """Without a word, 20 tokens are new."""
    model, inputs = tiny_model("phi3_longrope"), prompt(20)
    model.last_stats = None
    arguments = {"do_sample": False, "eos_token_id": None, **length}
    right = expected("phi3_longrope", **inputs, **arguments)
    assert torch.equal(model.generate(**inputs, **arguments, prompt_lookup_num_tokens=6), right)
    assert model.last_stats is None or right.shape[1] <= ROPE_BORDER + 1


@pytest.mark.parametrize("length", [LAST_WITHIN, ROPE_BORDER - 2])
def test_the_torch_backend_leaves_what_crosses_to_transformers(length, prompt, call, tiny_hf, torch_model):
    model = TorchDynExecModelForCausalLM.from_pretrained(tiny_hf("phi3_longrope"))
    inputs = prompt(length)
    right = torch_model("phi3_longrope").generate(**inputs, **call)
    assert torch.equal(model.generate(**inputs, **call, prompt_lookup_num_tokens=6), right)
