"""Results of tiny models, each measured once per session."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.tiny_models import TEXT


QUESTIONS = [
    {"question_id": 81, "category": "writing", "turns": [" ".join(TEXT[:1]), "another turn"]},
    {"question_id": 241, "category": "qa", "turns": [" ".join(TEXT[1:2])]},
    {"question_id": 401, "category": "rag", "turns": [" ".join(TEXT[2:3])]},
]


@pytest.fixture(scope="session")
def questions(tmp_path_factory) -> Path:
    """Questions in the format of Spec-Bench."""
    path = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, QUESTIONS)))
    return path


@pytest.fixture(scope="session")
def held_out(tmp_path_factory) -> Path:
    """A text for perplexity."""
    path = tmp_path_factory.mktemp("held-out") / "text.txt"
    path.write_text("\n".join(TEXT))
    return path


@pytest.fixture(scope="session")
def decoder_run(tiny_export, questions, held_out, tmp_path_factory):
    """A run over a tiny decoder and its INT8 export: what it was given, gave and wrote."""
    from optimum_dynexec.benchmark import BenchmarkArguments, run_benchmark

    models = {"f32": tiny_export("llama"), "int8": tiny_export("llama", "int8")}
    arguments = BenchmarkArguments(
        precision="exact",
        repeats=2,
        max_new_tokens=12,
        perplexity_data=[str(held_out)],
        perplexity_window=16,
        perplexity_stride=8,
        max_loss=0.5,
        progress=False,
    )
    output = tmp_path_factory.mktemp("decoder-run") / "results.json"
    results = run_benchmark(models, [questions], arguments, output)
    return SimpleNamespace(models=models, data=[questions], arguments=arguments, output=output, results=results)


@pytest.fixture(scope="session")
def classifier_data(tmp_path_factory) -> Path:
    """Labelled texts."""
    words = " ".join(TEXT).split()
    rows = [{"text": " ".join(words[i : i + 3 + i % 5]), "label": i % 3} for i in range(10)]
    path = tmp_path_factory.mktemp("classifier-data") / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="session")
def classifier_run(tiny_encoder, classifier_data, tmp_path_factory):
    """The same of a tiny classifier, with a variant beside what leaves where it is told to."""
    from optimum_dynexec.benchmark import BenchmarkArguments, run_benchmark

    models = {"f32": tiny_encoder("bert")}
    arguments = BenchmarkArguments(
        precision="exact",
        repeats=3,
        batch_sizes=(4, 1),
        dynamic={"threshold": 0.8},
        variants={"first": {"thresholds": {"0": 0.0}}},
        progress=False,
    )
    output = tmp_path_factory.mktemp("classifier-run") / "results.json"
    results = run_benchmark(models, [classifier_data], arguments, output)
    return SimpleNamespace(models=models, data=[classifier_data], arguments=arguments, output=output, results=results)
