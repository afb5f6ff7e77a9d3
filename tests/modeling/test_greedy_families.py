"""Greedy output of every family equals transformers', token for token, however the tokens were guessed."""

import itertools
from importlib.metadata import version

import pytest
import torch
from transformers import LogitsProcessorList

from optimum_dynexec.modeling.logits_processors import PresenceFrequencyPenaltyLogitsProcessor
from tests.tiny_models import LAYERS, SLIDING_WINDOW, TEXT, TINY_MIXTURES


FAMILIES = ["llama", "qwen2", "qwen3", "mistral", "phi3", "gpt2", "gpt_neox", "opt"]
NEW_TOKENS = 48
# A negative penalty rewards repetition: even a random model then writes text in which something can be looked up.
SETTINGS = {"free": {}, "looping": {"presence_penalty": -4.0}}
PROMPT = TEXT[1] + " " + TEXT[1]
LOOKUP = {
    "constant": {"prompt_lookup_num_tokens": 6},
    "heuristic": {"prompt_lookup_num_tokens": 3, "num_assistant_tokens_schedule": "heuristic"},
    "heuristic_transient": {"prompt_lookup_num_tokens": 3, "num_assistant_tokens_schedule": "heuristic_transient"},
    "auto": {"speculation": "auto"},
    "auto_suffix": {"speculation": "suffix"},
    "suffix": {"speculation": "suffix", "num_assistant_tokens": 6},
}


@pytest.fixture(scope="module")
def expected(torch_model, encode):
    """What transformers writes."""
    made = {}

    def get(name, setting):
        if (name, setting) not in made:
            inputs = encode(PROMPT)
            penalty = SETTINGS[setting].get("presence_penalty", 0.0)
            processor = PresenceFrequencyPenaltyLogitsProcessor(penalty, 0.0, inputs["input_ids"].shape[1])
            made[name, setting] = torch_model(name).generate(
                **inputs, max_new_tokens=NEW_TOKENS, do_sample=False, logits_processor=LogitsProcessorList([processor])
            )
        return made[name, setting]

    return get


@pytest.fixture
def generate(tiny_model, encode):
    def get(name, setting, **arguments):
        model = tiny_model(name)
        tokens = model.generate(
            **encode(PROMPT), max_new_tokens=NEW_TOKENS, do_sample=False, **SETTINGS[setting], **arguments
        )
        return tokens, model.last_stats

    return get


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", FAMILIES)
def test_plain_decoding(name, setting, generate, expected):
    tokens, stats = generate(name, setting, speculation="off")
    assert torch.equal(tokens, expected(name, setting))
    assert stats.proposed == 0
    assert stats.tokens == stats.target_forwards == tokens.shape[1] - stats.prompt_tokens


@pytest.mark.parametrize("name", TINY_MIXTURES)
def test_mixtures_of_experts(name, generate, expected, tiny_model, torch_model, encode):
    for how in ({"speculation": "off"}, LOOKUP["constant"]):
        tokens, stats = generate(name, "looping", **how)
        assert torch.equal(tokens, expected(name, "looping"))
    assert stats.accepted > 0
    inputs = encode(TEXT[0], "a", TEXT[3][:30])
    arguments = {"max_new_tokens": 16, "do_sample": False}
    assert torch.equal(
        tiny_model(name).generate(**inputs, **arguments), torch_model(name).generate(**inputs, **arguments)
    )
    assert len(tiny_model(name).dynexec_config.hidden_state_names) == LAYERS


@pytest.mark.skipif(version("transformers") > "5.0", reason="optimum-intel exports Gemma 3 up to 5.0")
def test_gemma_3_beyond_its_sliding_window(generate, expected, encode):
    """Two of its three layers see the last tokens only; the prompt is longer than that."""
    assert encode(PROMPT)["input_ids"].shape[1] > 2 * SLIDING_WINDOW
    for setting, how in itertools.product(SETTINGS, ({"speculation": "off"}, *LOOKUP.values())):
        tokens, stats = generate("gemma3_text", setting, **how)
        assert torch.equal(tokens, expected("gemma3_text", setting))
        assert stats.accepted > 0 or setting == "free" or how == {"speculation": "off"} or "auto" in how.values()


@pytest.mark.parametrize("how", LOOKUP)
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", FAMILIES)
def test_prompt_lookup(name, setting, how, generate, expected):
    tokens, stats = generate(name, setting, **LOOKUP[how])
    assert torch.equal(tokens, expected(name, setting))
    if setting == "looping" and how in ("constant", "heuristic", "heuristic_transient", "suffix"):
        assert stats.proposed > 0
        assert stats.acceptance_rate > 0.2
        assert stats.target_forwards < 0.7 * stats.tokens


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_accepts_all_that_it_drafts_itself(name, setting, generate, expected, tiny_model):
    tokens, stats = generate(
        name, setting, assistant_model=tiny_model(name), num_assistant_tokens=5, assistant_confidence_threshold=0.0
    )
    assert torch.equal(tokens, expected(name, setting))
    assert stats.acceptance_rate == 1.0
    # One token comes out of the prompt's pass, each later pass gives five drafted ones and its own.
    assert stats.target_forwards == 1 + -(-(stats.tokens - 1) // 6)


@pytest.mark.parametrize("draft", [("llama", "fp32", {"seed": 1}), ("llama", "int8", {}), ("gpt2", "fp32", {})])
@pytest.mark.parametrize("arguments", [{"num_assistant_tokens": 5}, {"speculation": "auto"}], ids=["draft", "auto"])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", ["llama", "mistral", "opt"])
def test_another_model_as_draft(name, setting, arguments, draft, generate, expected, tiny_model):
    draft_name, weights, options = draft
    assistant = tiny_model(draft_name, weights, **options)
    tokens, stats = generate(name, setting, assistant_model=assistant, assistant_confidence_threshold=0.0, **arguments)
    assert torch.equal(tokens, expected(name, setting))
    if "speculation" not in arguments:
        assert stats.proposed > 0
        assert stats.draft_forwards == stats.proposed


def test_a_good_draft_is_mostly_accepted_and_a_strange_one_hardly(generate, tiny_model):
    """The same model with 8-bit weights, and another one: the rates say whose tokens were verified."""
    good, strange = (
        generate("llama", "free", assistant_model=draft, num_assistant_tokens=5, assistant_confidence_threshold=0.0)[1]
        for draft in (tiny_model("llama", "int8"), tiny_model("llama", seed=1))
    )
    assert 0.5 < good.acceptance_rate <= 1.0
    assert strange.acceptance_rate < 0.2


def test_a_confidence_threshold_ends_drafts_early(generate, expected, tiny_model):
    drafts = {}
    for threshold in (0.0, 0.2, 1.0):
        tokens, drafts[threshold] = generate(
            "llama",
            "free",
            assistant_model=tiny_model("llama", "int8"),
            num_assistant_tokens=8,
            assistant_confidence_threshold=threshold,
        )
        assert torch.equal(tokens, expected("llama", "free"))
    per_draft = [stats.proposed / stats.drafted_verifications for stats in drafts.values()]
    # No token of this model is certain, so that a threshold of 1 ends every draft after its first token.
    assert per_draft[0] > per_draft[1] > per_draft[2] == 1.0


def test_the_longest_draft_caps_a_confident_one(generate, tiny_model):
    _, stats = generate(
        "llama",
        "free",
        assistant_model=tiny_model("llama"),
        num_assistant_tokens=3,
        assistant_confidence_threshold=0.0,
    )
    assert len(stats.accepted_histogram) == 4


def test_both_sources_at_work_under_auto(generate, expected, tiny_model):
    """Whoever looks more promising proposes; the statistics keep them apart."""
    tokens, stats = generate("llama", "looping", speculation="auto", assistant_model=tiny_model("llama"))
    assert torch.equal(tokens, expected("llama", "looping"))
    assert [proposer.name for proposer in stats.proposers] == ["suffix", "draft_model"]
