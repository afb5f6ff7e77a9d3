"""The reference classifiers: samples leave where they leave in the OpenVINO classes, with the same logits."""

import numpy as np
import pytest
import torch

from optimum_dynexec import (
    DynExecModelForAudioClassification,
    DynExecModelForImageClassification,
    DynExecModelForQuestionAnswering,
    DynExecModelForSequenceClassification,
    DynExecModelForTokenClassification,
    EarlyExitConfig,
    torch_backend,
)
from optimum_dynexec.heads import EncoderHeadConfig, save_head
from optimum_dynexec.heads.tensors import tensor_shapes
from tests.modeling.test_encoder_exit import LAST, LAYERS, texts


TASKS = {
    "text-classification": DynExecModelForSequenceClassification,
    "token-classification": DynExecModelForTokenClassification,
    "question-answering": DynExecModelForQuestionAnswering,
    "image-classification": DynExecModelForImageClassification,
    "audio-classification": DynExecModelForAudioClassification,
}
MODELS = {
    "bert": None,
    "bert-tokens": "token-classification",
    "bert-span": "question-answering",
    "distilbert": None,
    "mpnet": None,
    "deberta-v2": None,
    "vit": None,
    "wav2vec2": None,
}
# Of the scores at all exits, the quantile that is the threshold.
CRITERIA = {"max_prob": 0.5, "margin": 0.5, "entropy": 0.5, "patience": 1, "vote": 2}


def inputs_of(name):
    generator = torch.Generator().manual_seed(0)
    if name == "vit":
        return {"pixel_values": torch.randn(6, 3, 32, 32, generator=generator)}
    if name == "wav2vec2":
        return {"input_values": torch.randn(6, 1600, generator=generator)}
    return texts()


def names(name):
    return ["start_logits", "end_logits"] if name == "bert-span" else ["logits"]


@pytest.fixture(scope="module")
def both(tiny_encoder, tiny_encoder_hf):
    """`both(name)`: one of `MODELS` with its heads, in torch and in OpenVINO."""
    from tests.tiny_encoders import DEFAULT_TASKS

    made = {}

    def get(name):
        if name not in made:
            family, task = name.removesuffix("-tokens").removesuffix("-span"), MODELS[name]
            export = tiny_encoder(family, task)
            kind = TASKS[task or DEFAULT_TASKS[family]]
            mine = getattr(torch_backend, f"Torch{kind.__name__}")
            made[name] = (
                mine.from_pretrained(tiny_encoder_hf(family, task), heads=export.parent / f"{export.name}-heads"),
                kind.from_pretrained(export, precision="exact"),
            )
        return made[name]

    return get


def same(found, expected, fields, mask=None):
    assert found.exit_layer.tolist() == expected.exit_layer.tolist()
    torch.testing.assert_close(found.confidence, expected.confidence, rtol=1e-4, atol=1e-4)
    for field in fields:
        mine, others = found[field], expected[field]
        if mask is not None:  # of padding, the engine says 0
            mine, others = mine[mask.bool()], others[mask.bool()]
        torch.testing.assert_close(mine, others, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_samples_leave_as_in_openvino(name, both):
    model, openvino = both(name)
    inputs, fields = inputs_of(name), names(name)
    said = openvino.exit_logits(**inputs)
    mine = model.exit_logits(**inputs)
    assert list(mine) == sorted(said)
    for layer, values in said.items():
        for field in fields:
            torch.testing.assert_close(mine[layer][field], values[field], rtol=1e-4, atol=1e-4)
    plain, mask = model(**inputs), inputs.get("attention_mask") if name.startswith("bert-") else None
    for field in fields:
        torch.testing.assert_close(plain[field], openvino(**inputs)[field], rtol=1e-4, atol=1e-4)
    for early_exit in (EarlyExitConfig(threshold=0.0), EarlyExitConfig("patience", 99)):
        same(model(**inputs, early_exit=early_exit), openvino(**inputs, early_exit=early_exit), fields, mask)
    # Between two confidences, so that the last bit decides nothing.
    first = openvino(**inputs, early_exit=EarlyExitConfig(threshold=0.0)).confidence.sort().values
    config = EarlyExitConfig(threshold=float(first[len(first) // 2 - 1 : len(first) // 2 + 1].mean()))
    expected = openvino(**inputs, early_exit=config)
    assert len(set(expected.exit_layer.tolist())) > 1
    same(model(**inputs, early_exit=config), expected, fields, mask)
    assert model.last_stats.exit_histogram == openvino.last_stats.exit_histogram
    assert model.last_stats.mean_exit_layer == pytest.approx(openvino.last_stats.mean_exit_layer)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_criteria(criterion, both):
    model, openvino = both("bert")
    threshold = CRITERIA[criterion]
    config = EarlyExitConfig(criterion, threshold)
    expected = openvino(**texts(), early_exit=config)
    assert len(set(expected.exit_layer.tolist())) > 1
    same(model(**texts(), early_exit=config), expected, ["logits"])


def test_layers_behind_the_last_sample_do_not_run(both):
    model, _ = both("bert")
    ran = []
    handles = [
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(model.model.bert.encoder.layer)
    ]
    model(**texts(), early_exit=EarlyExitConfig(thresholds={1: 0.0}))
    for handle in handles:
        handle.remove()
    assert ran == [0, 1]
    assert model.last_stats.segment_passes == [1, 1, 0, 0]


def test_how_certain_heads_are(tiny_encoder_hf, tmp_path):
    """The criterion `learned`: by the sigmoid of the head's certainty."""
    rng = np.random.default_rng(0)
    for layer in LAYERS:
        config = EncoderHeadConfig("pooled", layer, hidden_size=32, num_labels=3, certainty=True)
        tensors = {
            name: rng.standard_normal(shape).astype(np.float32) for name, shape in tensor_shapes(config, 0).items()
        }
        save_head(config, tensors, tmp_path / f"{config.name}.safetensors")
    mine = torch_backend.TorchDynExecModelForSequenceClassification
    model = mine.from_pretrained(tiny_encoder_hf("bert"), heads=tmp_path, early_exit=EarlyExitConfig("learned", 0.5))
    hidden = model.model(**texts(), output_hidden_states=True).hidden_states
    sure = torch.stack([model.heads[layer].certainty(hidden[layer + 1][:, 0])[:, 0] > 0 for layer in LAYERS])
    expected = [LAYERS[int(column.int().argmax())] if column.any() else LAST for column in sure.T]
    assert model(**texts()).exit_layer.tolist() == expected
    assert len(set(expected)) > 1
    assert model(**texts(), early_exit=None).get("exit_layer") is None


def test_what_is_not_accepted_is_named(both, tiny_encoder_hf):
    model, _ = both("bert")
    for early_exit, error, named in (
        ("calibrated", ValueError, "OpenVINO"),
        (0.5, TypeError, "EarlyExitConfig"),
        (EarlyExitConfig("settled", 0.5), ValueError, "settled"),
        (EarlyExitConfig("learned", 0.5), ValueError, "certain"),
        (EarlyExitConfig(thresholds={7: 0.5}), ValueError, "layer 7"),
    ):
        with pytest.raises(error, match=named):
            model(**texts(), early_exit=early_exit)
    mine = torch_backend.TorchDynExecModelForSequenceClassification
    without = mine.from_pretrained(tiny_encoder_hf("bert"))
    with pytest.raises(ValueError, match="train-heads"):
        without(**texts(), early_exit=EarlyExitConfig(threshold=0.5))
    assert list(without.exit_logits(**texts())) == [LAST]
    # Layers that are used several times cannot be told from each other.
    albert = mine.from_pretrained(tiny_encoder_hf("albert"))
    with pytest.raises(ValueError, match="the layers of this albert"):
        albert.exit_logits(**texts())
