"""The group size of dynamic quantization: which one is chosen, and where it is used."""

import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import group_size as program
from optimum_dynexec import DynExecConfig, DynExecModelForCausalLM
from optimum_dynexec.commands.tune import tuning_lines
from optimum_dynexec.directory.tuning import load_tuning
from optimum_dynexec.tuning import TuningArguments, decoder, export_group, measure_group, tune
from optimum_dynexec.tuning.group_size import GroupCosts, choose_group, divergence, group_sizes


GROUP = "DYNAMIC_QUANTIZATION_GROUP_SIZE"


def made_up(kl: dict[str, float], digests: dict[str, str] | None = None) -> list[GroupCosts]:
    seconds = {"1": 0.1, "8": 0.2, "512": 1.0}
    return [GroupCosts(name, value, 0.99, seconds, (digests or {}).get(name, name)) for name, value in kl.items()]


def test_the_largest_group_that_is_as_accurate_as_the_default_is_chosen():
    generator = random.Random(0)
    for _ in range(300):
        kl = {name: generator.uniform(0, 0.01) for name in ("float32", "default", "32", "64", "128", "896")}
        chosen = choose_group(made_up(kl))
        allowed = [group for group in (64, 128, 896) if kl[str(group)] <= kl["default"]]
        assert chosen == (max(allowed) if allowed else None)
        # Without kernels for groups, all give the same bits.
        assert choose_group(made_up(kl, dict.fromkeys(("32", "64", "128", "896"), "same"))) is None


def test_the_groups_to_try():
    assert group_sizes(896) == [32, 64, 128, 896]
    assert group_sizes(64) == [32, 64, 128]
    assert group_sizes(100) == [32, 64, 128]


def test_divergence_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    expected, found = (3 * torch.randn(50, 40, generator=generator) for _ in range(2))
    kl = torch.nn.functional.kl_div(
        found.log_softmax(-1), expected.log_softmax(-1), log_target=True, reduction="batchmean"
    )
    halves = [(expected.numpy()[:30], expected.numpy()[30:]), (found.numpy()[:30], found.numpy()[30:])]
    got, agreement = divergence(*halves)
    assert got == pytest.approx(kl.item(), rel=1e-5)
    assert agreement == np.mean((expected.argmax(-1) == found.argmax(-1)).numpy())
    assert divergence(halves[0], halves[0]) == (0.0, 1.0)


@pytest.fixture(scope="module")
def tuned(tiny_export, prompts, tmp_path_factory):
    """A tiny decoder with INT8 weights that is tuned, with made-up measurements of groups, and its tuning."""
    directory = shutil.copytree(tiny_export("llama", "int8"), tmp_path_factory.mktemp("tuned") / "model")
    arguments = TuningArguments(max_samples=1, max_new_tokens=2, threads=(1,), precisions=("exact",), time_limit=3)
    measured = made_up({"float32": 0, "default": 0.002, "32": 0.001, "64": 0.0015, "128": 0.003})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "groups_have_effect", lambda *_: True)
        patch.setattr(decoder, "measure_groups", lambda *_, **__: measured)
        return directory, tune(directory, data=[prompts], arguments=arguments, progress=False)


def load(directory, **options):
    return DynExecModelForCausalLM.from_pretrained(directory, compile=False, **options)


def test_the_group_is_written_and_used_for_exact_only(tuned):
    directory, found = tuned
    assert found.ov_config[GROUP] == "64"
    assert found.group_sizes[0] == made_up({"float32": 0})[0].to_dict()
    assert load_tuning(directory) == found
    assert any("precision exact: 64 (" in line and "0.002)" in line for line in tuning_lines(found, str(directory)))
    assert load(directory).precision == "exact"
    assert load(directory).ov_config[GROUP] == "64"
    assert load(directory, ov_config={GROUP: "128"}).ov_config[GROUP] == "128"
    assert load(directory, precision="f32").ov_config[GROUP] == "0"
    for options in ({"precision": "fast"}, {"tuned": False}):
        assert GROUP not in load(directory, **options).ov_config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"machine": {"device": "CPU", "name": "another", "cpus": 99}}, "was tuned on"),
        *(({"ov_config": {GROUP: value}}, "multiple of 32") for value in ("48", "0", "x", "-32")),
        ({"ov_config": {"CACHE_DIR": "/"}}, "CACHE_DIR"),
    ],
)
def test_a_group_that_cannot_be_used(tuned, tmp_path, caplog, changes, said):
    directory = shutil.copytree(tuned[0], tmp_path / "model")
    config = DynExecConfig.from_pretrained(directory)
    config.tuning = {**config.tuning, **changes}
    config.save_pretrained(directory)
    model = load(directory)
    assert model.precision == "exact"
    assert GROUP not in model.ov_config
    assert said in caplog.text


def test_an_export_is_given_a_group(tuned, tiny_export, tmp_path, monkeypatch):
    directory = shutil.copytree(tiny_export("llama", "int8"), tmp_path / "model")
    measured = made_up({"float32": 0, "default": 0.002, "32": 0.001, "64": 0.0015, "128": 0.0017})
    monkeypatch.setattr(export_group, "groups_have_effect", lambda *_: True)
    monkeypatch.setattr(export_group, "measure_groups", lambda *_, **__: measured)
    assert measure_group(directory, progress=False).group_size == 128
    assert DynExecConfig.from_pretrained(directory).group_size == 128
    assert load(directory).ov_config[GROUP] == "128"
    assert load(directory, ov_config={GROUP: "64"}).ov_config[GROUP] == "64"
    assert load(directory, precision="f32").ov_config[GROUP] == "0"
    for options in ({"precision": "fast"}, {"tuned": False}):
        assert GROUP not in load(directory, **options).ov_config
    # A tuning decides anew.
    both = shutil.copytree(tuned[0], tmp_path / "tuned")
    replace(DynExecConfig.from_pretrained(both), group_size=128).save_pretrained(both)
    assert load(both).ov_config[GROUP] == "64"


@pytest.mark.parametrize("kind", ["no effect", "float32"])
def test_an_export_without_groups_stays_as_it_is(tiny_export, tmp_path, monkeypatch, kind):
    directory = tiny_export("llama", "fp32" if kind == "float32" else "int8")
    directory = shutil.copytree(directory, tmp_path / "model")
    before = (directory / "dynexec_config.json").read_bytes()
    monkeypatch.setattr(export_group, "measure_groups", None)
    monkeypatch.setattr(export_group, "groups_have_effect", lambda *_: kind == "float32")
    assert measure_group(directory).group_size is None
    assert (directory / "dynexec_config.json").read_bytes() == before


def test_an_export_without_a_tokenizer_has_no_group(tiny_export, tmp_path, monkeypatch, caplog):
    directory = shutil.copytree(tiny_export("llama", "int8"), tmp_path / "model")
    (directory / "tokenizer_config.json").unlink()
    monkeypatch.setattr(export_group, "groups_have_effect", lambda *_: True)
    assert measure_group(directory).group_size is None
    assert "No group size of dynamic quantization is measured" in caplog.text


@pytest.mark.parametrize("group", [33, 0, -32, True, "64"])
def test_a_group_that_no_export_can_have(tiny_export, group):
    values = DynExecConfig.from_pretrained(tiny_export("llama", "int8")).to_dict()
    with pytest.raises(ValueError, match="`group_size` must be a multiple of 32"):
        DynExecConfig.from_dict({**values, "group_size": group})


@pytest.mark.parametrize("group", ["64", "0"])
def test_a_group_may_be_given_with_exact(tiny_export, group):
    model = load(tiny_export("llama", "int8"), precision="exact", ov_config={GROUP: group})
    assert model.ov_config[GROUP] == group
    assert model.engine.ov_config[GROUP] == group


def test_program(tiny_export, prompts, tmp_path, capsys):
    out, figure = tmp_path / "out.json", tmp_path / "figure.png"
    arguments = ["--model", tiny_export("llama", "int8"), "--text", prompts, "--tokens", 40, "--out", out]
    program.main([str(argument) for argument in (*arguments, "--figure", figure)])
    # Cells are padded.
    printed = " ".join(capsys.readouterr().out.split())
    assert "| float32 | 0.00e+00 | 1.000 |" in printed
    assert all(f"| group {group} |" in printed for group in (32, 64, 128))
    assert "Chosen: " in printed
    assert figure.stat().st_size > 0
    with pytest.raises(SystemExit, match="no compressed weights"):
        program.main(["--model", str(tiny_export("llama")), "--text", str(prompts)])
