"""A draft corpus: made of files, read for models with the same tokenizer, a source of drafts that change no token."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.modeling.draft_corpus import DraftCorpus, make_draft_corpus
from optimum_dynexec.native import _C
from tests.tiny_models import TEXT


NEW_TOKENS = 40


@pytest.fixture
def directory(tiny_model):
    return tiny_model("llama").model_save_dir


@pytest.fixture
def corpus(directory, tmp_path):
    """The file of a corpus of two texts."""
    for name, text in zip("ab", TEXT, strict=False):
        (tmp_path / f"{name}.md").write_text(text)
    made, left_out = make_draft_corpus(directory, [tmp_path / "a.md", tmp_path / "b.md"])
    assert left_out == 0
    made.save(tmp_path / "corpus.safetensors")
    return tmp_path / "corpus.safetensors"


def test_texts_come_from_rows_files_and_folders(directory, tmp_path):
    folder = tmp_path / "folder" / "deeper"
    folder.mkdir(parents=True)
    (folder / "text.py").write_text(TEXT[0])
    (folder / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    (tmp_path / "folder" / ".hidden").write_text("hidden")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"text": text}) for text in TEXT[:2]))
    corpus, _ = make_draft_corpus(directory, [tmp_path / "folder", rows])
    first, second, third = corpus.texts
    assert np.array_equal(first, second)
    assert len(third) == corpus.lengths[2]
    short, left_out = make_draft_corpus(directory, [rows], max_tokens=len(first) + 1)
    assert left_out == 1
    assert np.array_equal(short.tokens, [*first, third[0]])


def test_a_corpus_is_the_same_after_it_was_saved(corpus):
    loaded = DraftCorpus.load(corpus)
    loaded.save(corpus.with_name("again.safetensors"))
    again = DraftCorpus.load(corpus.with_name("again.safetensors"))
    assert again.vocabulary == loaded.vocabulary
    assert [text.tolist() for text in again.texts] == [text.tolist() for text in loaded.texts]
    assert len(again.texts) == 2


def test_drafts_come_from_the_corpus_in_every_scope(directory, tiny_model, encode, tmp_path):
    model = tiny_model("llama")
    lengths = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
    expected = model.generate(**encode(TEXT[0]), **lengths, speculation="off")
    answer = expected[0, encode(TEXT[0])["input_ids"].shape[1] :].numpy().astype(np.int32)
    vocabulary = make_corpus_of(directory, tmp_path).vocabulary
    DraftCorpus(answer, np.array([len(answer)], np.int32), vocabulary).save(tmp_path / "answer.safetensors")
    loaded = DynExecModelForCausalLM.from_pretrained(directory, draft_corpus=tmp_path / "answer.safetensors")
    for scope in ("a", "b"):
        tokens = loaded.generate(
            **encode(TEXT[0]), **lengths, speculation="suffix", num_assistant_tokens=6, draft_scope=scope
        )
        assert torch.equal(tokens, expected)
        assert loaded.last_stats.target_forwards < 0.4 * NEW_TOKENS
    loaded.speculation_memory.forget_texts()
    loaded.generate(**encode(TEXT[0]), **lengths, speculation="suffix", num_assistant_tokens=6)
    assert loaded.last_stats.target_forwards < 0.4 * NEW_TOKENS


def make_corpus_of(directory, tmp_path) -> DraftCorpus:
    (tmp_path / "text.txt").write_text(TEXT[0])
    return make_draft_corpus(directory, [tmp_path / "text.txt"])[0]


def test_a_corpus_of_another_tokenizer_is_refused(directory, tmp_path):
    corpus = make_corpus_of(directory, tmp_path)
    DraftCorpus(corpus.tokens, corpus.lengths, "sha256:0").save(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="other.safetensors was made with another tokenizer than that of"):
        DynExecModelForCausalLM.from_pretrained(directory, draft_corpus=tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("tensors", "format_name", "message"),
    [
        ({}, "draft_corpus 9", "has the format 'draft_corpus 9'"),
        ({"tokens": np.zeros(3, np.int32)}, "draft_corpus 1", "lengths"),
        ({"tokens": np.zeros(3, np.int64), "lengths": np.array([3], np.int32)}, "draft_corpus 1", "`tokens` is not"),
        ({"tokens": np.zeros(3, np.int32), "lengths": np.array([2], np.int32)}, "draft_corpus 1", "not those of"),
        ({"tokens": np.zeros(0, np.int32), "lengths": np.zeros(0, np.int32)}, "draft_corpus 1", "not those of"),
    ],
)
def test_a_damaged_file_is_refused(tensors, format_name, message, directory, tmp_path):
    tensors = tensors or {"tokens": np.zeros(1, np.int32)}
    save_file(tensors, tmp_path / "bad.safetensors", metadata={"format": format_name})
    with pytest.raises(ValueError, match=f"bad.safetensors is not a draft corpus: .*{message}"):
        DynExecModelForCausalLM.from_pretrained(directory, draft_corpus=tmp_path / "bad.safetensors")


def test_token_ids_outside_of_the_vocabulary_are_refused(directory, tmp_path):
    corpus = make_corpus_of(directory, tmp_path)
    tokens = corpus.tokens.copy()
    tokens[0] = 10**6
    DraftCorpus(tokens, corpus.lengths, corpus.vocabulary).save(tmp_path / "far.safetensors")
    with pytest.raises(ValueError, match="tokens must be from 0 to"):
        DynExecModelForCausalLM.from_pretrained(directory, draft_corpus=tmp_path / "far.safetensors")


def test_what_cannot_be_read_is_named(directory, tmp_path):
    (tmp_path / "latin.txt").write_bytes("é".encode("latin1"))
    with pytest.raises(ValueError, match="latin.txt is not encoded in UTF-8"):
        make_draft_corpus(directory, [tmp_path / "latin.txt"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there is no text in .*empty"):
        make_draft_corpus(directory, [tmp_path / "empty"])
    with pytest.raises(ValueError, match="is not a draft corpus"):
        DraftCorpus.load(tmp_path / "missing.safetensors")
    with pytest.raises(ValueError, match="`max_tokens` must be a whole number from 1, got 0"):
        make_draft_corpus(directory, [tmp_path / "empty"], max_tokens=0)


def test_a_memory_learns_texts_of_a_corpus_only_once_they_are_added():
    memory = _C.SpeculationMemory()
    memory.add_to_corpus([1, 2, 3])
    assert memory.text_tokens == 0
