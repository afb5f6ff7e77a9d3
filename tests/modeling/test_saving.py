"""What is saved can be loaded again, here and elsewhere."""

import json
import shutil
from pathlib import Path

import openvino as ov
import pytest
import torch
from optimum.intel import OVModelForCausalLM

from optimum_dynexec import DynExecConfig, DynExecModelForCausalLM
from optimum_dynexec.directory.hashes import hash_model
from optimum_dynexec.directory.marking import read_boundaries
from tests.tiny_models import LAYERS, TEXT


@pytest.fixture
def prompt(encode):
    return {**encode(TEXT[0]), "max_new_tokens": 12, "do_sample": False}


def load(directory, **options):
    return DynExecModelForCausalLM.from_pretrained(directory, precision="exact", **options)


@pytest.mark.parametrize("name", ["llama", "phi3", "gpt2"])
def test_round_trip(name, tiny_export, tiny_model, exact_ov_config, prompt, tmp_path):
    expected = tiny_model(name).generate(**prompt)
    load(tiny_export(name), exit_layers=[1], compile=False).save_pretrained(tmp_path)
    config = DynExecConfig.from_pretrained(tmp_path)
    assert config.exit_layers == [1]
    assert config.model_hash == hash_model(tmp_path, "openvino_model")
    marks = read_boundaries(ov.Core().read_model(tmp_path / "openvino_model.xml"))
    assert len(marks) == LAYERS
    assert list(config.hidden_state_names.values()) == marks
    again = load(tmp_path)
    assert again.engine.paged_model.num_segments == 2
    assert torch.equal(again.generate(**prompt), expected)
    plain = OVModelForCausalLM.from_pretrained(tmp_path, ov_config=exact_ov_config)
    assert torch.equal(plain.generate(**prompt), expected)


def test_saving_over_what_it_was_loaded_from(tiny_export, prompt, tmp_path):
    load(tiny_export("llama"), compile=False).save_pretrained(tmp_path)
    model = load(tmp_path)
    expected = model.generate(**prompt)
    model.save_pretrained(tmp_path)
    assert torch.equal(model.generate(**prompt), expected)
    assert torch.equal(load(tmp_path).generate(**prompt), expected)


def test_learned_criteria_are_saved(tiny_export, tmp_path):
    shutil.copytree(tiny_export("llama"), tmp_path / "model")
    (tmp_path / "model" / "exit_classifier.safetensors").write_bytes(b"weights")
    load(tmp_path / "model", compile=False).save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / "exit_classifier.safetensors").read_bytes() == b"weights"


def test_generation_settings_are_saved(tiny_export, prompt, tmp_path):
    model = load(tiny_export("llama"), compile=False)
    model.generation_config.repetition_penalty = 1.75
    model.save_pretrained(tmp_path)
    assert load(tmp_path, compile=False).generation_config.repetition_penalty == 1.75


def test_a_directory_of_optimum_intel_itself(tiny_export, plain_model, prompt, tmp_path):
    """Without dynexec_config.json: the boundaries are found at load."""
    plain_model("llama").save_pretrained(tmp_path)
    assert not (tmp_path / "dynexec_config.json").exists()
    model = load(tmp_path, exit_layers=[0, 1])
    assert model.engine.paged_model.num_segments == 3
    assert torch.equal(model.generate(**prompt), plain_model("llama").generate(**prompt))


@pytest.mark.parametrize("options", [{}, {"compile": False}], ids=["compiled", "not compiled"])
def test_what_cannot_be_paged_is_not_said_to_be_pageable(options, tiny_export, tmp_path):
    original = DynExecConfig.from_pretrained(tiny_export("gpt_neo"))
    assert not original.pageable
    load(tiny_export("gpt_neo"), **options).save_pretrained(tmp_path)
    assert not DynExecConfig.from_pretrained(tmp_path).pageable


@pytest.mark.parametrize("options", [{}, {"compile": False}], ids=["compiled", "not compiled"])
def test_what_cannot_be_paged_is_not_said_to_be_pageable_without_its_configuration(options, tiny_export, tmp_path):
    import shutil

    shutil.copytree(tiny_export("gpt_neo"), tmp_path / "bare")
    (tmp_path / "bare" / "dynexec_config.json").unlink()
    load(tmp_path / "bare", **options).save_pretrained(tmp_path / "saved")
    assert not DynExecConfig.from_pretrained(tmp_path / "saved").pageable


def test_everything_is_pushed_to_the_hub(tiny_export, tmp_path, monkeypatch):
    from huggingface_hub import HfApi

    uploads = {}
    monkeypatch.setattr(HfApi, "create_repo", lambda self, repo_id, **_: uploads.setdefault("repo", repo_id))
    monkeypatch.setattr(
        HfApi,
        "upload_file",
        lambda self, path_or_fileobj, path_in_repo, **_: uploads.update({path_in_repo: str(path_or_fileobj)}),
    )
    model = load(tiny_export("llama"), compile=False)
    model.save_pretrained(tmp_path)
    model.push_to_hub(str(tmp_path), "somebody/something")
    assert uploads.pop("repo") == "somebody/something"
    assert {"openvino_model.xml", "openvino_model.bin", "config.json", "dynexec_config.json"} <= set(uploads)
    assert json.loads(Path(uploads["dynexec_config.json"]).read_text())["hidden_state_names"]
