"""`quantize_dynexec`: a complete directory, whose model is cut where the original was and says what it says whole."""

import json
import re
import shutil

import numpy as np
import openvino as ov
import pytest
import torch
from optimum.intel import OVModelForCausalLM, OVQuantizationConfig, OVWeightQuantizationConfig

from optimum_dynexec import DynExecConfig, DynExecModelForCausalLM
from optimum_dynexec.directory import attach_heads
from optimum_dynexec.directory.config import DYNEXEC_CONFIG_NAME
from optimum_dynexec.early_exit import EarlyExitConfig
from optimum_dynexec.heads import save_head
from optimum_dynexec.quantization import AccuracyControl, CalibrationData, QuantizationError, quantize_dynexec
from tests.heads.reference import random_head
from tests.tiny_models import TEXT, build_tokenizer


WORDS = " ".join(TEXT).split()
# As the tiny model's own layers are.
LLAMA = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rank": 0,
}
INT4 = {"bits": 4, "group_size": 16, "dtype": "int4"}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.csv"
    rows = [f'"{" ".join(WORDS[i : i + 6])}",class_{i % 3}' for i in range(30)]
    path.write_text("\n".join(["text,label", *rows]))
    return path


@pytest.fixture(scope="module")
def decoder(tiny_export, tmp_path_factory):
    """A decoder with an exit head, a draft head and a calibration that is made up."""
    base = tmp_path_factory.mktemp("decoder")
    directory = shutil.copytree(tiny_export("llama"), base / "model")
    (base / "heads").mkdir()
    for kind in ("block", "draft"):
        shape, tensors, _ = random_head(kind, vocab_size=len(build_tokenizer()), words=200, **LLAMA)
        save_head(shape, tensors, base / "heads" / f"{shape.name}.safetensors")
    config = attach_heads(directory, base / "heads")
    config.calibration = {
        "criterion": "max_prob",
        "thresholds": {"1": 0.5},
        "risk": "token_disagreement",
        "epsilon": 0.1,
        "delta": 0.1,
        "method": "wsr",
        "candidates": "shared",
        "num_texts": 9,
        "num_samples": 9,
        "num_tuning_texts": 0,
        "measured_risk": 0.0,
        "p_value": 0.01,
        "upper_bound": None,
        "mean_layers": 2.0,
        "num_layers": 3,
        "exit_shares": {"1": 0.5, "2": 0.5},
        "data_hash": "0123456789abcdef",
        "model_hash": config.model_hash,
        "head_hashes": {"1": config.heads["exit_head_1"].hash},
    }
    config.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def int4(decoder, texts, tmp_path_factory):
    """That decoder in 4 bits, by all that looks at data."""
    output = tmp_path_factory.mktemp("int4") / "model"
    config = OVWeightQuantizationConfig(**INT4, ratio=0.7, quant_method="awq", scale_estimation=True)
    quantize_dynexec(
        decoder,
        output,
        quantization_config=config,
        head_weight_format="int8",
        draft_weight_format="int4",
        dataset=[texts],
    )
    return output


def weight_types(directory, name="openvino_model"):
    model = ov.Core().read_model(directory / f"{name}.xml")
    constants = (op for op in model.get_ops() if op.get_type_name() == "Constant")
    return {op.get_output_element_type(0).to_string() for op in constants if len(op.get_output_shape(0)) >= 2}


def test_decoder_and_heads(decoder, int4):
    before, after = DynExecConfig.from_pretrained(decoder), DynExecConfig.from_pretrained(int4)
    assert after.exit_layers == before.exit_layers == [1]
    assert after.hidden_state_names == before.hidden_state_names
    assert after.pageable
    assert after.model_hash != before.model_hash
    assert "nncf" in after.versions
    assert {name: head.attached_to for name, head in after.heads.items()} == dict.fromkeys(
        before.heads, after.model_hash
    )
    # A part of the layers has 4 bits, the others and the embedding have 8.
    assert {"u4", "u8"} <= weight_types(int4)
    assert "i8" in weight_types(int4, "openvino_exit_head_1")
    assert "i4" in weight_types(int4, "openvino_draft_head")
    assert (int4 / "openvino_tokenizer.xml").is_file()
    assert (int4 / "tokenizer.json").is_file()
    # The original stays as it was.
    assert weight_types(decoder).isdisjoint({"u4", "u8"})

    # Plain optimum-intel loads it too.
    assert OVModelForCausalLM.from_pretrained(int4).generate(torch.tensor([[5, 6, 7]]), max_new_tokens=3).shape[1] > 3


def test_cut_decoder_says_what_the_whole_says(int4):
    """Both quantized; greedy, so that a difference at any token would show."""
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    length = {"min_new_tokens": 24, "max_new_tokens": 24, "do_sample": False, "pad_token_id": 0}
    whole = DynExecModelForCausalLM.from_pretrained(int4, precision="exact", exit_layers=[])
    cut = DynExecModelForCausalLM.from_pretrained(int4, precision="exact", exit_layers=[0, 1])
    expected = whole.generate(ids, speculation="off", **length)
    assert len(cut.engine.layers) == 3
    for speculation in ("off", "draft_head", "exit_heads"):
        assert torch.equal(cut.generate(ids, speculation=speculation, **length), expected)
    # Leaving is possible, and nobody does without being sure.
    never = EarlyExitConfig(threshold=1.0)
    assert torch.equal(cut.generate(ids, early_exit=never, **length), expected)
    cut.generate(ids, early_exit=EarlyExitConfig(threshold=0.0), **length)
    assert cut.last_stats.exit_histogram[1] == 2 * 24 - 2


def test_thresholds_are_stale(decoder, int4):
    from optimum_dynexec.directory.errors import StaleCalibrationError
    from optimum_dynexec.directory.freshness import load_calibration

    assert load_calibration(decoder).thresholds == {1: 0.5}
    with pytest.raises(StaleCalibrationError, match="quantized or exported again since"):
        load_calibration(int4)
    model = DynExecModelForCausalLM.from_pretrained(int4)
    with pytest.raises(StaleCalibrationError, match="calibrate again"):
        model.generate(torch.tensor([[5, 6]]), early_exit="calibrated", max_new_tokens=2)


def test_heads_are_trained_on_the_quantized_backbone(int4, decoder, texts, tmp_path):
    from optimum_dynexec.directory.attached_heads import make_heads
    from optimum_dynexec.heads import load_head
    from optimum_dynexec.training import TrainingArguments, train_heads

    common = {
        "data": [f"{texts}:text"],
        "layers": [1],
        "draft_head": False,
        "continuations": "text",
        "progress": False,
    }
    (trained,) = train_heads(
        int4, tmp_path / "heads", vocab_size=100, training_arguments=TrainingArguments(epochs=1), **common
    )
    config = DynExecConfig.from_pretrained(int4)
    model = ov.Core().read_model(int4 / "openvino_model.xml")
    (head,) = make_heads(model, config, trained.path).values()
    assert head.trained_on == config.model_hash != DynExecConfig.from_pretrained(decoder).model_hash
    # What it learned from is what the quantized layers give, not what the original's do.
    (features,) = (tmp_path / "heads" / ".cache").glob("hidden-states-*")
    from optimum_dynexec.training.decoder.features import Features, compute_features

    example = Features(features).example(0, ["1"])
    original = ov.Core().read_model(decoder / "openvino_model.xml")
    boundary = {1: config.hidden_state_names[1]}
    for source, same in ((model, True), (original, False)):
        again = compute_features(source, boundary, [example.text], tmp_path / str(same), progress=False)
        states = again.example(0, ["1"]).hidden_states["1"].float()
        assert torch.allclose(states, example.hidden_states["1"].float(), atol=1e-3) == same
    shape, tensors = load_head(trained.path)
    assert shape.layer == 1

    # It may go on from a head of the original: with no step to speak of, that is what comes out.
    start = decoder.parent / "heads"
    still = TrainingArguments(epochs=1, learning_rate=1e-9)
    (refitted,) = train_heads(
        int4, tmp_path / "refitted", training_arguments=still, start_from=start, weight_format="fp32", **common
    )
    given, found = (load_head(place / "exit_head_1.safetensors")[1] for place in (start, refitted.path.parent))
    assert set(found) == set(given) != set()
    assert all(np.allclose(found[name], given[name], atol=1e-4) for name in given)
    assert not np.array_equal(tensors["token_ids"], given["token_ids"])
    with pytest.raises(ValueError, match="contains no exit_head_0 to start from"):
        train_heads(int4, tmp_path / "none", **{**common, "layers": [0]}, start_from=start)


def test_own_texts(decoder, tmp_path):
    from optimum_dynexec.quantization.data import calibration_dataset
    from optimum_dynexec.quantization.models import load_model

    model = load_model(decoder, "text-generation-with-past")
    data = CalibrationData(["self"], max_samples=5, max_length=12)
    made = [list(calibration_dataset(model, decoder, "text-generation-with-past", data).get_data()) for _ in range(2)]
    assert made[0] == made[1]
    assert len(made[0]) == len({tuple(tokens) for tokens in made[0]}) == 5
    # A start and one token, and what the model makes of them.
    assert all(2 < len(tokens) <= 14 for tokens in made[0])
    with pytest.raises(QuantizationError, match="'self' must be the only entry of `sources`"):
        CalibrationData(["self", "texts.csv"])
    config = OVWeightQuantizationConfig(**INT4, scale_estimation=True)
    quantize_dynexec(decoder, tmp_path / "aware", quantization_config=config, dataset=data)
    data_free = OVWeightQuantizationConfig(**INT4)
    quantize_dynexec(decoder, tmp_path / "free", quantization_config=data_free)
    assert (tmp_path / "aware" / "openvino_model.bin").read_bytes() != (
        tmp_path / "free" / "openvino_model.bin"
    ).read_bytes()


@pytest.fixture(scope="module")
def int8_bert(tiny_encoder, texts, tmp_path_factory):
    output = tmp_path_factory.mktemp("bert") / "model"
    config = OVQuantizationConfig(smooth_quant_alpha=0.6)
    quantize_dynexec(tiny_encoder("bert"), output, quantization_config=config, dataset=[texts])
    return output


def test_encoder(tiny_encoder, int8_bert):
    from optimum_dynexec import DynExecModelForSequenceClassification

    source = tiny_encoder("bert")
    before, after = DynExecConfig.from_pretrained(source), DynExecConfig.from_pretrained(int8_bert)
    assert after.hidden_state_names == before.hidden_state_names
    assert after.exit_layers == before.exit_layers
    assert {name: head.hash for name, head in after.heads.items()} == {
        name: head.hash for name, head in before.heads.items()
    }
    kinds = {op.get_type_name() for op in ov.Core().read_model(int8_bert / "openvino_model.xml").get_ops()}
    assert "FakeQuantize" in kinds

    inputs = build_tokenizer()([" ".join(WORDS[i : i + 5]) for i in range(6)], return_tensors="pt", padding=True)
    model = DynExecModelForSequenceClassification.from_pretrained(int8_bert, precision="exact")
    original = DynExecModelForSequenceClassification.from_pretrained(source, precision="exact")
    whole = model(**inputs).logits
    cut = model(**inputs, early_exit=EarlyExitConfig(criterion="entropy", threshold=0.0))
    assert set(cut.exit_layer.tolist()) == {after.exit_layers[-1] + 1}
    change = (whole - original(**inputs).logits).abs().max()
    assert change > 1e-3
    # Cutting changes far less than quantization does.
    assert (cut.logits - whole).abs().max() < 0.02 * change


def test_accuracy_control(tiny_encoder, texts, tmp_path, monkeypatch, caplog):
    import nncf

    source = tiny_encoder("bert")
    # Its labels are not the model's: what counts is the accuracy that there was. So much of it cannot be lost: else
    # NNCF would try layer after layer, which takes minutes and is tested there.
    control = AccuracyControl(max_drop=0.9, sources=[texts], max_samples=12)
    options = {
        "quantization_config": OVQuantizationConfig(num_samples=4),
        "dataset": [texts],
        "accuracy_control": control,
    }
    quantize_dynexec(source, tmp_path / "held", **options)
    kinds = {op.get_type_name() for op in ov.Core().read_model(tmp_path / "held" / "openvino_model.xml").get_ops()}
    assert "FakeQuantize" in kinds
    assert re.search(r"Accuracy loss by quantization: .* interval .*, 12 samples\), limit 90.00%", caplog.text)

    # Where NNCF gives up, it gives back what it has. Here: a classifier of which nothing is left.
    def gives_up(model, *_arguments, max_drop, **_options):
        assert max_drop == 0.01
        made = model.clone()
        for node in made.get_ops():
            if node.get_type_name() == "MatMul" and "classifier" in node.get_friendly_name():
                zeros = np.zeros(list(node.input_value(1).get_shape()), np.float32)
                node.input(1).replace_source_output(ov.opset13.constant(zeros).output(0))
        return made

    # Without labels, the full model's own answers are what is to be kept.
    (tmp_path / "texts.txt").write_text("\n".join(" ".join(WORDS[i : i + 6]) for i in range(10)))
    control = AccuracyControl(max_drop=0.01, sources=[tmp_path / "texts.txt"])
    monkeypatch.setattr(nncf, "quantize_with_accuracy_control", gives_up)
    with pytest.raises(QuantizationError, match="more than the allowed 0.01"):
        quantize_dynexec(source, tmp_path / "lost", **{**options, "accuracy_control": control})
    assert not (tmp_path / "lost").exists()


def test_vision(tiny_encoder, tmp_path):
    import nncf

    rng = np.random.default_rng(0)
    items = [{"pixel_values": rng.standard_normal((1, 3, 32, 32)).astype(np.float32)} for _ in range(4)]
    config = quantize_dynexec(
        tiny_encoder("vit"),
        tmp_path / "vit",
        quantization_config={"bits": 8, "dtype": "int8"} | {"weight_only": False},
        dataset=nncf.Dataset(items),
    )
    assert len(config.hidden_state_names) == 4
    assert list(config.heads) == ["exit_head_0", "exit_head_1", "exit_head_2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantization_config": OVQuantizationConfig()}, "OVQuantizationConfig needs calibration data"),
        ({"quantization_config": OVWeightQuantizationConfig(bits=4, scale_estimation=True)}, "needs calibration data"),
        ({"quantization_config": None}, "must be an OVConfig"),
        ({"head_weight_format": "int3"}, "`head_weight_format` must be one of"),
        ({"model_dir": "nowhere"}, "is not an exported model"),
        ({"model_dir": "int4"}, "is already quantized"),
        ({"output": "decoder"}, "own directory"),
        ({"dataset": "texts.csv"}, "must be a list"),
    ],
)
def test_errors(decoder, int4, tmp_path, change, message):
    places = {"int4": int4, "decoder": decoder, "nowhere": tmp_path / "nowhere"}
    arguments = {
        "model_dir": decoder,
        "output": tmp_path / "out",
        "quantization_config": OVWeightQuantizationConfig(bits=4, ratio=0.9, group_size=16),
        **change,
    }
    for name in ("model_dir", "output"):
        arguments[name] = places.get(arguments[name], arguments[name])
    with pytest.raises(QuantizationError if "head" not in message else ValueError, match=message):
        quantize_dynexec(**arguments)
    assert not (tmp_path / "out").exists()


def test_boundaries_that_are_lost_are_noticed(decoder, tmp_path, monkeypatch):
    """A checker that cannot fail would be none."""
    from dataclasses import replace

    from optimum_dynexec.quantization import main

    def annotate(directory, **options):
        made = real(directory, **options)
        names = dict(list(made.hidden_state_names.items())[:-1])
        return replace(made, hidden_state_names=names, exit_layers=[])

    real = main.annotate_export
    monkeypatch.setattr(main, "annotate_export", annotate)
    with pytest.raises(QuantizationError, match="can be cut after 2 layers, but"):
        quantize_dynexec(decoder, tmp_path / "out", quantization_config=OVWeightQuantizationConfig(bits=8))
    assert not (tmp_path / "out").exists()
    assert json.loads((decoder / DYNEXEC_CONFIG_NAME).read_text())["exit_layers"] == [1]
