"""A draft model with another tokenizer: its words in terms of the target, and drafts that change no token."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from optimum_dynexec.modeling import generate_request
from optimum_dynexec.modeling.assistants import Assistant
from optimum_dynexec.modeling.other_tokenizer import translate
from optimum_dynexec.native import _C
from tests.tiny_models import TEXT


NEW_TOKENS = 24


def byte_level(merges: list[tuple[str, str]], special: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer with the 256 bytes and the given merges."""
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet()) + ["".join(pair) for pair in merges]
    tokenizer = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def sentencepiece(pieces: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that writes spaces as ▁, and other bytes as <0x..>."""
    vocab = {piece: i for i, piece in enumerate([*(f"<0x{byte:02X}>" for byte in range(256)), *pieces])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def test_tokens_of_the_same_bytes_are_words():
    ours = byte_level([("t", "h"), ("th", "e")], ["<end>"])
    theirs = byte_level([("h", "e"), ("t", "h")], ["<other>", "<end>"])
    vocabulary = translate(ours, theirs, len(theirs))
    for piece, token in ours.get_vocab().items():
        word = theirs.get_vocab().get(piece)
        if word is not None:
            assert vocabulary.token_ids[word] == token
            assert vocabulary.spell(token) == [word]
    # "the" is not a word there.
    assert vocabulary.spell(ours.get_vocab()["the"]) == theirs("the")["input_ids"]
    assert vocabulary.token_ids[theirs.get_vocab()["he"]] == -1
    assert vocabulary.token_ids[theirs.get_vocab()["<other>"]] == -1


def test_other_kinds_of_tokenizers_are_compared_by_bytes():
    ours = byte_level([("Ġ", "a"), ("Ã", "©")], ["<end>"])
    theirs = sentencepiece(["▁a", "a", "é", "▁"])
    vocabulary = translate(ours, theirs, len(theirs) + 3)
    id_of, word_of = ours.get_vocab(), theirs.get_vocab()
    assert len(vocabulary) == len(theirs) + 3
    assert vocabulary.spell(id_of["Ġa"]) == [word_of["▁a"]]
    assert vocabulary.spell(id_of["Ã©"]) == [word_of["é"]]
    # Whole words come before bytes; what is no word is read byte by byte.
    assert vocabulary.spell(id_of["a"]) == [word_of["a"]]
    assert vocabulary.token_ids[word_of["<0x61>"]] == -1
    assert vocabulary.spell(id_of["Ċ"]) == [word_of["<0x0A>"]]
    assert vocabulary.spell(id_of["<end>"]) == []
    back = translate(theirs, ours, len(ours))
    assert back.spell(word_of["▁a"]) == [id_of["Ġa"]]
    assert back.spell(word_of["<0x61>"]) == [id_of["a"]]


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_drafts_of_another_tokenizer_change_no_token(name, tiny_model, encode, monkeypatch):
    """The other tokenizer has the same words under other ids, and lacks some of them."""
    model = tiny_model(name)
    size = model.engine.paged_model.vocab_size
    generator = np.random.default_rng(0)
    shuffled = generator.permutation(size)
    spellings = [
        [int(shuffled[token])] if token % 7 else generator.integers(0, size, 2).tolist() for token in range(size)
    ]
    token_ids = [-1] * size
    for token in range(size):
        if token % 7:
            token_ids[shuffled[token]] = token
    # The model itself, read through this vocabulary.
    assistant = Assistant(model.engine, _C.DraftVocabulary(token_ids, spellings))
    monkeypatch.setattr(generate_request, "make_assistant", lambda *_: assistant)
    drafting = {"assistant_model": model, "assistant_confidence_threshold": 0.0}
    arguments = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS}
    for sampling in ({"do_sample": False}, {"do_sample": True, "seed": 3}):
        expected = model.generate(**encode(TEXT[0], TEXT[1]), **arguments, **sampling, speculation="off")
        for speculation in ({"num_assistant_tokens": 4}, {"speculation": "auto"}):
            found = model.generate(**encode(TEXT[0], TEXT[1]), **arguments, **sampling, **drafting, **speculation)
            if not sampling["do_sample"]:
                assert torch.equal(found, expected)
            else:
                assert found.shape == expected.shape


def test_the_arguments_are_those_of_transformers(tiny_model, tiny_tokenizer, encode):
    model = tiny_model("llama")
    arguments = {**encode(TEXT[0]), "max_new_tokens": NEW_TOKENS, "do_sample": False}
    expected = model.generate(**arguments, speculation="off")
    other = byte_level([], [])
    found = model.generate(
        **arguments,
        assistant_model=model,
        assistant_confidence_threshold=0.0,
        tokenizer=tiny_tokenizer,
        assistant_tokenizer=other,
    )
    assert torch.equal(found, expected)
    assert model.last_stats.proposed > 0
    with pytest.raises(ValueError, match="give `assistant_model` and the model's `tokenizer` too"):
        model.generate(**arguments, assistant_model=model, assistant_tokenizer=other)


def test_a_vocabulary_that_cannot_be():
    with pytest.raises(ValueError, match="has no tokens"):
        _C.DraftVocabulary([-1, -1])
    with pytest.raises(ValueError, match="same token"):
        _C.DraftVocabulary([3, -1, 3])
    with pytest.raises(ValueError, match="has words 0 to 1, but a token is spelled with others"):
        _C.DraftVocabulary([0, 1], [[0], [2]])
