"""The reference decoder: its tokens are those of transformers, and those of the engine."""

from threading import Thread

import numpy as np
import pytest
import torch
from transformers import (
    LogitsProcessorList,
    SynthIDTextWatermarkingConfig,
    TemperatureLogitsWarper,
    TextIteratorStreamer,
)

from optimum_dynexec import EarlyExitConfig
from optimum_dynexec.early_exit.criteria.classifier import ClassifierCriterion
from optimum_dynexec.early_exit.statistics import reference_statistics
from optimum_dynexec.modeling.causal_lm import DynExecGenerateOutput
from optimum_dynexec.torch_backend import TorchDynExecModelForCausalLM, decoding
from optimum_dynexec.torch_backend.decoder import Decoder, check_embeddings
from tests.heads.reference import head as reference_head
from tests.speculative.tiny_exits import LAYERS
from tests.tiny_models import TEXT, build_tokenizer


NEW = 32
PLAIN = {"do_sample": False, "min_new_tokens": NEW, "max_new_tokens": NEW}
# `assistant` stands for the assistant model of the backend.
MODES = {
    "prompt_lookup": {"prompt_lookup_num_tokens": 4},
    "draft_model": {"assistant_model": "assistant", "num_assistant_tokens": 4, "assistant_confidence_threshold": 0.0},
    "draft_model_until_unsure": {"assistant_model": "assistant", "num_assistant_tokens": 6},
    "draft_head": {"speculation": "draft_head", "num_assistant_tokens": 4},
    "exit_heads": {"assistant_early_exit": 3, "num_assistant_tokens": 4, "assistant_confidence_threshold": 0.0},
    "first_exit": {"assistant_early_exit": 1, "num_assistant_tokens": 3, "assistant_confidence_threshold": 0.0},
    "heuristic": {
        "assistant_early_exit": 3,
        "num_assistant_tokens_schedule": "heuristic_transient",
        "num_assistant_tokens": 3,
        "assistant_confidence_threshold": 0.0,
    },
    "auto": {"speculation": "auto"},
}
TEXTS = [TEXT[:1], (TEXT[1], "a", TEXT[3][:20])]


@pytest.fixture
def decoders(headed_decoders):
    return headed_decoders


def encode(*texts):
    return build_tokenizer()(list(texts), return_tensors="pt", return_token_type_ids=False, padding=True)


def arguments(decoders, backend, mode):
    found = dict(MODES[mode])
    if "assistant_model" in found:
        found["assistant_model"] = decoders.assistants[backend]
    return found


@pytest.mark.parametrize("texts", TEXTS, ids=["one", "three"])
@pytest.mark.parametrize("mode", MODES)
def test_greedy_tokens_are_those_of_transformers_and_of_the_engine(mode, texts, decoders):
    inputs = encode(*texts)
    expected = decoders.hf.generate(**inputs, **PLAIN)
    found = decoders.torch.generate(**inputs, **PLAIN, **arguments(decoders, "torch", mode))
    stats = decoders.torch.last_stats
    assert torch.equal(found, expected)
    assert stats.proposed > 0
    assert stats.tokens == NEW * len(texts) == stats.verifications + stats.accepted
    assert torch.equal(decoders.engine.generate(**inputs, **PLAIN, **arguments(decoders, "engine", mode)), expected)
    # The engine's "auto" decides by measured times; its heads draft no more than `num_assistant_tokens` at a time.
    if mode not in ("auto", "heuristic"):
        engine = decoders.engine.last_stats
        for mine, others in zip(stats.proposers, engine.proposers, strict=True):
            assert (mine.name, mine.proposed, mine.accepted) == (others.name, others.proposed, others.accepted)
        assert stats.accepted_histogram == engine.accepted_histogram[: len(stats.accepted_histogram)]
        assert stats.verifications == engine.verifications
    if mode in ("draft_model", "exit_heads"):
        assert 0.1 < stats.acceptance_rate < 1


@pytest.mark.parametrize(
    "options",
    [
        {"encoder_repetition_penalty": 1.5},
        {"encoder_no_repeat_ngram_size": 1},
        {"watermarking_config": SynthIDTextWatermarkingConfig(keys=list(range(30)), ngram_len=5)},
    ],
    ids=lambda options: next(iter(options)),
)
def test_processors_that_remember_belong_to_one_row(options, decoders):
    inputs = encode(*TEXTS[1])
    expected = decoders.hf.generate(**inputs, **PLAIN, **options)
    for mode in ("prompt_lookup", "draft_model"):
        found = decoders.torch.generate(**inputs, **PLAIN, **options, **arguments(decoders, "torch", mode))
        assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ["gpt2", "bloom", "opt", "qwen3", "mistral"])
def test_families(name, tiny_hf):
    """Learned positions, ALiBi, norms of queries and keys, windows: in batches of different lengths."""
    model = TorchDynExecModelForCausalLM.from_pretrained(tiny_hf(name))
    inputs = encode(*TEXTS[1])
    expected = model.model.generate(**inputs, **PLAIN)
    assert torch.equal(model.generate(**inputs, **PLAIN), expected)
    assert torch.equal(model.generate(**inputs, **PLAIN, assistant_model=model, num_assistant_tokens=3), expected)


def test_the_draft_head_drafts_by_its_definition(decoders):
    (config, tensors), model = decoders.draft, decoders.hf
    tokens, drafted = encode(TEXT[0])["input_ids"][0].tolist(), [7, 300, 21]
    decoder = Decoder(decoders.torch.model, [None, *config.feature_layers])
    decoder.run(tokens[:-1])
    table, unembedding = (
        layer.weight.detach().numpy() for layer in (model.get_input_embeddings(), model.get_output_embeddings())
    )
    states = model.model(torch.tensor([tokens[:-1]]), output_hidden_states=True)
    read = [*(states.hidden_states[layer + 1] for layer in config.feature_layers), states.last_hidden_state]
    hidden = torch.cat(read, dim=-1)[0].detach().numpy()
    for step in range(len(drafted) + 1):
        following = [*tokens[1:], *drafted[:step]]
        words, made = reference_head(config, tensors, unembedding, hidden, table[following])
        found = decoder.draft_logits(decoders.torch.heads[None], tokens, drafted[:step])
        np.testing.assert_allclose(found[tensors["token_ids"]], words[-1], rtol=1e-3, atol=1e-3)
        assert torch.isinf(found).sum() == len(found) - len(tensors["token_ids"])
        hidden = np.concatenate([hidden, made[-1:]])


def test_draft_and_model_are_processed_alike(decoders):
    """A model that drafts for itself has nothing rejected: its draft saw the same processors and the same tokens."""
    shaped = {"temperature": 0.8, "top_k": 40, "repetition_penalty": 1.3, "presence_penalty": 0.4, "seed": 0}
    drafts = {"assistant_model": decoders.hf, "num_assistant_tokens": 4, "assistant_confidence_threshold": 0.0}
    decoders.torch.generate(**encode(*TEXTS[1]), do_sample=True, max_new_tokens=NEW, **shaped, **drafts)
    stats = decoders.torch.last_stats
    assert stats.accepted == stats.proposed > NEW


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt"])
def test_draft_heads_read_embeddings_that_the_first_layer_reads(name, tiny_hf):
    check_embeddings(TorchDynExecModelForCausalLM.from_pretrained(tiny_hf(name)).model)


def test_a_model_that_norms_its_embeddings_takes_no_draft_head(tiny_hf):
    model = TorchDynExecModelForCausalLM.from_pretrained(tiny_hf("bloom")).model
    torch.nn.init.normal_(model.transformer.word_embeddings_layernorm.weight)
    with pytest.raises(ValueError, match="bloom"):
        check_embeddings(model)


LEAVING = {
    "max_prob": 0.35,
    "margin": 0.2,
    "entropy": 3.0,
    "patience": 1,
}


@pytest.mark.parametrize("prefill", [False, True])
@pytest.mark.parametrize("criterion", LEAVING)
def test_tokens_leave_where_they_leave_on_the_engine(criterion, prefill, decoders, monkeypatch):
    inputs = encode(*TEXTS[1])
    config = EarlyExitConfig(criterion=criterion, threshold=LEAVING[criterion], prefill=prefill)
    expected = decoders.engine.generate(**inputs, **PLAIN, early_exit=config)
    histogram = decoders.engine.last_stats.exit_histogram
    assert len([count for count in histogram.values() if count > 2]) > 1
    for most in (decoding.MOST_WAITING, 2):  # how many wait changes nothing
        monkeypatch.setattr(decoding, "MOST_WAITING", most)
        assert torch.equal(decoders.torch.generate(**inputs, **PLAIN, early_exit=config), expected)
        assert decoders.torch.last_stats.exit_histogram == histogram


def test_a_token_leaves_by_the_definition(decoders, tmp_path):
    """Also with a learned criterion, whose weights are for all exits."""
    weights = np.array([[10.0, 0.0, -0.5, 0.0, 0.5, 0.1]] * 2)
    criterion = ClassifierCriterion([0, 2], weights, np.array([-1.5, -1.5]))
    (tmp_path / criterion.file_name).write_bytes(criterion.content())
    model = TorchDynExecModelForCausalLM(decoders.torch.model, decoders.torch.heads, tmp_path)
    config, inputs = EarlyExitConfig("classifier", 0.5), encode(TEXT[0])
    tokens = model.generate(**inputs, **PLAIN, early_exit=config)[0].tolist()
    histogram = dict.fromkeys([0, 2, LAYERS - 1], 0)
    for length in range(inputs["input_ids"].shape[1], len(tokens)):
        decoder = Decoder(model.model, [0, 2])
        full = decoder.run(tokens[:length])[-1]
        rows = [decoder.exit_logits(model.heads[layer], length) for layer in (0, 2)]
        statistics = reference_statistics([row[None].numpy() for row in rows], position=np.array([length - 1]))
        leaves = criterion.passes(criterion.scores(statistics)[0], 0.5) & (length > inputs["input_ids"].shape[1])
        exit = int(np.argmax([*leaves, True]))
        histogram[[0, 2, LAYERS - 1][exit]] += 1
        assert int([*rows, full][exit].argmax()) == tokens[length]
    assert model.last_stats.exit_histogram == histogram
    assert min(histogram[0], histogram[LAYERS - 1]) > 2


def test_the_rest_of_the_interface(decoders, tmp_path):
    model, inputs, tokenizer = decoders.torch, encode(TEXT[0]), build_tokenizer()
    plain = decoders.hf.generate(**inputs, **PLAIN)
    out = model.generate(
        **inputs, **{**PLAIN, "do_sample": True}, return_dict_in_generate=True, num_return_sequences=2
    )
    assert isinstance(out, DynExecGenerateOutput)
    assert out.dynexec is model.last_stats
    assert out.sequences.shape == (2, plain.shape[1])
    # A seed, processors and criteria.
    drawn = [model.generate(**inputs, do_sample=True, max_new_tokens=8, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    cold = LogitsProcessorList([TemperatureLogitsWarper(1e-3)])
    assert torch.equal(
        model.generate(**inputs, max_new_tokens=8, do_sample=True, logits_processor=cold), plain[:, : 8 - NEW]
    )
    text = tokenizer.decode(plain[0, inputs["input_ids"].shape[1] :])
    stopped = model.generate(**inputs, **PLAIN, stop_strings=text[5:9], tokenizer=tokenizer)
    assert torch.equal(stopped, decoders.hf.generate(**inputs, **PLAIN, stop_strings=text[5:9], tokenizer=tokenizer))
    assert stopped.shape[1] < plain.shape[1]
    end = int(plain[0, -5])
    finished = model.generate(**inputs, max_new_tokens=NEW, do_sample=False, eos_token_id=end, pad_token_id=0)
    assert finished[0, -1] == end
    assert not (finished[0, inputs["input_ids"].shape[1] : -1] == end).any()
    # A streamer.
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    thread = Thread(target=model.generate, kwargs={**inputs, **PLAIN, "streamer": streamer})
    thread.start()
    assert "".join(streamer) == text
    thread.join()
    # What has no draft to verify is transformers' own.
    beams = model.generate(**inputs, max_new_tokens=8, num_beams=2)
    assert torch.equal(beams, decoders.hf.generate(**inputs, max_new_tokens=8, num_beams=2))
    # Saved with its heads.
    model.save_pretrained(tmp_path / "saved")
    again = TorchDynExecModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert again.exit_layers == [0, 2]
    assert torch.equal(again.generate(**inputs, **PLAIN, **MODES["draft_head"]), plain)


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"early_exit": "calibrated"}, ValueError, "OpenVINO"),
        ({"early_exit": 0.5}, TypeError, "EarlyExitConfig"),
        ({"early_exit": EarlyExitConfig(threshold=0.5, kv="copy")}, ValueError, "deferred"),
        ({"early_exit": EarlyExitConfig(threshold=0.5), "speculation": "prompt_lookup"}, ValueError, "exclude"),
        ({"early_exit": EarlyExitConfig("learned", 0.5)}, ValueError, "encoders"),
        ({"early_exit": EarlyExitConfig(threshold=0.5), "num_beams": 2}, ValueError, "greedy"),
        ({"num_assistant_tokens_schedule": "disco"}, ValueError, "schedule"),
        ({"assistant_early_exit": 2}, ValueError, "assistant_early_exit"),
        ({"assistant_model": "gpt2"}, TypeError, "str"),
    ],
)
def test_what_is_not_accepted_is_named(options, error, named, decoders):
    with pytest.raises(error, match=named):
        decoders.torch.generate(**encode("a"), max_new_tokens=2, **options)


def test_heads_and_exports_that_do_not_fit(decoders, tiny_hf):
    with pytest.raises(ValueError, match="does not fit the model"):
        TorchDynExecModelForCausalLM.from_pretrained(tiny_hf("llama"), heads=decoders.base / "heads")
    with pytest.raises(ValueError, match="OpenVINO export"):
        TorchDynExecModelForCausalLM.from_pretrained(decoders.base / "ov")
    with pytest.raises(ValueError, match="`exit_layers` names layer 1"):
        TorchDynExecModelForCausalLM.from_pretrained(
            decoders.base / "hf", heads=decoders.base / "heads", exit_layers=[1]
        )
