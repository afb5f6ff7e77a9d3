"""Every family of encoders and vision models: exported, cut and run in segments, it says what transformers says."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from optimum.intel import (
    OVModelForAudioClassification,
    OVModelForImageClassification,
    OVModelForSequenceClassification,
)

from optimum_dynexec import (
    DynExecConfig,
    DynExecModelForAudioClassification,
    DynExecModelForImageClassification,
    DynExecModelForSequenceClassification,
    EarlyExitConfig,
)
from tests.tiny_encoders import AUDIO_MODELS, DEFAULT_TASKS, IMAGE_MODELS, IMAGE_SIZE, SAMPLES, TEXT_ENCODERS


# The class of the modules whose output is the hidden states after a layer.
LAYER_CLASSES = {
    "bert": "BertLayer",
    "roberta": "RobertaLayer",
    "distilbert": "TransformerBlock",
    "mpnet": "MPNetLayer",
    "deberta-v2": "DebertaV2Layer",
    "albert": "AlbertLayer",
    "electra": "ElectraLayer",
    "vit": "ViTLayer",
    "deit": "DeiTLayer",
    "swin": "SwinLayer",
    "convnext": "ConvNextLayer",
    "resnet": "ResNetBasicLayer",
    "mobilenet_v2": "MobileNetV2InvertedResidual",
    "wav2vec2": "Wav2Vec2EncoderLayer",
}
CLASSES = {
    "text-classification": (DynExecModelForSequenceClassification, OVModelForSequenceClassification),
    "image-classification": (DynExecModelForImageClassification, OVModelForImageClassification),
    "audio-classification": (DynExecModelForAudioClassification, OVModelForAudioClassification),
}
BATCH = 6
# Rows of the tables of positions less those before the first token's: RoBERTa numbers from behind its padding token,
# and MPNet from 2.
LONGEST = {**dict.fromkeys(TEXT_ENCODERS, 128), "roberta": 127, "mpnet": 126}
# Of a size that is not the configuration's.
OTHER_SIZE = (40, 56)
ANY_SIZE = {"convnext", "resnet", "mobilenet_v2"}


@dataclass
class Family:
    name: str
    hf: Path
    directory: Path
    model: Any
    inputs: dict[str, torch.Tensor]


def make_inputs(name: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    if name in IMAGE_MODELS:
        return {"pixel_values": torch.randn(BATCH, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)}
    if name in AUDIO_MODELS:
        return {"input_values": torch.randn(BATCH, SAMPLES, generator=generator)}
    lengths = torch.tensor([5, 12, 7, 12, 3, 9])
    mask = (torch.arange(12)[None] < lengths[:, None]).long()
    ids = torch.randint(3, 300, (BATCH, 12), generator=generator)
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.fixture(scope="module", params=[*TEXT_ENCODERS, *IMAGE_MODELS, *AUDIO_MODELS])
def family(request, tiny_encoder_hf, tiny_encoder) -> Family:
    name = request.param
    directory = tiny_encoder(name)
    model = CLASSES[DEFAULT_TASKS[name]][0].from_pretrained(directory, precision="exact")
    return Family(name, tiny_encoder_hf(name), directory, model, make_inputs(name))


@pytest.fixture(scope="module")
def reference(family) -> tuple[torch.Tensor, list[np.ndarray]]:
    """What transformers computes: logits, and the output of each layer."""
    task_class = {
        "text-classification": transformers.AutoModelForSequenceClassification,
        "image-classification": transformers.AutoModelForImageClassification,
        "audio-classification": transformers.AutoModelForAudioClassification,
    }[DEFAULT_TASKS[family.name]]
    model = task_class.from_pretrained(family.hf, dtype=torch.float32).eval()
    hidden: list[np.ndarray] = []
    for module in model.modules():
        # A block of MobileNetV2 that changes the size adds nothing to what it got: it belongs to the layer behind it.
        if type(module).__name__ == LAYER_CLASSES[family.name] and getattr(module, "use_residual", True):
            module.register_forward_hook(
                lambda _module, _inputs, output: hidden.append(
                    (output[0] if isinstance(output, tuple) else output).detach().numpy()
                )
            )
    with torch.no_grad():
        logits = model(**family.inputs).logits
    return logits, hidden


def assert_close(found, expected) -> None:
    expected = np.asarray(expected)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(expected).max()))


def test_plain_logits_are_those_of_transformers_and_optimum_intel(family, reference, exact_ov_config):
    found = family.model(**family.inputs)
    assert "exit_layer" not in found
    assert_close(found.logits, reference[0])
    plain = CLASSES[DEFAULT_TASKS[family.name]][1].from_pretrained(family.directory, ov_config=exact_ov_config)
    assert torch.equal(plain(**family.inputs).logits, found.logits)


def test_hidden_states_are_those_of_transformers(family, reference):
    config = DynExecConfig.from_pretrained(family.directory)
    assert len(config.hidden_state_names) == len(reference[1]) > 2
    found = family.model.hidden_states(**family.inputs)
    for layer, values in found.items():
        expected = reference[1][layer]
        mask = family.inputs.get("attention_mask")
        values = values.numpy().reshape(expected.shape)
        # What stands in padding is nobody's business (SDPA and eager attention differ there).
        assert_close(
            values if mask is None else values[mask.bool()], expected if mask is None else expected[mask.bool()]
        )


def test_samples_leave_with_what_their_exit_says(family):
    model = family.model
    said = model.exit_logits(**family.inputs)
    probabilities = {layer: said[layer]["logits"].softmax(-1).amax(-1) for layer in said}
    last = max(said)
    # About half of those that come to an exit leave there.
    thresholds = {layer: float(probabilities[layer].quantile(0.5)) for layer in said if layer != last}
    found = model(**family.inputs, early_exit=EarlyExitConfig(thresholds=thresholds))
    expected = [
        next(layer for layer in sorted(said) if layer == last or probabilities[layer][sample] >= thresholds[layer])
        for sample in range(BATCH)
    ]
    assert found.exit_layer.tolist() == expected
    assert len(set(expected)) > 1, "samples that all leave at the same place show little"
    assert_close(found.logits, torch.stack([said[layer]["logits"][i] for i, layer in enumerate(expected)]))
    assert_close(found.confidence, torch.stack([probabilities[layer][i] for i, layer in enumerate(expected)]))
    rows = model.last_stats.segment_rows
    assert rows == [sum(layer >= start for layer in expected) for start in [0, *[k + 1 for k in sorted(said)[:-1]]]]


def test_none_leaves(family):
    found = family.model(**family.inputs, early_exit=EarlyExitConfig("patience", 99))
    assert set(found.exit_layer.tolist()) == {max(family.model.exit_logits(**family.inputs))}
    assert_close(found.logits, family.model(**family.inputs).logits)


def text_of(length: int, rows: int = 1) -> dict[str, torch.Tensor]:
    ids = (torch.arange(length) % 300 + 9).repeat(rows, 1)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def test_inputs_beyond_the_models_limit_are_refused_by_their_number(family):
    model, leave = family.model, {"early_exit": EarlyExitConfig("patience", 99)}
    if family.name in AUDIO_MODELS:
        pytest.skip("Wav2Vec2 takes audio of any length")
    if family.name in TEXT_ENCODERS:
        limit = LONGEST[family.name]
        good, bad = text_of(limit), text_of(limit + 1, rows=2)
        for value in bad.values():
            value[0, 5:] = 0
        message = f"has {limit + 1} tokens.* at most {limit}: .*`truncation=True, max_length={limit}`"
        first = "input 1 .*"
    else:
        good, bad = ({"pixel_values": torch.ones(2, 3, *size)} for size in ((IMAGE_SIZE, IMAGE_SIZE), OTHER_SIZE))
        message, first = r"\[3, 40, 56\] in `pixel_values`.* made for images of 32", "input 0 .*"
    assert_close(model(**good, **leave).logits, model(**good).logits)
    if family.name in ANY_SIZE:
        assert_close(model(**bad, **leave).logits, model(**bad).logits)
        return
    for call in (model, model.hidden_states, functools.partial(model, **leave)):
        with pytest.raises(ValueError, match=first + message):
            call(**bad)
    samples = [{name: value[-1:] for name, value in inputs.items()} for inputs in (good, good, bad, good)]
    stream = model.stream(samples, **leave)
    # Those before come first.
    assert [next(stream).logits.shape for _ in range(2)] == [(1, 3)] * 2
    with pytest.raises(ValueError, match="input 2 .*" + message):
        next(stream)


def test_padding_beyond_the_limit(family):
    if family.name not in TEXT_ENCODERS:
        pytest.skip("texts only")
    limit, model = LONGEST[family.name], family.model
    inputs = text_of(limit + 1, rows=2)
    for value in inputs.values():
        value[:, 5:] = 0
    expected = model(**text_of(5, rows=2)).logits
    # Early exit drops padding behind the longest text.
    assert_close(model(**inputs, early_exit=EarlyExitConfig("patience", 99)).logits, expected)
    if family.name == "roberta":
        assert_close(model(**inputs).logits, expected)
        return
    with pytest.raises(ValueError, match=f"padded to {limit + 1} tokens.* at most {limit}: .*padding=True"):
        model(**inputs)
