"""`optimum-cli dynexec quantize`, `tune` and `optimize`: what they take, print and end with."""

import json
import shutil
import subprocess
import sys

import pytest

from optimum_dynexec import DynExecConfig
from optimum_dynexec.commands import tune
from optimum_dynexec.commands.quantize import quantization_options
from optimum_dynexec.directory.tuning import Tuning, load_tuning
from tests.tiny_models import TEXT


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text("\n".join(TEXT))
    return path


def test_quantizes_and_tunes(run, tiny_export, prompts, tmp_path):
    source = shutil.copytree(tiny_export("llama"), tmp_path / "source")
    config = DynExecConfig.from_pretrained(source)
    config.calibration = {"thresholds": {}}
    config.save_pretrained(source)
    output = tmp_path / "int4"
    arguments = ["--weight-format", "int4", "--group-size", 16, "--ratio", 0.5, "--data", prompts, "--num-samples", 2]
    # In a process of its own, as NNCF keeps the stdout that there was when it was imported.
    command = [sys.executable, "-m", "optimum.commands.optimum_cli", "dynexec", "quantize", source, output, *arguments]
    result = subprocess.run([*map(str, command), "--json"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    values = json.loads(result.stdout)
    assert values["model"] == str(output)
    assert values["weight_bytes"] < 0.5 * values["weight_bytes_before"]
    assert values["calibration_is_stale"] is True
    written = json.loads((output / "openvino_config.json").read_text())["quantization_config"]
    assert (written["bits"], written["group_size"], written["ratio"]) == (4, 16, 0.5)

    quick = ["--time-limit", 10, "--max-samples", 1, "--max-new-tokens", 4, "--threads", "1", "--precision", "fast"]
    status, printed, _ = run("tune", output, "--data", prompts, *quick)
    assert status == 0
    found = load_tuning(output)
    lines = printed.splitlines()
    assert lines[0].split() == ["tried", "ms", "speed", "95%", "interval", "runs", "outcome"]
    assert any(line.startswith("prompt_lookup 4 ") for line in lines)
    assert any(line.startswith("again: auto ") for line in lines)
    assert lines[-4].startswith(f"Chosen: {found.best['name']} ")
    assert lines[-3] == f"Reason: {found.decision}"
    assert lines[-2].startswith("Speed: ")
    assert lines[-2].endswith(" on 1 input")
    assert found.versions["openvino"]


def test_what_is_said_of_a_tuning():
    values = {"name": "max_prob 0.9", "seconds": 0.001}
    row = {**values, "runs": 24, "speedup": 2.0, "interval": [1.9, 2.1], "loss": 0.0, "outcome": "chosen"}
    found = Tuning(
        objective="latency",
        options={"early_exit": None, "batch_size": 1},
        precision="fast",
        ov_config={},
        baseline={"name": "off", "seconds": 0.002},
        best=values,
        loss=0.002,
        max_loss=0.01,
        samples=256,
        table=[row],
        model_hash=None,
        head_hashes={},
        machine={},
        speedup=2.0,
        speedup_interval=[1.9, 2.1],
        rounds=24,
        decision="max_prob 0.9 is faster than off: 2.00x (interval 1.90 to 2.10, 24 rounds)",
        loss_interval=[-0.004, 0.009],
        loss_samples=800,
        full_accuracy=0.93,
        full_accuracy_interval=[0.912, 0.944],
        full_samples=1000,
    )
    lines = tune.tuning_lines(found, "DIR")
    assert "2.00x    1.90 to 2.10" in lines[1]
    assert lines[3:] == [
        f"Reason: {found.decision}",
        "Speed: 1.000 ms per token or sample, plain execution 2.000 ms: 2.00 times as fast (95% interval 1.90 to 2.10,"
        " 24 rounds) on 256 inputs",
        "Accuracy of the full model: 93.00% (95% interval 91.20% to 94.40%, 1000 samples)",
        "Loss on samples that were not used to choose: 0.20% (95% interval -0.40% to 0.90%, 800 samples); the limit is"
        " 1.00%",
        "Written to DIR/dynexec_config.json",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quantize", "MODEL", "OUT"], "give either --weight-format, for only the weights, or --quant-mode"),
        (["quantize", "MODEL", "OUT", "--weight-format", "fp16"], "is not a quantization"),
        (["quantize", "MODEL", "OUT", "--quant-mode", "int8"], "needs calibration data"),
        (["quantize", "MODEL", "OUT", "--weight-format", "int8", "--head-weight-format", "int8"], "has no heads"),
        (["quantize", "OUT", "OUT2", "--weight-format", "int8"], "is not an exported model"),
        (
            ["quantize", "MODEL", "OUT", "--weight-format", "int8", "--validation-data", "x"],
            "needs --accuracy-control",
        ),
        (["tune", "MODEL", "--data", "nothing.txt"], "nothing.txt does not exist"),
        (
            ["quantize", "MODEL", "OUT", "--weight-format", "int4", "--awq", "--data", "no.txt"],
            "no.txt does not exist",
        ),
        (["tune", "OUT", "--data", "nothing.txt"], "has no dynexec_config.json"),
        (["optimize", "MODEL", "OUT", "--data", "nothing.txt"], "nothing.txt does not exist"),
        (["optimize", "MODEL", "OUT", "--data", "PROMPTS"], "needs at least 10 inputs, but there are 4"),
        (["optimize", "MODEL", "OUT", "--data", "PROMPTS", "--max-loss", "2"], "`max_loss` must be between 0 and 1"),
    ],
)
def test_errors_are_one_line(run, tiny_export, prompts, tmp_path, arguments, message):
    places = {"MODEL": tiny_export("llama"), "OUT": tmp_path / "out", "PROMPTS": prompts}
    status, output, error = run(*(places.get(argument, argument) for argument in arguments))
    assert status == 1
    assert output == ""
    last = error.strip().splitlines()[-1]
    assert last.startswith(f"optimum-cli dynexec {arguments[0]}: error: ")
    assert message in last
    assert "Traceback" not in error
    assert not (tmp_path / "out" / "model").exists()


def test_interrupted(run, tiny_export, prompts, tmp_path, monkeypatch):
    from optimum_dynexec.quantization import main

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_quantize", interrupted)
    status, output, error = run("quantize", tiny_export("llama"), tmp_path / "out", "--weight-format", "int8")
    assert (status, output) == (130, "")
    assert error.strip().splitlines()[-1] == "optimum-cli dynexec quantize: interrupted"
    assert not list(tmp_path.iterdir())


def test_options_are_those_of_optimum_intel():
    """As `optimum-cli export openvino` reads them."""
    from argparse import ArgumentParser

    from optimum.intel import OVQuantizationConfig, OVWeightQuantizationConfig

    from optimum_dynexec.commands.quantize import QuantizeCommand
    from optimum_dynexec.quantization.configs import as_ov_config

    def config(*arguments):
        parser = ArgumentParser()
        QuantizeCommand.parse_args(parser)
        options = quantization_options(parser.parse_args(["model", "out", *arguments]))
        return as_ov_config(options).quantization_config

    found = config("--weight-format", "int4", "--awq", "--scale-estimation", "--gptq", "--data", "x")
    assert isinstance(found, OVWeightQuantizationConfig)
    assert (found.bits, found.quant_method, found.scale_estimation, found.gptq) == (4, "awq", True, True)
    assert found.dataset is None
    found = config("--quant-mode", "int8", "--smooth-quant-alpha", "0.6", "--dataset", "wikitext2")
    assert isinstance(found, OVQuantizationConfig)
    assert (found.smooth_quant_alpha, found.dataset) == (0.6, "wikitext2")
    mixed = config("--quant-mode", "int4_f8e4m3", "--data", "x")
    assert mixed.weight_quantization_config.dtype == "int4"
    assert mixed.full_quantization_config.dtype == "f8e4m3"
