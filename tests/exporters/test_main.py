"""What can go wrong with an export, and what is left then."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time

import openvino as ov
import pytest

from optimum_dynexec import DynExecConfig, export_dynexec
from optimum_dynexec.directory.hashes import hash_model
from optimum_dynexec.directory.marking import read_boundaries
from optimum_dynexec.exporters import ExportError, annotate_export


def snapshot(directory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def exported(tiny_export, tmp_path):
    """A copy of an export that a test may change."""
    return shutil.copytree(tiny_export("llama"), tmp_path / "exported")


@pytest.fixture
def plain(exported):
    """The same as optimum-intel alone would have made it."""
    from optimum_dynexec.directory.marking import mark_boundaries

    (exported / "dynexec_config.json").unlink()
    mark_boundaries(exported / "openvino_model.xml", [])
    return exported


def test_configuration_is_returned_and_saved(tiny_export):
    directory = tiny_export("llama")
    config = DynExecConfig.from_pretrained(directory)
    assert config.model_hash == hash_model(directory)
    assert config.exit_layers == []
    assert not list(directory.glob(".*"))


def test_exported_directory_is_copied_and_marked(plain, tmp_path):
    before = snapshot(plain)
    config = export_dynexec(plain, tmp_path / "output", exit_layers=[1, 0])
    assert config.exit_layers == [0, 1]
    assert snapshot(plain) == before
    made = snapshot(tmp_path / "output")
    assert set(made) == {*before, "dynexec_config.json"}
    assert [name for name in before if made[name] != before[name]] == ["openvino_model.xml"]
    assert config == DynExecConfig.from_pretrained(tmp_path / "output")


def test_exported_directory_in_its_own_place(plain):
    export_dynexec(plain, plain)
    model = ov.Core().read_model(plain / "openvino_model.xml")
    assert len(read_boundaries(model)) == 3
    assert sorted(os.listdir(plain.parent)) == [plain.name]


def test_annotating_in_place_leaves_the_weights_alone(plain):
    weights = (plain / "openvino_model.bin").stat()
    config = annotate_export(plain, exit_layers=[0])
    assert annotate_export(plain, exit_layers=[0]) == config
    assert (plain / "openvino_model.bin").stat().st_mtime_ns == weights.st_mtime_ns
    assert config.model_hash == hash_model(plain)


@pytest.mark.parametrize("options", [{"weight_format": "int8"}, {"quant_mode": "int8"}, {"ratio": 0.5}])
def test_exported_directory_cannot_be_compressed(plain, tmp_path, options):
    with pytest.raises(ExportError, match=f"already exported, so `{next(iter(options))}`.*original model"):
        export_dynexec(plain, tmp_path / "output", **options)
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("exit_layers", [[2], [-1], [0, 99]])
def test_exit_layers_are_checked_before_the_export(tiny_hf, tmp_path, exit_layers, monkeypatch):
    monkeypatch.setattr("optimum_dynexec.exporters.main.export_openvino", None)
    wrong = next(layer for layer in exit_layers if layer not in (0, 1))
    with pytest.raises(ValueError, match=rf"between 0 and 1.*3 layers.*{wrong} is among"):
        export_dynexec(tiny_hf("llama"), tmp_path / "output", exit_layers=exit_layers)
    assert os.listdir(tmp_path) == []


def test_one_warning_says_what_is_lost(tiny_export, tmp_path, caplog):
    source = tiny_export("xglm")
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="optimum_dynexec"):
        config = export_dynexec(source, tmp_path / "output")
    (record,) = [record for record in caplog.records if record.name.startswith("optimum_dynexec")]
    assert "no early exit" in record.getMessage()
    assert "no speculative decoding" in record.getMessage()
    assert not config.pageable
    assert config.pageable_reason in record.getMessage()


def test_no_warning_where_nothing_is_lost(plain, caplog):
    with caplog.at_level(logging.WARNING, logger="optimum_dynexec"):
        annotate_export(plain)
    assert "optimum_dynexec" not in caplog.text


def test_exits_of_what_cannot_be_cut_are_an_error(tiny_export, tmp_path):
    with pytest.raises(
        ExportError, match=r"cannot have exit layers, because it cannot be cut between its layers: .*attention"
    ):
        export_dynexec(tiny_export("xglm"), tmp_path / "output", exit_layers=[1])
    assert os.listdir(tmp_path) == []


def test_other_number_of_layers_is_not_cut(plain, caplog):
    """If the places to cut are not the layers that the configuration means, their numbers would mislead."""
    config = json.loads((plain / "config.json").read_text())
    (plain / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 6}))
    with caplog.at_level(logging.WARNING, logger="optimum_dynexec"):
        assert annotate_export(plain).hidden_state_names == {}
    assert "has 6 layers, but 3 boundaries were found" in caplog.text


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"task": "fill-mask"}, ExportError, "'fill-mask' cannot be exported; accepted are 'auto'"),
        ({"task": "text-generation"}, ExportError, "accepted are 'auto' and .*'text-generation-with-past'"),
        ({"disable_stateful": True}, ExportError, "`disable_stateful` cannot be used: a stateless model"),
        ({"wieght_format": "int8"}, TypeError, "no option `wieght_format`; the options are .*weight_format"),
        ({"ratio": 0.5}, ValueError, "weight format is not specified"),
    ],
)
def test_options_that_cannot_be_honoured(tiny_hf, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        export_dynexec(tiny_hf("llama"), tmp_path / "output", **options)
    assert os.listdir(tmp_path) == []


def test_model_that_is_not_there(tmp_path):
    with pytest.raises(ExportError, match="directory /nowhere/at/all does not exist"):
        export_dynexec("/nowhere/at/all", tmp_path / "output")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExportError, match=r"empty is not a model: it has no config\.json"):
        export_dynexec(tmp_path / "empty", tmp_path / "output")
    assert os.listdir(tmp_path) == ["empty"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100000, "is not valid JSON"),
        ("[]", "cannot be inferred from its architecture, None"),
        ('{"architectures": ["os.system"]}', r"architecture, os\.system; give one of .*text-generation-with-past"),
        ('{"architectures": [["x"]]}', "cannot be inferred"),
        ('{"architectures": ["AutoModel"]}', "cannot be inferred"),
        ('{"architectures": ["BertForMaskedLM"]}', r"task 'fill-mask' \(BertForMaskedLM\), which cannot be exported"),
        ('{"architectures": ["T5ForConditionalGeneration"]}', "cannot be exported; accepted are"),
    ],
)
def test_hostile_or_unfit_configuration(tmp_path, config, message):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(config)
    with pytest.raises(ExportError, match=message):
        export_dynexec(tmp_path / "model", tmp_path / "output")
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("damage", ["no weights", "short weights", "empty weights", "half a graph", "no graph"])
def test_damaged_export_is_refused(exported, tmp_path, damage):
    graph, weights = exported / "openvino_model.xml", exported / "openvino_model.bin"
    if damage == "no weights":
        weights.unlink()
    elif damage == "short weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "empty weights":
        weights.write_bytes(b"")
    elif damage == "half a graph":
        graph.write_bytes(graph.read_bytes()[:5000])
    else:
        graph.write_text("no graph")
    with pytest.raises(ExportError, match=r"openvino_model\.xml|already exported"):
        export_dynexec(exported, tmp_path / "output")
    assert os.listdir(tmp_path) == ["exported"]


def test_failed_export_leaves_the_earlier_one(tiny_hf, exported, tmp_path, monkeypatch):
    def fail(*_arguments):
        raise RuntimeError("out of memory")

    before = snapshot(exported)
    monkeypatch.setattr("optimum_dynexec.exporters.annotate.hash_model", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        export_dynexec(tiny_hf("llama"), exported)
    assert snapshot(exported) == before
    assert os.listdir(tmp_path) == ["exported"]


def test_killed_export_leaves_the_earlier_one(tiny_hf, exported, tmp_path):
    before = snapshot(exported)
    program = "import sys, optimum_dynexec as o; o.export_dynexec(*sys.argv[1:], weight_format='int8')"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-c", program, tiny_hf("qwen3"), exported], **quiet)
    staging = tmp_path / ".exported.dynexec-new"
    deadline = time.monotonic() + 120
    # In mid-export: the weights are being written, by way of the temporary directory.
    while not list(staging.rglob("openvino_model.bin")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(staging.rglob("openvino_model.bin"))
    assert snapshot(exported) == before

    shutil.copytree(exported, tmp_path / "source")
    export_dynexec(tmp_path / "source", exported)
    assert sorted(os.listdir(tmp_path)) == ["exported", "source"]
    assert snapshot(exported) == before
