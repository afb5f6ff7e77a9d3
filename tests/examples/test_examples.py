"""The examples run, on tiny models."""

import runpy
import shutil
import sys
from pathlib import Path

import pytest

from optimum_dynexec.modeling.draft_corpus import make_draft_corpus
from tests.tiny_models import TEXT, build_tokenizer


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(monkeypatch, capsys):
    """`run(name, *arguments)`: what the example prints."""

    def get(name: str, *arguments) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return get


@pytest.fixture(scope="module")
def chat(headed_decoders, tmp_path_factory):
    """`chat(name)`: the export of that name, with a chat template."""
    base = tmp_path_factory.mktemp("chat")

    def get(name: str) -> Path:
        if not (base / name).exists():
            shutil.copytree(headed_decoders.base / name, base / name)
            tokenizer = build_tokenizer()
            tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
            tokenizer.save_pretrained(base / name)
        return base / name

    return get


def test_draft_model(run, chat):
    said = run("draft_model.py", "--model", chat("ov"), "--draft", chat("draft-ov"), "--max-new-tokens", 12)
    assert "draft_model: " in said


def test_many_users(run, chat):
    said = run("many_users.py", "--model", chat("ov"), "--max-new-tokens", "8")
    assert "cancelled after" in said
    assert "tokens in" in said.splitlines()[-1]


def test_earlier_texts(run, chat, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT[0])
    corpus, _ = make_draft_corpus(chat("ov"), [tmp_path / "text.txt"])
    corpus.save(tmp_path / "corpus.safetensors")
    arguments = ["--draft-corpus", tmp_path / "corpus.safetensors", "--max-new-tokens", 24]
    said = run("earlier_texts.py", "--model", chat("ov"), *arguments)
    first, again, other = (float(line.split()[1]) for line in said.splitlines()[:3])
    assert first == other < again
    assert "The same tokens in all calls: True" in said


def test_streaming_and_sampling(run, chat):
    said = run("streaming_and_sampling.py", "--model", chat("ov"), "--max-new-tokens", 12)
    assert "Seed 1 again gives the same text: True" in said


def test_early_exit(run, headed_decoders):
    base = headed_decoders.base
    thresholds = ["--thresholds", 0.2, 1.0, "--max-new-tokens", 12]
    said = run("early_exit.py", "--model", base / "ov", "--heads", base / "heads", *thresholds)
    assert "threshold 1.0" in said
    assert "the first 12 of 12 tokens equal those of the full model" in said


def test_compare_with_torch(run, headed_decoders):
    base = headed_decoders.base
    directories = ["--checkpoint", base / "hf", "--model", base / "ov", "--heads", base / "heads"]
    assert "Tokens equal in both backends: True" in run("compare_with_torch.py", *directories)


def test_classify(run, tiny_encoder, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXT))
    said = run("classify.py", "--model", tiny_encoder("bert"), "--texts", tmp_path / "texts.txt", "--threshold", 0.0)
    assert said.count("after layer 0)") == len(TEXT)
    assert f"of {len(TEXT)} labels" in said
