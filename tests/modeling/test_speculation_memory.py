"""What draft sources have learned survives the process, and changes no token."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.native import _C
from tests.tiny_models import TEXT


ARGUMENTS = {"max_new_tokens": 24, "min_new_tokens": 24, "do_sample": False}


@pytest.fixture
def learned(tiny_export, encode, tmp_path):
    """A directory, and the file of what a model of it has learned about itself as its assistant."""
    directory = tiny_export("llama")
    model = DynExecModelForCausalLM.from_pretrained(directory, precision="exact")
    model.generate(**encode(TEXT[0]), **ARGUMENTS, assistant_model=model, speculation="auto")
    model.generate(**encode(TEXT[0]), **ARGUMENTS, assistant_model=model, num_assistant_tokens=4)
    model.save_speculation_memory(tmp_path / "memory.safetensors")
    return directory, tmp_path / "memory.safetensors"


def test_another_process_knows_it(learned, encode):
    directory, path = learned
    saved = load_file(path)
    assert any(name.startswith("draft_model/") for name in saved)
    # Its names hold in every process, and its drafts were right.
    position = next(values for name, values in saved.items() if name.endswith("/position"))
    assert position[0, 0, 0] == position[0, 0, 1] > 3
    model = DynExecModelForCausalLM.from_pretrained(directory, precision="exact", speculation_memory=path)
    for name, values in model.speculation_memory.observations.items():
        assert np.array_equal(values, saved[name])
    expected = model.generate(**encode(TEXT[0]), **ARGUMENTS, speculation="off")
    found = model.generate(**encode(TEXT[0]), **ARGUMENTS, assistant_model=model, speculation="auto")
    assert torch.equal(found, expected)
    assert set(model.speculation_memory.observations) == set(saved)


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({}, {"format": "x"}, "has the format 'x'"),
        ({"a": np.zeros((1, 2, 2))}, {"format": "speculation_memory 1", "model": "other"}, "of another model"),
        ({"a": np.zeros((1, 2))}, {}, "shape"),
        ({"a": np.full((1, 1, 2), np.nan)}, {}, "no observations"),
        ({"a": np.array([[[2.0, 1.0]]])}, {}, "no observations"),
        ({"a": np.array([[[-1.0, 1.0]]])}, {}, "no observations"),
    ],
)
def test_a_file_that_is_no_memory(tensors, metadata, message, learned, tmp_path):
    directory, path = learned
    from safetensors import safe_open

    with safe_open(str(path), framework="np") as file:
        metadata = metadata or file.metadata()
    save_file(tensors or {"a": np.zeros(1)}, tmp_path / "bad.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=message):
        DynExecModelForCausalLM.from_pretrained(directory, speculation_memory=tmp_path / "bad.safetensors")


def test_a_table_of_another_version_is_made_anew(tiny_export, encode):
    model = DynExecModelForCausalLM.from_pretrained(tiny_export("llama"))
    model.speculation_memory.restore("suffix", np.ones((1, 1, 2)))
    model.generate(**encode(TEXT[0]), **ARGUMENTS, speculation="suffix")
    assert model.speculation_memory.observations["suffix"].shape[0] > 1


def test_observations_come_back():
    memory = _C.SpeculationMemory()
    memory.restore("a", np.array([[[1.0, 2.0]]]))
    assert memory.observations["a"].tolist() == [[[1.0, 2.0]]]
