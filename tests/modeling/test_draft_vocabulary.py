"""A draft model that proposes a part of its vocabulary, and changes no token."""

import numpy as np
import pytest
import torch

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.modeling.draft_corpus import DraftCorpus, make_draft_corpus
from optimum_dynexec.modeling.draft_words import frequent_tokens
from tests.tiny_models import TEXT


NEW_TOKENS = 24


@pytest.mark.parametrize("weight_format", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_no_token_changes(name, weight_format, tiny_export, encode):
    directory = tiny_export(name, weight_format)
    model = DynExecModelForCausalLM.from_pretrained(directory, precision="f32")
    whole = model.engine.paged_model.vocab_size
    arguments = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
    expected = model.generate(**encode(*TEXT[:2]), **arguments, speculation="off")
    accepted = []
    for size in (8, whole // 2, whole):
        draft = DynExecModelForCausalLM.from_pretrained(directory, precision="f32", draft_vocabulary=size)
        assert draft.engine.paged_model.vocab_size == size
        for speculation in ({"num_assistant_tokens": 4}, {"speculation": "auto"}):
            found = model.generate(
                **encode(*TEXT[:2]),
                **arguments,
                **speculation,
                assistant_model=draft,
                assistant_confidence_threshold=0.0,
            )
            assert torch.equal(found, expected)
            if "speculation" not in speculation:
                accepted.append(model.last_stats.acceptance_rate)
    # A model guesses itself with its whole vocabulary.
    assert accepted[0] <= accepted[1] <= accepted[2] == 1.0
    assert accepted[0] < 1.0


def test_it_can_only_draft(tiny_export, encode):
    draft = DynExecModelForCausalLM.from_pretrained(tiny_export("llama"), draft_vocabulary=8)
    with pytest.raises(ValueError, match="loaded with `draft_vocabulary`: it can only be an `assistant_model`"):
        draft.generate(**encode(TEXT[0]))
    with pytest.raises(ValueError, match="`draft_vocabulary` must be a whole number from 1, got 0"):
        DynExecModelForCausalLM.from_pretrained(tiny_export("llama"), draft_vocabulary=0)


def test_the_tokens_are_the_frequent_ones(tiny_export, tmp_path):
    directory = tiny_export("llama")
    by_id = frequent_tokens(directory, 350, 20)
    assert len(set(by_id)) == 20
    assert by_id == sorted(by_id)
    made, _ = make_draft_corpus(directory, [_text(tmp_path)])
    corpus = DraftCorpus(np.array([300] * 5 + [200] * 9, np.int32), np.array([14], np.int32), made.vocabulary)
    corpus.save(tmp_path / "corpus.safetensors")
    with_corpus = frequent_tokens(directory, 350, 20, tmp_path / "corpus.safetensors")
    assert {200, 300} <= set(with_corpus)
    assert len(set(by_id) - set(with_corpus)) == 2


def _text(directory):
    (directory / "text.txt").write_text(TEXT[0])
    return directory / "text.txt"
