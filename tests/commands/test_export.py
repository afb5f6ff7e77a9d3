import json
import os
import shutil
import subprocess
import sys

import pytest

from optimum.commands import optimum_cli
from optimum_dynexec import DynExecConfig
from optimum_dynexec.commands.numbers import parse_layers
from optimum_dynexec.heads import save_head
from tests.heads.reference import random_head
from tests.tiny_models import build_tokenizer


def run(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "optimum.commands.optimum_cli", "export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def run_here(monkeypatch, capsys, *arguments) -> tuple[object, str]:
    """The same without a new process: the exit status and what was written as an error."""
    monkeypatch.setattr(sys, "argv", ["optimum-cli", "export", "dynexec", *map(str, arguments)])
    with pytest.raises(SystemExit) as raised:
        optimum_cli.main()
    return raised.value.code, capsys.readouterr().err


def test_exports(tiny_hf, tmp_path):
    options = ["--exit-layers", "0,1", "--weight-format", "int8", "--task", "text-generation-with-past"]
    shape, tensors, _ = random_head("draft", hidden_size=64, vocab_size=len(build_tokenizer()))
    save_head(shape, tensors, tmp_path / "draft_head.safetensors")
    options += ["--heads", tmp_path / "draft_head.safetensors"]
    result = run("dynexec", "--model", tiny_hf("llama"), *options, "--json", tmp_path / "output")
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert (printed["exit_layers"], printed["heads"], printed["num_layers"]) == ([0, 1], ["draft_head"], 3)
    config = DynExecConfig.from_pretrained(tmp_path / "output")
    assert config.exit_layers == [0, 1]
    assert list(config.heads) == ["draft_head"]
    assert (tmp_path / "output" / "openvino_tokenizer.xml").is_file()
    assert b"u8" in (tmp_path / "output" / "openvino_model.xml").read_bytes()
    # What other libraries say about themselves is left out.
    for noise in ("torchvision", "TracerWarning", "`torch_dtype`", "`loss_type=None`", "`cache_position`"):
        assert noise not in result.stderr


def test_id_on_the_hub(tiny_hf, tmp_path):
    """Of a model that was downloaded before, as there is no Hub to reach here."""
    repository = tmp_path / "cache" / "models--owner--tiny"
    shutil.copytree(tiny_hf("llama"), repository / "snapshots" / "0123abcd")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd")
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "cache")}
    result = run("dynexec", "--model", "owner/tiny", "--exit-layers", "1", tmp_path / "output", env=offline)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"Exported a text-generation-with-past model to {tmp_path / 'output'}",
        f"To train heads for it, run `optimum-cli dynexec train-heads {tmp_path / 'output'} --data FILE`",
    ]
    assert DynExecConfig.from_pretrained(tmp_path / "output").exit_layers == [1]
    assert (tmp_path / "output" / "openvino_tokenizer.xml").is_file()

    result = run("dynexec", "--model", "owner/other", tmp_path / "output", env=offline)
    assert result.returncode == 1
    assert "owner/other is not a local directory and cannot be downloaded" in result.stderr.strip().splitlines()[-1]


def test_error_is_one_line(tiny_hf, tmp_path):
    result = run("dynexec", "--model", tiny_hf("llama"), "--exit-layers", "7", tmp_path / "output")
    assert result.returncode == 1
    *_, last = result.stderr.strip().splitlines()
    assert last.startswith("optimum-cli export dynexec: error: `exit_layers` must be between 0 and 1")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "output").exists()


def test_verbose_shows_the_traceback(tmp_path):
    result = run("dynexec", "--model", tmp_path / "nothing", "--verbose", tmp_path / "output")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "/nowhere/at/all"], "does not exist"),
        (["--model", "MODEL", "--task", "fill-mask"], "task 'fill-mask' cannot be exported"),
        (["--model", "MODEL", "--disable-stateful"], "`disable_stateful` cannot be used"),
        (["--model", "MODEL", "--library", "timm"], "`library` cannot be used"),
        (["--model", "MODEL", "--ratio", "0.5"], "weight format is not specified"),
    ],
)
def test_errors(tiny_hf, tmp_path, monkeypatch, capsys, arguments, message):
    arguments = [tiny_hf("llama") if argument == "MODEL" else argument for argument in arguments]
    code, error = run_here(monkeypatch, capsys, *arguments, tmp_path / "output")
    assert code == 1
    assert message in error.splitlines()[-1]
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--exit-layers", "1;2", "-m", "x", "out"], "'1;2' is not a list of layers such as 9,19"),
        (["--weight-format", "int3", "-m", "x", "out"], "invalid choice: 'int3'"),
        (["out"], "required: -m/--model"),
    ],
)
def test_usage_errors(monkeypatch, capsys, arguments, message):
    code, error = run_here(monkeypatch, capsys, *arguments)
    assert code == 2
    assert message in error


def test_help_lists_what_applies():
    result = run("dynexec", "--help", check=True)
    for option in ("--exit-layers", "--weight-format", "--group-size", "--dataset", "--verbose"):
        assert option in result.stdout
    for option in ("--disable-stateful", "--library", "--framework"):
        assert option not in result.stdout


def test_layers():
    assert parse_layers("9,19") == [9, 19]
    assert parse_layers("9") == [9]
