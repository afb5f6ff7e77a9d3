"""A draft model has to write the tokens that the target reads."""

import json

import pytest
import torch

from optimum_dynexec.modeling.tokenizers import check_same_tokenizer


def write(directory, vocab, added=()):
    directory.mkdir()
    content = {"model": {"vocab": vocab}, "added_tokens": [{"content": c, "id": i} for c, i in added]}
    (directory / "tokenizer.json").write_text(json.dumps(content))
    return directory


def test_equal_vocabularies_pass_whatever_the_models_pad_theirs_to(tmp_path):
    a = write(tmp_path / "a", {"x": 0, "y": 1}, [("</s>", 2)])
    b = write(tmp_path / "b", {"y": 1, "x": 0}, [("</s>", 2)])
    check_same_tokenizer(a, b, 3, 64)


def test_unigram_lists_equal_maps(tmp_path):
    a = write(tmp_path / "a", [["x", -1.0], ["y", -2.5]])
    b = write(tmp_path / "b", {"x": 0, "y": 1})
    check_same_tokenizer(a, b, 2, 2)


@pytest.mark.parametrize(
    ("vocab", "added"),
    [({"x": 1, "y": 0}, ()), ({"x": 0}, ()), ({"x": 0, "y": 1, "z": 2}, ()), ({"x": 0, "y": 1}, [("</s>", 2)])],
)
def test_any_difference_is_named(tmp_path, vocab, added):
    a, b = write(tmp_path / "a", {"x": 0, "y": 1}), write(tmp_path / "b", vocab, added)
    with pytest.raises(ValueError, match="another tokenizer"):
        check_same_tokenizer(a, b, 2, 2)
    with pytest.raises(ValueError, match="another tokenizer"):
        check_same_tokenizer(b, a, 2, 2)


def test_without_files_the_sizes_decide(tmp_path):
    a = write(tmp_path / "a", {"x": 0, "y": 1})
    check_same_tokenizer(a, tmp_path, 2, 2)
    with pytest.raises(ValueError, match="vocabulary of 3 tokens"):
        check_same_tokenizer(a, tmp_path, 2, 3)


def test_a_changed_file_is_read_again(tmp_path):
    import os

    a, b = write(tmp_path / "a", {"x": 0}), write(tmp_path / "b", {"x": 0})
    check_same_tokenizer(a, b, 1, 1)
    (b / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"x": 1}}}))
    os.utime(b / "tokenizer.json", ns=(1, 1))
    with pytest.raises(ValueError, match="another tokenizer"):
        check_same_tokenizer(a, b, 1, 1)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model": 3}', '{"model": {"vocab": 3}}'])
def test_a_broken_file_is_named(tmp_path, content):
    a, b = write(tmp_path / "a", {"x": 0}), write(tmp_path / "b", {"x": 0})
    (b / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError, match="tokenizer.json"):
        check_same_tokenizer(a, b, 1, 1)


def test_models_exported_in_memory_draft_for_each_other(tiny_hf, tiny_tokenizer, tmp_path):
    """Each keeps the files of its own export, the tokenizer among them, whatever is exported after it."""
    from transformers import AutoModelForCausalLM

    from optimum_dynexec import DynExecModelForCausalLM

    padded = AutoModelForCausalLM.from_pretrained(tiny_hf("llama", seed=1))
    padded.resize_token_embeddings(padded.config.vocab_size + 14)
    padded.save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    target, draft = (
        DynExecModelForCausalLM.from_pretrained(source, export=True, precision="exact", load_in_8bit=False)
        for source in (tiny_hf("llama"), tmp_path)
    )
    assert all((model.model_save_dir / "tokenizer.json").is_file() for model in (target, draft))
    call = {"inputs": torch.tensor([[5, 6, 7, 8]]), "max_new_tokens": 12, "do_sample": False}
    drafted = target.generate(**call, assistant_model=draft, num_assistant_tokens=4)
    assert target.last_stats.proposed > 0
    assert torch.equal(drafted, target.generate(**call, speculation="off"))
    assert torch.equal(
        draft.generate(**call, assistant_model=target, num_assistant_tokens=4),
        draft.generate(**call, speculation="off"),
    )
