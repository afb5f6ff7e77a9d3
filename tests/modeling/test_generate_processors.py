"""Whatever shapes the logits gives the tokens that it gives in transformers, natively or by way of Python."""

import inspect
import re

import pytest
import torch
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessor,
    LogitsProcessorList,
    SynthIDTextWatermarkingConfig,
    WatermarkingConfig,
)

from tests.tiny_models import TEXT


NEW_TOKENS = 24
NATIVE = {
    "repetition_penalty": {"repetition_penalty": 1.8},
    "rewarded_repetition": {"repetition_penalty": 0.5},
    "min_new_tokens": {"min_new_tokens": 12, "eos_token_id": list(range(3, 100))},
}
PYTHON = {
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 2, "repetition_penalty": 0.5},
    "bad_words_ids": {"bad_words_ids": [[178], [188], [5, 6], [44]]},
    "suppress_tokens": {"suppress_tokens": list(range(4, 340))},
    "begin_suppress_tokens": {"begin_suppress_tokens": list(range(3, 300))},
    "forced_eos_token_id": {"forced_eos_token_id": 7},
    "sequence_bias": {"sequence_bias": [[[178], 5.0], [[20, 21], 3.0]]},
    "exponential_decay_length_penalty": {"exponential_decay_length_penalty": (4, 1.5), "eos_token_id": 9},
    "remove_invalid_values": {"remove_invalid_values": True},
    "renormalize_logits": {"renormalize_logits": True},
    "encoder_repetition_penalty": {"encoder_repetition_penalty": 1.5},
    "prefix_allowed_tokens_fn": {"prefix_allowed_tokens_fn": lambda _, ids: [5, 6, 7 + int(ids[-1]) % 3]},
}
MODES = {
    "off": {"speculation": "off"},
    "prompt_lookup": {"prompt_lookup_num_tokens": 5},
    "draft": {"num_assistant_tokens": 4, "assistant_confidence_threshold": 0.0},
}


@pytest.fixture
def run(tiny_model, encode):
    def get(mode, *prompts, **arguments):
        model = tiny_model("llama")
        if mode == "draft":
            arguments["assistant_model"] = tiny_model("llama", "int8")
        arguments = {"max_new_tokens": NEW_TOKENS, "do_sample": False, **MODES[mode], **arguments}
        out = model.generate(**encode(*prompts), **arguments)
        return out, model.last_stats

    return get


@pytest.fixture(scope="module")
def expected(torch_model, encode):
    def get(*prompts, **arguments):
        arguments = {"max_new_tokens": NEW_TOKENS, "do_sample": False, **arguments}
        return torch_model("llama").generate(**encode(*prompts), **arguments)

    return get


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [*NATIVE, *PYTHON])
def test_one_prompt(name, mode, run, expected):
    arguments = {**NATIVE, **PYTHON}[name]
    out, stats = run(mode, TEXT[0], **arguments)
    assert torch.equal(out, expected(TEXT[0], **arguments))
    if mode == "draft" and name not in ("forced_eos_token_id",):
        assert stats.proposed > 0


# With one token left to choose, what is sampled is known.
SAMPLED = {
    "temperature": {"temperature": 1e-4},
    "top_h": {"top_h": 1e-3},
    "top_k": {"top_k": 1},
    "top_p": {"top_p": 1e-6},
    "min_p": {"min_p": 1.0},
    "typical_p": {"typical_p": 1e-6},
    "epsilon_cutoff": {"epsilon_cutoff": 0.9999},
    # By itself it always leaves several.
    "eta_cutoff": {"eta_cutoff": 0.9999, "temperature": 1e-4},
}
if not hasattr(GenerationConfig(), "top_h"):  # transformers 4.57
    del SAMPLED["top_h"]
PROMPTED = {
    "encoder_no_repeat_ngram_size": {"encoder_no_repeat_ngram_size": 1},
    "guidance_scale": {"guidance_scale": 1.5},
    "min_length": {"min_length": 60, "eos_token_id": list(range(3, 100))},
    "forced_bos_token_id": {"forced_bos_token_id": 9},
    "watermark": {"watermarking_config": WatermarkingConfig(bias=8.0)},
    "watermark_selfhash": {"watermarking_config": WatermarkingConfig(bias=8.0, seeding_scheme="selfhash")},
    "synthid": {"watermarking_config": SynthIDTextWatermarkingConfig(keys=list(range(30)), ngram_len=5)},
    "synthid_skips": {
        "watermarking_config": SynthIDTextWatermarkingConfig(
            keys=list(range(30)), ngram_len=3, context_history_size=4, skip_first_ngram_calls=True
        )
    },
}
CONFIGURED = {**NATIVE, **PYTHON, **PROMPTED}
PADDED = (TEXT[0], TEXT[1][:30], TEXT[3])


@pytest.mark.parametrize("name", [name for name in CONFIGURED if name != "prefix_allowed_tokens_fn"])
def test_prompts_of_different_lengths(name, run, expected):
    """Each row is at a step of its own: what a processor remembers belongs to one row."""
    arguments = CONFIGURED[name]
    right = expected(*PADDED, **arguments)
    for mode in MODES:
        out, _ = run(mode, *PADDED, **arguments)
        assert torch.equal(out, right), mode


@pytest.mark.parametrize("name", SAMPLED)
def test_what_shapes_sampling_in_a_batch(name, run, expected):
    arguments = {"do_sample": True, "top_k": 0, **SAMPLED[name]}
    out, _ = run("prompt_lookup", *PADDED, **arguments)
    assert torch.equal(out, expected(*PADDED, **arguments))


def test_a_watermark_is_in_each_row_of_a_sample(run, tiny_model):
    config = SynthIDTextWatermarkingConfig(keys=list(range(30)), ngram_len=5)
    processor = config.construct_processor(tiny_model("llama").config.vocab_size, "cpu")
    arguments = {"do_sample": True, "top_k": 0, "temperature": 2.0, "max_new_tokens": 60, "seed": 1}
    arguments |= {"eos_token_id": None, "num_return_sequences": 3}
    found = {}
    for name, watermark in (("with", config), ("without", None)):
        out, _ = run("prompt_lookup", *PADDED, watermarking_config=watermark, **arguments)
        # Mean of the bits that the watermark raises, for each row.
        found[name] = processor.compute_g_values(out[:, -60:]).float().mean(dim=(1, 2))
    assert found["with"].shape == (9,)
    assert found["with"].min() > found["without"].max()
    assert found["with"].mean() > 0.6
    assert abs(found["without"].mean() - 0.5) < 0.05


def test_every_processor_of_a_configuration_is_tried(tiny_model):
    """What transformers can build is read from the signature of its own code: a new argument asks for a test here."""
    source = inspect.getsource(GenerationMixin._get_logits_processor)
    tried = set().union(*CONFIGURED.values(), *SAMPLED.values(), {"no_repeat_ngram_size"})
    fields = set(re.findall(r"generation_config\.([a-z]\w*)", source))
    # Not processors: what others are built from.
    assert fields - {"do_sample", "num_beams", "use_cache", "max_length"} - tried == set()


class Favours(LogitsProcessor):
    """Adds to the logits of what the sequence holds; notes the lengths it saw."""

    def __init__(self):
        self.lengths = []

    def __call__(self, input_ids, scores):
        self.lengths.append(input_ids.shape[1])
        for row, ids in enumerate(input_ids):
            scores[row, ids[-6:]] += 3.0
        return scores


@pytest.mark.parametrize("mode", MODES)
def test_a_processor_of_the_user(mode, run, expected):
    ours, theirs = Favours(), Favours()
    out, stats = run(mode, TEXT[0], logits_processor=LogitsProcessorList([ours]))
    assert torch.equal(out, expected(TEXT[0], logits_processor=LogitsProcessorList([theirs])))
    # Called once for each token, in order, with nothing but tokens that stand.
    assert ours.lengths == theirs.lengths
    if mode != "off":
        assert stats.accepted > 0


def test_a_processor_of_the_user_in_a_batch_takes_the_plain_path(run, expected, tiny_model, caplog):
    """It was written for whole batches: its state may depend on all rows being at the same length."""
    before = tiny_model("llama").last_stats
    out, _ = run("prompt_lookup", *TEXT[:2], logits_processor=LogitsProcessorList([Favours()]))
    assert torch.equal(out, expected(*TEXT[:2], logits_processor=LogitsProcessorList([Favours()])))
    assert tiny_model("llama").last_stats is before
    assert "without speculation" in caplog.text


def test_presence_and_frequency_penalty(run, expected):
    """No argument of transformers: its torch model gets them as a processor."""
    from optimum_dynexec.modeling.logits_processors import PresenceFrequencyPenaltyLogitsProcessor as Penalty

    for presence, frequency in ((2.0, 0.0), (0.0, 1.5), (-3.0, 0.5)):
        for mode in MODES:
            out, _ = run(mode, TEXT[1], presence_penalty=presence, frequency_penalty=frequency)
            processors = LogitsProcessorList([Penalty(presence, frequency, 32)])
            length = out.shape[1] - NEW_TOKENS
            processors[0].prompt_length = length
            assert torch.equal(out, expected(TEXT[1], logits_processor=processors))


def test_settings_of_a_generation_config(tiny_model, encode, expected):
    config = GenerationConfig(
        max_new_tokens=NEW_TOKENS, repetition_penalty=1.8, prompt_lookup_num_tokens=5, eos_token_id=2, pad_token_id=0
    )
    model = tiny_model("llama")
    out = model.generate(**encode(TEXT[0]), generation_config=config)
    assert torch.equal(out, expected(TEXT[0], repetition_penalty=1.8))
    assert [proposer.name for proposer in model.last_stats.proposers] == ["prompt_lookup"]
    assert config.prompt_lookup_num_tokens == 5


def test_settings_of_the_models_own_generation_config(tiny_model, encode, expected, monkeypatch):
    model = tiny_model("llama")
    monkeypatch.setattr(model.generation_config, "repetition_penalty", 1.8)
    monkeypatch.setattr(model.generation_config, "prompt_lookup_num_tokens", 5)
    out = model.generate(**encode(TEXT[0]), max_new_tokens=NEW_TOKENS, do_sample=False)
    assert torch.equal(out, expected(TEXT[0], repetition_penalty=1.8))
    assert [proposer.name for proposer in model.last_stats.proposers] == ["prompt_lookup"]
