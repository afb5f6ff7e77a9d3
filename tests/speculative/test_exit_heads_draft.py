"""Self-speculation: the first layers and an exit head draft, the others verify."""

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from optimum_dynexec import export_dynexec
from optimum_dynexec.heads.storage import load_head
from optimum_dynexec.native import _C
from tests.heads.reference import head
from tests.speculative.tiny_exits import VOCABULARY, load_with_heads, save_exit_head, save_model
from tests.tiny_models import TEXT, build_tokenizer


# How much the later layers matter; the kind of the heads, how far they are from the model's own; their words.
CASES = {
    "norm": (0.3, "norm", 0.0, None),
    "adapter": (0.3, "adapter", 1.0, None),
    "block": (0.3, "block", 0.3, None),
    "perfect": (0.0, "norm", 0.0, None),
    "perfect_block": (0.0, "block", 0.0, None),
    "few_words": (0.3, "block", 0.3, range(VOCABULARY - 1, 20, -2)),
}
MODES = {
    "first": {"assistant_early_exit": 1, "num_assistant_tokens": 4, "assistant_confidence_threshold": 0.0},
    "second": {"assistant_early_exit": 3, "num_assistant_tokens": 3, "assistant_confidence_threshold": 0.0},
    "as_transformers": {"assistant_early_exit": 1},
    "any": {"speculation": "exit_heads"},
    "with_lookup": {
        "assistant_early_exit": 1,
        "prompt_lookup_num_tokens": 3,
        "num_assistant_tokens": 3,
        "assistant_confidence_threshold": 0.0,
    },
    "heuristic": {"assistant_early_exit": 1, "num_assistant_tokens_schedule": "heuristic", "num_assistant_tokens": 3},
    "auto": {"speculation": "auto"},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """`models(name)`: one of `CASES`, with exit heads after the layers 0 and 2."""
    base, made = tmp_path_factory.mktemp("exits"), {}

    def get(name):
        if name not in made:
            late, kind, noise, words = CASES[name]
            torch_model = save_model(base / f"hf-{name}", late)
            build_tokenizer().save_pretrained(base / f"hf-{name}")
            export_dynexec(base / f"hf-{name}", base / name, weight_format="fp32")
            for layer in (0, 2):
                save_exit_head(base / f"heads-{name}", torch_model, kind, layer, words, noise)
            made[name] = load_with_heads(base / name, base / f"heads-{name}")
        return made[name]

    return get


def encode(*texts):
    return build_tokenizer()(list(texts), return_tensors="pt", return_token_type_ids=False, padding=True)


def rows_run(model):
    return np.array(model.engine.paged_model.rows_run)


def both(model, inputs, mode="first", **arguments):
    """Plain and drafted output of the same call, and the rows that each segment ran for the latter."""
    arguments = {"do_sample": False, "max_new_tokens": 40, **arguments}
    plain = model.generate(**inputs, **arguments, speculation="off")
    before = rows_run(model)
    drafted = model.generate(**inputs, **arguments, **MODES[mode])
    for paged in (model.engine.paged_model, *(exit.paged_model for exit in model.engine.exit_heads.values())):
        assert paged.free_blocks == paged.num_blocks
    return plain, drafted, rows_run(model) - before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_greedy_output_is_that_of_plain_decoding(name, mode, models):
    model = models(name)
    assert sorted(model.engine.exit_heads) == [0, 2]
    for inputs in (encode(TEXT[0]), encode(TEXT[1], "a", TEXT[3][:20])):
        plain, drafted, _ = both(model, inputs, mode)
        assert torch.equal(plain, drafted)
    stats = model.last_stats
    if mode not in ("auto", "any"):
        assert stats.proposed > 0
        assert {"exit_heads"} <= {proposer.name for proposer in stats.proposers}


@pytest.mark.parametrize("name", ["perfect", "perfect_block"])
def test_a_perfect_head_is_always_accepted(name, models):
    model = models(name)
    both(model, encode(TEXT[0]))
    stats = model.last_stats
    assert stats.accepted == stats.proposed > 0
    assert stats.verifications == 1 + 8  # the first of 40 tokens comes with the prompt, the others in fives


@pytest.mark.parametrize("mode", ["first", "second", "with_lookup"])
@pytest.mark.parametrize("name", ["norm", "block", "perfect"])
def test_no_layer_is_run_twice_for_a_token_that_stands(name, mode, models):
    inputs = encode(TEXT[0])
    model = models(name)
    _, drafted, rows = both(model, inputs, mode)
    stats = model.last_stats
    # Each segment runs the prompt, every token but the last, and what was rejected: no more than that.
    assert rows.tolist() == [drafted.shape[1] - 1 + stats.proposed - stats.accepted] * 3


@pytest.mark.parametrize("new_tokens", range(1, 12))
def test_a_text_may_end_anywhere_in_a_draft(new_tokens, models):
    plain, drafted, _ = both(models("perfect"), encode(TEXT[0]), max_new_tokens=new_tokens)
    assert torch.equal(plain, drafted)


@pytest.mark.parametrize("place", range(1, 8))
def test_eos_anywhere_in_a_draft(place, models):
    for name in ("perfect_block", "norm"):
        model, inputs = models(name), encode(TEXT[2])
        free = model.generate(**inputs, do_sample=False, max_new_tokens=20, speculation="off")
        eos = int(free[0, inputs["input_ids"].shape[1] + place])
        plain, drafted, _ = both(model, inputs, max_new_tokens=20, eos_token_id=eos)
        assert torch.equal(plain, drafted)


def test_logits_processors(models):
    for arguments in ({"repetition_penalty": 1.3}, {"min_new_tokens": 30, "eos_token_id": 40}):
        plain, drafted, _ = both(models("few_words"), encode(TEXT[0]), **arguments)
        assert torch.equal(plain, drafted)


def test_a_prompt_of_one_token(models):
    inputs = {"input_ids": torch.tensor([[5]]), "attention_mask": torch.tensor([[1]])}
    plain, drafted, _ = both(models("block"), inputs)
    assert torch.equal(plain, drafted)


def test_a_prompt_of_many_passes(models, monkeypatch):
    model = models("block")
    ids = torch.randint(3, VOCABULARY, (3, 150), generator=torch.Generator().manual_seed(0))
    ids[1:, :40] = 0
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    for chunk in (7, 64, 1000):
        monkeypatch.setattr(model.engine, "loop", _C.DecodeLoop(model.engine.paged_model, chunk))
        plain, drafted, _ = both(model, inputs)
        assert torch.equal(plain, drafted)
        assert model.last_stats.accepted > 0


@pytest.mark.parametrize("name", ["norm", "adapter", "block", "few_words"])
def test_what_is_accepted_is_what_a_fresh_run_of_model_and_head_would_draft(name, models, heads_of):
    """A wrong row in a cache changes no output, only what is drafted from it."""
    model, inputs = models(name), encode(TEXT[0])
    arguments = {"do_sample": False, "min_new_tokens": 60, "max_new_tokens": 60}
    text = model.generate(**inputs, **arguments, **MODES["first"])[0].tolist()
    drafts = heads_of(name)
    expected = np.zeros(5, np.int64)
    at = inputs["input_ids"].shape[1] + 1  # the first token comes with the prompt
    while at < len(text) - 1:
        draft, accepted = list(text[:at]), 0
        while accepted < min(4, len(text) - at - 1):
            draft.append(drafts(draft))
            if draft[-1] != text[len(draft) - 1]:
                break
            accepted += 1
        expected[accepted] += 1
        at += accepted + 1
    histogram = model.last_stats.accepted_histogram
    assert histogram == expected[: len(histogram)].tolist()
    assert sum(histogram) == expected.sum()
    assert 0 < model.last_stats.accepted < model.last_stats.proposed


@pytest.fixture(scope="module")
def heads_of(models, tmp_path_factory):
    """`heads_of(name)(tokens)`: what the head after layer 0 predicts, in torch and numpy."""

    def get(name):
        model = models(name)
        base = model.model_save_dir.parent
        torch_model = LlamaForCausalLM.from_pretrained(base / f"hf-{name}").eval()
        config, tensors = load_head(base / f"heads-{name}" / "exit_head_0.safetensors")
        unembedding = torch_model.lm_head.weight.detach().numpy()

        def predict(tokens):
            with torch.no_grad():
                hidden = torch_model.model(torch.tensor([tokens]), output_hidden_states=True).hidden_states[1]
            logits, _ = head(config, tensors, unembedding, hidden[0].numpy().astype(np.float64))
            return int(tensors["token_ids"][logits[-1].argmax()])

        return predict

    return get


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"assistant_early_exit": 2}, r"after \[1, 3\] layers"),
        ({"assistant_early_exit": 0}, "from 1"),
        ({"assistant_early_exit": "1"}, "from 1"),
        ({"assistant_early_exit": True}, "from 1"),
        ({"assistant_early_exit": 1, "speculation": "prompt_lookup"}, "assistant_early_exit"),
    ],
)
def test_what_is_not_accepted_is_named(arguments, named, models):
    with pytest.raises(ValueError, match=named):
        models("norm").generate(torch.tensor([[5, 6]]), **arguments)


@pytest.mark.parametrize("arguments", [{"assistant_early_exit": 1}, {"speculation": "exit_heads"}])
def test_a_model_without_heads_says_how_to_get_some(arguments, tiny_model):
    with pytest.raises(ValueError, match="train-heads"):
        tiny_model("llama").generate(torch.tensor([[5, 6]]), **arguments)


def test_exits_that_do_not_fit_are_refused(models):
    model = models("norm")
    head = model.engine.exit_heads[0].native
    params = _C.SpeculationParams()
    request = _C.SequenceRequest()
    request.prompt, request.max_new_tokens = [5, 6], 4
    for segment in (2, 7):
        params.proposers = [_C.ProposerParams("exit_heads", head=head, segment=segment)]
        with pytest.raises(ValueError, match="An exit head reads"):
            model.engine.loop.generate([request], params)
