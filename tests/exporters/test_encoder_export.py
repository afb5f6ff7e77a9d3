"""`export_dynexec` and `optimum-cli export dynexec` for models that are no decoders."""

import json
import logging
import subprocess
import sys

import numpy as np
import openvino as ov
import pytest
import torch
import transformers
from optimum.intel import OVModelForImageClassification

from optimum_dynexec import DynExecConfig, DynExecModelForImageClassification, EarlyExitConfig, export_dynexec
from optimum_dynexec.directory.errors import ExportError
from optimum_dynexec.directory.marking import read_boundaries
from optimum_dynexec.graph.encoder_boundaries import find_encoder_boundaries
from optimum_dynexec.graph.encoder_segments import cut_encoder
from optimum_dynexec.graph.errors import NotSegmentableError


@pytest.fixture(scope="module")
def bert(tiny_encoder):
    return tiny_encoder("bert")


@pytest.fixture(scope="module")
def model(bert) -> ov.Model:
    return ov.Core().read_model(bert / "openvino_model.xml")


def test_what_the_directory_says(bert, model):
    config = DynExecConfig.from_pretrained(bert)
    assert config.task == "text-classification"
    assert config.exit_layers == [0, 1, 2]
    assert list(config.heads) == ["exit_head_0", "exit_head_1", "exit_head_2"]
    assert (config.pageable, config.pageable_reason) == (False, "it has no KV cache")
    assert list(config.hidden_state_names.values()) == find_encoder_boundaries(model) == read_boundaries(model)


def test_a_copy_keeps_task_exits_and_heads(bert, tmp_path):
    config = export_dynexec(bert, tmp_path / "copy")
    assert config == DynExecConfig.from_pretrained(bert)


def test_exits_are_checked(bert, tmp_path):
    with pytest.raises(ValueError, match="`exit_layers` must be between 0 and 2"):
        export_dynexec(bert, tmp_path / "output", exit_layers=[3])
    with pytest.raises(ExportError, match="the task 'sorting' cannot be exported; accepted are"):
        export_dynexec(bert, tmp_path / "output", task="sorting")
    assert not (tmp_path / "output").exists()


def test_command_line(tiny_encoder_hf, tmp_path):
    command = [sys.executable, "-m", "optimum.commands.optimum_cli", "export", "dynexec", "--model"]
    command += [
        str(tiny_encoder_hf("bert")),
        "--task",
        "text-classification",
        "--exit-layers",
        "1",
        str(tmp_path / "o"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert DynExecConfig.from_pretrained(tmp_path / "o").exit_layers == [1]


@pytest.fixture(scope="module")
def uncuttable(tmp_path_factory):
    """MobileNetV1 has no residual additions, and so no blocks to cut between."""
    torch.manual_seed(0)
    config = transformers.MobileNetV1Config(image_size=32, depth_multiplier=0.25, num_labels=3)
    directory = tmp_path_factory.mktemp("mobilenet")
    transformers.MobileNetV1ForImageClassification(config).eval().save_pretrained(directory)
    return directory


def test_what_cannot_be_cut_is_exported_all_the_same(uncuttable, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="optimum_dynexec"):
        config = export_dynexec(uncuttable, tmp_path / "output", task="image-classification")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("optimum_dynexec")] == [
        "The exported model runs as with optimum-intel, but with no early exit, because it cannot be cut between its"
        " layers (no addition lies on all paths from its input to its outputs, so it has no blocks)."
    ]
    assert config.hidden_state_names == {}
    pixels = torch.randn(2, 3, 32, 32)
    model = DynExecModelForImageClassification.from_pretrained(tmp_path / "output")
    plain = OVModelForImageClassification.from_pretrained(tmp_path / "output")
    assert torch.equal(model(pixels).logits, plain(pixels).logits)
    with pytest.raises(ValueError, match="cannot be cut"):
        model(pixels, early_exit=EarlyExitConfig(threshold=0.5))
    with pytest.raises(ExportError, match="cannot have exit layers"):
        export_dynexec(tmp_path / "output", tmp_path / "again", exit_layers=[0])


def test_segments_do_what_the_model_does(model):
    segments = cut_encoder(model, find_encoder_boundaries(model)[:-1])
    assert segments.sequence_inputs == ["input_ids", "attention_mask", "token_type_ids"]
    assert not segments.outputs_are_sequences
    inputs = [{value.get_any_name() for value in segment.inputs} for segment in segments.models]
    assert inputs[1:] == [{"attention_mask", "dynexec.hidden_states"}] * 3
    weights = [
        sum(node.get_data().nbytes for node in segment.get_ops() if node.get_type_name() == "Constant")
        for segment in segments.models
    ]
    whole = sum(node.get_data().nbytes for node in model.get_ops() if node.get_type_name() == "Constant")
    assert sum(weights) < 1.02 * whole, "each weight stands in one segment"


def test_segments_are_refused_where_they_cannot_be(model):
    names = find_encoder_boundaries(model)
    with pytest.raises(NotSegmentableError, match="no node named"):
        cut_encoder(model, ["elsewhere"])
    with pytest.raises(NotSegmentableError, match="need another tensor from before it"):
        cut_encoder(model, [names[1], names[0]])
    inner = next(
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() == "ScaledDotProductAttention"
    )
    with pytest.raises(NotSegmentableError, match="need another tensor from before it"):
        cut_encoder(model, [inner])


def test_weights_in_8_bits(tiny_encoder_hf, tmp_path):
    config = export_dynexec(
        tiny_encoder_hf("distilbert"), tmp_path / "int8", task="text-classification", weight_format="int8"
    )
    assert len(config.hidden_state_names) == 4
    model = ov.Core().read_model(tmp_path / "int8" / "openvino_model.xml")
    ids = np.random.default_rng(0).integers(3, 300, (2, 9))
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    properties = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
    expected = ov.Core().compile_model(model, "CPU", properties)(feed)[0]
    for segment in cut_encoder(model, list(config.hidden_state_names.values())[:-1]).models:
        compiled = ov.Core().compile_model(segment, "CPU", properties)
        found = compiled({value.get_any_name(): feed[value.get_any_name()] for value in compiled.inputs})[0]
        feed["dynexec.hidden_states"] = found
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model_type", ["modernbert", "efficientnet"])
def test_what_optimum_intel_does_not_export(tmp_path, model_type):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(ExportError, match=f"does not export models of the type '{model_type}'"):
        export_dynexec(tmp_path / "model", tmp_path / "out", task="feature-extraction")
    assert not (tmp_path / "out").exists()
