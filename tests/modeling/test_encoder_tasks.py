"""Early exit where a sample has more answers than one label: tokens, spans and embeddings."""

import numpy as np
import pytest
import torch
from optimum.intel import (
    OVModelForFeatureExtraction,
    OVModelForQuestionAnswering,
    OVModelForTokenClassification,
)
from transformers import pipeline

from optimum_dynexec import (
    DynExecModelForFeatureExtraction,
    DynExecModelForQuestionAnswering,
    DynExecModelForTokenClassification,
    EarlyExitConfig,
)
from tests.encoder_heads import random_encoder_heads
from tests.modeling.test_encoder_exit import LAST, LAYERS, LENGTHS, texts


TASKS = {
    "token-classification": (DynExecModelForTokenClassification, OVModelForTokenClassification, ["logits"]),
    "question-answering": (
        DynExecModelForQuestionAnswering,
        OVModelForQuestionAnswering,
        ["start_logits", "end_logits"],
    ),
    "feature-extraction": (DynExecModelForFeatureExtraction, OVModelForFeatureExtraction, ["last_hidden_state"]),
}


@pytest.fixture(scope="module", params=list(TASKS))
def task(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(task, tiny_encoder):
    return TASKS[task][0].from_pretrained(tiny_encoder("bert", task), precision="exact")


@pytest.fixture(scope="module")
def answers(task, model) -> dict[int, dict[str, np.ndarray]]:
    """What each exit says, and last what the full model says."""
    inputs = texts()
    if task == "feature-extraction":
        # Without a head the hidden states are the answer: this model has no norm behind its last layer.
        found = {layer: {"last_hidden_state": value} for layer, value in model.hidden_states(**inputs).items()}
        found[LAST] = {"last_hidden_state": model(**inputs).last_hidden_state}
    else:
        found = model.exit_logits(**inputs)
    return {layer: {name: value.numpy() for name, value in values.items()} for layer, values in found.items()}


def confidence(task: str, answers: dict[int, dict[str, np.ndarray]], layer: int, sample: int) -> float:
    """By the definition, in numpy."""

    def largest(logits: np.ndarray) -> np.ndarray:
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        return (odds / odds.sum(-1, keepdims=True)).max(-1)

    length = LENGTHS[sample]
    values = answers[layer]
    if task == "token-classification":
        return float(largest(values["logits"][sample, :length]).min())
    if task == "question-answering":
        return min(float(largest(values[name][sample, :length])) for name in ("start_logits", "end_logits"))
    if layer == 0:
        return float("nan")
    first, second = (answers[k]["last_hidden_state"][sample, :length].mean(0) for k in (layer - 1, layer))
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


@pytest.fixture(scope="module")
def scores(task, answers) -> np.ndarray:
    """float64 `[samples, layers]`."""
    return np.array([[confidence(task, answers, layer, i) for layer in [*LAYERS, LAST]] for i in range(len(LENGTHS))])


@pytest.fixture(scope="module")
def early_exit(task, scores) -> EarlyExitConfig:
    known = np.sort(scores[:, :-1][np.isfinite(scores[:, :-1])])
    threshold = float(known[len(known) // 2 - 1 : len(known) // 2 + 1].mean())
    return EarlyExitConfig("settled" if task == "feature-extraction" else "max_prob", threshold)


def test_samples_leave_when_all_of_their_answers_are_sure(task, model, answers, scores, early_exit):
    found = model(**texts(), early_exit=early_exit)
    passes = scores[:, :-1] >= early_exit.threshold
    expected = [LAYERS[int(np.argmax(row))] if row.any() else LAST for row in passes]
    assert found.exit_layer.tolist() == expected
    assert len(set(expected)) > 1
    wanted = [scores[i, layer] for i, layer in enumerate(expected)]
    np.testing.assert_allclose(found.confidence.numpy(), wanted, rtol=1e-4, atol=1e-4)
    for name in TASKS[task][2]:
        values = found[name].numpy()
        assert values.shape == answers[LAST][name].shape
        for i, layer in enumerate(expected):
            np.testing.assert_allclose(
                values[i, : LENGTHS[i]], answers[layer][name][i, : LENGTHS[i]], rtol=1e-4, atol=1e-4
            )
            assert np.isfinite(values[i]).all()


def test_left_padding_stays_in_place(task, model, early_exit):
    inputs = texts(side="left")
    found = model(**inputs, early_exit=early_exit)
    mask = inputs["attention_mask"].bool()
    layers = found.exit_layer
    assert (layers < LAST).any()
    if task != "feature-extraction":
        said = model.exit_logits(**inputs)
        for name in TASKS[task][2]:
            for i, layer in enumerate(layers.tolist()):
                torch.testing.assert_close(
                    found[name][i][mask[i]], said[layer][name][i][mask[i]], rtol=1e-4, atol=1e-4
                )
    else:
        hidden = model.hidden_states(**inputs)
        for i, layer in enumerate(layers.tolist()):
            wanted = hidden[layer][i] if layer < LAST else model(**inputs).last_hidden_state[i]
            torch.testing.assert_close(found.last_hidden_state[i][mask[i]], wanted[mask[i]], rtol=1e-4, atol=1e-4)


def test_none_leaves(task, model, early_exit, tiny_encoder, exact_ov_config):
    never = EarlyExitConfig("settled", 1.0) if task == "feature-extraction" else EarlyExitConfig("patience", 99)
    found = model(**texts(), early_exit=never)
    assert set(found.exit_layer.tolist()) == {LAST}
    plain = TASKS[task][1].from_pretrained(tiny_encoder("bert", task), ov_config=exact_ov_config)(**texts())
    mask = texts()["attention_mask"].bool()
    for name in TASKS[task][2]:
        torch.testing.assert_close(found[name][mask], plain[name][mask], rtol=1e-4, atol=1e-4)
        assert torch.equal(model(**texts())[name], plain[name])


def test_empty_batch(task, model, early_exit):
    inputs = {name: value[:0] for name, value in texts().items()}
    found = model(**inputs, early_exit=early_exit)
    for name in TASKS[task][2]:
        assert found[name].shape[:2] == (0, max(LENGTHS))


def test_streams(task, model, early_exit):
    whole = model(**texts(), early_exit=early_exit)
    samples = ({name: value[i, :length] for name, value in texts().items()} for i, length in enumerate(LENGTHS))
    for i, found in enumerate(model.stream(samples, batch_size=3, early_exit=early_exit)):
        assert int(found.exit_layer) == int(whole.exit_layer[i])
        for name in TASKS[task][2]:
            torch.testing.assert_close(found[name][0], whole[name][i, : LENGTHS[i]], rtol=1e-4, atol=1e-4)


def test_pipeline(task, early_exit, tiny_tokenizer, tiny_encoder):
    if task == "question-answering":
        pytest.skip("transformers 5 has no such pipeline any more")
    early = TASKS[task][0].from_pretrained(tiny_encoder("bert", task), precision="exact", early_exit=early_exit)
    assert pipeline(task, model=early, tokenizer=tiny_tokenizer)("The fox runs over the hill.")
    assert early.last_stats is not None


def test_criterion_has_to_fit(task, model):
    wrong = EarlyExitConfig("max_prob", 0.5) if task == "feature-extraction" else EarlyExitConfig("settled", 0.5)
    with pytest.raises(ValueError, match="cannot be used with this model"):
        model(**texts(), early_exit=wrong)


def test_embeddings_by_heads_and_on_export(tiny_encoder_hf, tiny_encoder, tmp_path):
    """A head may make the embedding of an inner layer; where there is none, the hidden states are it."""
    directory = tiny_encoder("bert", "feature-extraction")
    heads = random_encoder_heads(directory, [1], tmp_path / "heads", scale=0.1)
    model = DynExecModelForFeatureExtraction.from_pretrained(
        tiny_encoder_hf("bert", "feature-extraction"), export=True, precision="exact", exit_layers=[0, 1], heads=heads
    )
    said, hidden = model.exit_logits(**texts()), model.hidden_states(**texts())
    mask = texts()["attention_mask"].bool()
    answers = {0: hidden[0], 1: said[1]["last_hidden_state"]}
    means = [torch.stack([answers[k][i][mask[i]].mean(0) for i in range(len(LENGTHS))]) for k in answers]
    cosine = torch.nn.functional.cosine_similarity(*means)
    threshold = float(cosine.quantile(0.5))
    found = model(**texts(), early_exit=EarlyExitConfig("settled", threshold))
    expected = [1 if value >= threshold else LAST for value in cosine]
    assert found.exit_layer.tolist() == expected
    assert len(set(expected)) > 1
    for i, layer in enumerate(expected):
        wanted = (answers[1] if layer == 1 else said[LAST]["last_hidden_state"])[i][mask[i]]
        torch.testing.assert_close(found.last_hidden_state[i][mask[i]], wanted, rtol=1e-4, atol=1e-4)


def test_class_of_another_task(tiny_encoder):
    with pytest.raises(ValueError, match="for the task 'token-classification': load it with `DynExecModelForTokenC"):
        DynExecModelForQuestionAnswering.from_pretrained(tiny_encoder("bert", "token-classification"), compile=False)
