"""The early-exit network as one model: at batch 1 it says what the engine says."""

import shutil

import numpy as np
import openvino as ov
import pytest
import torch

from optimum_dynexec import (
    DynExecModelForImageClassification,
    DynExecModelForSequenceClassification,
    EarlyExitConfig,
    export_dynexec,
)
from optimum_dynexec.directory.errors import CalibrationError
from optimum_dynexec.exporters import ExportError, export_single_ir


CLASSES = {"bert": DynExecModelForSequenceClassification, "swin": DynExecModelForImageClassification}


@pytest.fixture(scope="module", params=list(CLASSES))
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def directory(name, tiny_encoder, tmp_path_factory):
    directory = tmp_path_factory.mktemp("single") / name
    shutil.copytree(tiny_encoder(name), directory)
    return directory


def samples(name: str) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    if name == "swin":
        return [{"pixel_values": torch.randn(1, 3, 32, 32, generator=generator)} for _ in range(12)]
    found = []
    for length in range(3, 15):
        ids = torch.randint(3, 300, (1, length), generator=generator)
        found.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": 0 * ids})
    return found


@pytest.fixture(scope="module")
def early_exit(name, directory) -> EarlyExitConfig:
    """About half of those that come to an exit leave there."""
    model = CLASSES[name].from_pretrained(directory, precision="exact")
    said = [model.exit_logits(**sample) for sample in samples(name)]
    layers = sorted(said[0])[:-1]
    surest = {layer: torch.cat([one[layer]["logits"].softmax(-1).amax(-1) for one in said]) for layer in layers}
    return EarlyExitConfig(thresholds={layer: float(values.quantile(0.5)) for layer, values in surest.items()})


@pytest.fixture(scope="module")
def single(directory, early_exit):
    path = export_single_ir(directory, early_exit)
    return ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def ask(single, sample: dict[str, torch.Tensor]) -> tuple[np.ndarray, int]:
    known = {value.get_any_name() for value in single.inputs}
    found = single({key: value.numpy() for key, value in sample.items() if key in known})
    return np.array(found["logits"]), int(found["exit_layer"][0])


def test_says_what_the_engine_says(name, directory, single, early_exit):
    model = CLASSES[name].from_pretrained(directory, precision="exact")
    layers = []
    for sample in samples(name):
        logits, layer = ask(single, sample)
        expected = model(**sample, early_exit=early_exit)
        assert layer == int(expected.exit_layer)
        np.testing.assert_allclose(logits, expected.logits.numpy(), rtol=1e-4, atol=1e-4)
        layers.append(layer)
    assert len(set(layers)) >= 3, "samples that all leave at the same place show little"


def test_a_batch_leaves_when_all_of_it_is_sure(name, single):
    alone = [(ask(single, sample)[1], sample) for sample in samples(name)]
    key = "pixel_values" if name == "swin" else "input_ids"
    deepest = max(alone, key=lambda one: one[0])
    first = min(alone, key=lambda one: one[0])
    length = min(deepest[1][key].shape[-1], first[1][key].shape[-1])
    cut = [{k: value[..., :length] for k, value in one[1].items()} for one in (deepest, first)]
    layers = [ask(single, sample)[1] for sample in cut]
    both = {k: torch.cat([sample[k] for sample in cut]) for k in cut[0]}
    assert ask(single, both)[1] >= max(layers)


def test_what_is_skipped_stands_in_branches(directory, single):
    model = ov.Core().read_model(directory / "openvino_early_exit_model.xml")
    assert [node.get_type_name() for node in model.get_ops()].count("If") == 1, "the others are in its branches"
    assert {value.get_any_name() for value in model.outputs} == {"logits", "exit_layer"}


def test_what_is_not_accepted_is_named(name, directory, tiny_encoder, tmp_path):
    with pytest.raises(ValueError, match="needs the criterion 'max_prob'"):
        export_single_ir(directory, EarlyExitConfig("entropy", 0.5))
    with pytest.raises(CalibrationError, match="not calibrated"):
        export_single_ir(directory)
    with pytest.raises(ValueError, match="but the task is 'token-classification'"):
        export_single_ir(tiny_encoder("bert", "token-classification"), EarlyExitConfig(threshold=0.5))
    with pytest.raises((CalibrationError, ExportError), match="calibrated"):
        export_dynexec(directory, tmp_path / "output", single_ir=True)
    assert not (tmp_path / "output").exists()


def test_on_export(name, directory, tmp_path):
    export_dynexec(directory, tmp_path / "output", single_ir=True, exit_threshold=0.0)
    single = ov.Core().compile_model(tmp_path / "output" / "openvino_early_exit_model.xml", "CPU")
    assert ask(single, samples(name)[0])[1] == 0
    assert (tmp_path / "output" / "openvino_exit_head_0.xml").is_file()
