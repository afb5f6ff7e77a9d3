"""Embeddings, labels and the order of documents over HTTP."""

import json
import runpy
import shutil
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.conftest import REASON, running
from tests.serving.test_hostile import is_error, values


WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "then", "it", "sleeps"]
TEXTS = [" ".join(WORDS[: 1 + index % len(WORDS)]) + "!" * (index // len(WORDS)) for index in range(40)]


def with_tokenizer(source, directory):
    from tests.tiny_models import build_tokenizer

    for library in ("fastapi", "uvicorn", "prometheus_client", "llguidance", "openai"):
        pytest.importorskip(library, reason=REASON)
    shutil.copytree(source, directory)
    build_tokenizer().save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def embedding_export(tiny_encoder, tmp_path_factory):
    return with_tokenizer(tiny_encoder("bert", "feature-extraction"), tmp_path_factory.mktemp("embed") / "embed")


@pytest.fixture(scope="module")
def calibrated_export(tiny_encoder, tmp_path_factory):
    """A classifier that is calibrated, so that texts leave early."""
    from optimum_dynexec.calibration import CalibrationArguments, calibrate
    from optimum_dynexec.directory.freshness import save_calibration
    from tests.calibrated_encoder import EPSILON, exit_records

    directory = with_tokenizer(tiny_encoder("bert"), tmp_path_factory.mktemp("classify") / "classify")
    found = calibrate(
        exit_records(directory), CalibrationArguments(criterion="max_prob", epsilon=EPSILON, method="binomial")
    )
    save_calibration(found.calibration, found.criterion.content(), directory)
    return directory


@pytest.fixture(scope="module")
def cross_encoder_export(tmp_path_factory):
    from transformers import BertConfig, BertForSequenceClassification

    from optimum_dynexec import export_dynexec
    from tests.tiny_encoders import TEXT_ENCODERS
    from tests.tiny_models import build_tokenizer

    base = tmp_path_factory.mktemp("cross")
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    config = BertConfig(**{**TEXT_ENCODERS["bert"][1], "vocab_size": len(tokenizer), "num_labels": 1})
    BertForSequenceClassification(config).save_pretrained(base / "hf")
    tokenizer.save_pretrained(base / "hf")
    export_dynexec(base / "hf", base / "export", task="text-classification", weight_format="fp32")
    return with_tokenizer(base / "export", base / "cross")


def serving(directory, tmp_path_factory, *arguments):
    return running(directory, tmp_path_factory.mktemp("log") / "log", "--precision", "exact", *arguments)


@pytest.fixture(scope="module")
def embedder(embedding_export, tmp_path_factory):
    with serving(embedding_export, tmp_path_factory) as found:
        yield found


@pytest.fixture(scope="module")
def classifier(calibrated_export, tmp_path_factory):
    with serving(calibrated_export, tmp_path_factory) as found:
        yield found


@pytest.fixture(scope="module")
def reranker(cross_encoder_export, tmp_path_factory):
    """A small server with keys. The last test ends it."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("secret\n")
    keys.chmod(0o600)
    with serving(cross_encoder_export, tmp_path_factory, "--api-key-file", keys, "--max-running", 2) as found:
        found.key = "secret"
        yield found


def expected_embedding(directory, text):
    """By the plain model, alone."""
    from optimum.intel import OVModelForFeatureExtraction
    from transformers import AutoTokenizer

    model = OVModelForFeatureExtraction.from_pretrained(
        directory, ov_config={"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    )
    states = model(**AutoTokenizer.from_pretrained(directory)(text, return_tensors="np"))["last_hidden_state"][0]
    mean = np.asarray(states).mean(0)
    return mean / np.linalg.norm(mean)


def post(server, path, **body):
    with server.http() as http:
        return http.post(path, json=body)


def test_embeddings_are_those_of_the_model(embedder, embedding_export):
    client = embedder.client()
    answer = client.embeddings.create(model="embed", input=TEXTS[5])  # base64, the default of the client
    np.testing.assert_allclose(answer.data[0].embedding, expected_embedding(embedding_export, TEXTS[5]), atol=1e-5)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    plain = client.embeddings.create(model="embed", input=TEXTS[5], encoding_format="float")
    np.testing.assert_allclose(plain.data[0].embedding, answer.data[0].embedding, atol=1e-6)


def test_inputs_of_all_kinds(embedder):
    from tests.tiny_models import build_tokenizer

    client = embedder.client()
    several = client.embeddings.create(model="embed", input=TEXTS[:3])
    assert [one.index for one in several.data] == [0, 1, 2]
    tokens = build_tokenizer()(TEXTS[:3])["input_ids"]
    as_tokens = client.embeddings.create(model="embed", input=tokens)
    alone = client.embeddings.create(model="embed", input=tokens[2])
    for one, other in zip(several.data, as_tokens.data, strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-5)
    np.testing.assert_allclose(alone.data[0].embedding, several.data[2].embedding, atol=1e-5)


def test_dimensions(embedder):
    client = embedder.client()
    whole = np.array(client.embeddings.create(model="embed", input="fox").data[0].embedding)
    cut = np.array(client.embeddings.create(model="embed", input="fox", dimensions=8).data[0].embedding)
    np.testing.assert_allclose(cut, whole[:8] / np.linalg.norm(whole[:8]), atol=1e-5)
    error = is_error(post(embedder, "/v1/embeddings", model="embed", input="fox", dimensions=99), 400)
    assert error["param"] == "dimensions"


def test_the_files_of_sentence_transformers_decide(tmp_path):
    from optimum_dynexec.serving.errors import ServeError
    from optimum_dynexec.serving.pooling import Pooling, read_pooling

    states = np.array([[3.0, 0.0], [1.0, 4.0]])
    np.testing.assert_allclose(read_pooling(tmp_path)(states), np.array([2, 2]) / np.sqrt(8))
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_Pooling").mkdir()
    config = {"word_embedding_dimension": 2, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(config))
    assert read_pooling(tmp_path) == Pooling(("cls_token",), normalize=False)
    np.testing.assert_allclose(read_pooling(tmp_path)(states), [3, 0])
    (tmp_path / "modules.json").write_text(json.dumps([*modules, {"path": "2", "type": "x.Dense"}]))
    with pytest.raises(ServeError, match="'Dense'"):
        read_pooling(tmp_path)


def test_texts_leave_early_and_the_answer_says_where(classifier, calibrated_export):
    from transformers import AutoTokenizer

    from optimum_dynexec import DynExecModelForSequenceClassification

    model = DynExecModelForSequenceClassification.from_pretrained(calibrated_export, precision="exact", measure=False)
    tokenizer = AutoTokenizer.from_pretrained(calibrated_export)
    before = classifier.metrics().get("dynexec:exit_layer_total", 0)
    for early_exit, asked in (("calibrated", {}), (None, {"early_exit": "off"})):
        answer = post(classifier, "/v1/classify", model="classify", input=TEXTS, **asked).json()
        layers = [item["dynexec"]["exit_layer"] for item in answer["data"]]
        for text, item, layer in zip(TEXTS, answer["data"], layers, strict=True):
            alone = model(**tokenizer(text, return_tensors="pt"), early_exit=early_exit)
            assert layer == (None if early_exit is None else int(alone.exit_layer))
            probabilities = alone.logits[0].softmax(-1)
            np.testing.assert_allclose(item["probs"], probabilities, atol=1e-5)
            assert item["label"] == model.config.id2label[int(probabilities.argmax())]
            assert item["num_classes"] == len(item["probs"])
        if early_exit is not None:
            assert min(layers) < model.config.num_hidden_layers - 1
    assert classifier.metrics()["dynexec:exit_layer_total"] == before + 2 * len(TEXTS)


@pytest.mark.parametrize("asked", [{}, {"early_exit": "off"}], ids=["calibrated", "off"])
def test_many_clients_get_the_answers_of_one_alone(classifier, asked):
    with classifier.http() as http:

        def ask(text):
            return http.post("/v1/classify", json={"model": "classify", "input": text, **asked}).json()["data"][0]

        alone = [ask(text) for text in TEXTS]
        with ThreadPoolExecutor(16) as pool:
            together = list(pool.map(ask, TEXTS * 3))
    for one, other in zip(alone * 3, together, strict=True):
        assert (one["label"], one["dynexec"]) == (other["label"], other["dynexec"])
        np.testing.assert_allclose(one["probs"], other["probs"], atol=1e-5)
    idle = classifier.wait_until(lambda found: found["vllm:num_requests_running"] == 0)
    assert idle["vllm:num_requests_waiting"] == 0
    assert idle["vllm:prompt_tokens_total"] > 0


def test_documents_in_their_order(reranker, cross_encoder_export):
    from optimum.intel import OVModelForSequenceClassification
    from transformers import AutoTokenizer

    model = OVModelForSequenceClassification.from_pretrained(
        cross_encoder_export, ov_config={"INFERENCE_PRECISION_HINT": "f32"}
    )
    tokenizer = AutoTokenizer.from_pretrained(cross_encoder_export)
    documents = TEXTS[:7]
    scores = [
        float(torch.sigmoid(model(**tokenizer("a fox", text, return_tensors="pt")).logits[0, 0])) for text in documents
    ]
    answer = post(reranker, "/v1/rerank", model="cross", query="a fox", documents=documents).json()
    assert [one["relevance_score"] for one in answer["results"]] == pytest.approx(sorted(scores)[::-1], abs=1e-5)
    for one in answer["results"]:
        assert one["relevance_score"] == pytest.approx(scores[one["index"]], abs=1e-5)
        assert one["document"] == {"text": documents[one["index"]]}
    body = {"model": "cross", "query": "a fox", "documents": [{"text": text} for text in documents]}
    best = post(reranker, "/v1/rerank", **body, top_n=2, return_documents=False).json()["results"]
    assert [one["index"] for one in best] == [one["index"] for one in answer["results"][:2]]
    assert "document" not in best[0]
    error = is_error(post(reranker, "/v1/rerank", **body, early_exit="calibrated"), 400)
    assert error["param"] == "early_exit"


@pytest.mark.parametrize(
    ("name", "ask"), [("embedder", "embeddings"), ("classifier", "classify"), ("reranker", "rerank")]
)
def test_the_example_runs(request, capsys, monkeypatch, name, ask):
    found = request.getfixturevalue(name)
    path = Path(__file__).parents[2] / "examples" / "serving" / "encoder_client.py"
    monkeypatch.setattr(sys, "argv", [str(path), "--url", f"{found.url}/v1", "--ask", ask])
    monkeypatch.setenv("OPENAI_API_KEY", found.key)
    runpy.run_path(str(path), run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) >= 2


def test_what_the_server_does_not_have(embedder, classifier, server):
    for which, path, has in (
        (embedder, "/v1/chat/completions", "/v1/embeddings"),
        (classifier, "/v1/embeddings", "/v1/classify"),
        (classifier, "/v1/rerank", "/v1/classify"),
        (server, "/v1/embeddings", "/v1/chat/completions"),
    ):
        assert has in is_error(post(which, path, model="x"), 404)["message"]


FIELDS = [
    ({"input": []}, "input"),
    ({"input": ""}, "input"),
    ({"input": [350]}, "input"),
    ({"input": [[3], []]}, "input.1"),
    ({"input": [-1]}, "input.0"),
    ({"input": {"text": "fox"}}, "input"),
    ({"input": [5] * 129}, "input"),
    ({"input": ["a"] * 2049}, "input"),
    ({"encoding_format": "hex"}, "encoding_format"),
    ({"dimensions": 0}, "dimensions"),
    ({"early_exit": "sometimes"}, "early_exit"),
    ({"early_exit": "calibrated"}, "early_exit"),
    ({"temperature": 1}, "temperature"),
]


@pytest.mark.parametrize(("change", "param"), FIELDS, ids=lambda value: str(value)[:40])
def test_fields_that_are_wrong_are_named(embedder, embedding_export, change, param):
    response = post(embedder, "/v1/embeddings", **{"model": "embed", "input": "fox", **change})
    error = is_error(response, 400)
    assert error["param"] == param
    assert str(embedding_export.parent) not in response.text


NAMES = st.sampled_from(["model", "input", "encoding_format", "dimensions", "early_exit", "user", "n"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(NAMES, values, max_size=3))
def test_any_values_of_fields(embedder, changes):
    with embedder.http() as http:
        response = http.post("/v1/embeddings", content=json.dumps({"model": "embed", "input": "fox", **changes}))
    if response.status_code != 200:
        is_error(response)


@pytest.mark.parametrize("name", ["embedder", "classifier"])
def test_the_schema_of_the_api_is_kept(request, name):
    from tests.serving.test_hostile import ask_all_operations

    paths = ask_all_operations(request.getfixturevalue(name), 10)
    assert {"/v1/embeddings" if name == "embedder" else "/v1/classify", "/v1/models", "/metrics"} <= paths


def test_keys_and_other_models(reranker):
    with reranker.http() as http:
        body = {"model": "cross", "input": "fox"}
        assert is_error(http.post("/v1/classify", json=body, headers={"Authorization": ""}), 401)
        assert is_error(http.post("/v1/classify", json={**body, "model": "gpt-9"}), 404)["code"] == "model_not_found"
        assert http.post("/v1/classify", content=b" " * (5 << 20)).status_code == 413
        assert http.get("/v1/models").json()["data"][0]["max_model_len"] == 128


def test_a_signal_ends_the_server_when_its_requests_have_ended(reranker):
    """The last test: the server is gone then."""
    answers = []
    body = {"model": "cross", "query": "fox", "documents": TEXTS * 50}
    asking = threading.Thread(target=lambda: answers.append(post(reranker, "/v1/rerank", **body)))
    asking.start()
    reranker.wait_until(lambda found: found["vllm:num_requests_running"] > 0)
    reranker.process.send_signal(signal.SIGTERM)
    asking.join(30)
    assert len(answers[0].json()["results"]) == len(body["documents"])
    assert reranker.process.wait(20) == 0
    assert "secret" not in reranker.log.read_text()
