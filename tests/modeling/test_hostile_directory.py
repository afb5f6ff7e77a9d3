"""A directory that is damaged, or made to do damage, ends in an error in words; nothing crashes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from optimum_dynexec import DynExecModelForCausalLM


ROOT = Path(__file__).parents[2]
# In a process of its own: a crash is to be seen as one.
LOAD = """
import sys
import torch
from optimum_dynexec import DynExecModelForCausalLM
for directory in sys.argv[1:]:
    try:
        model = DynExecModelForCausalLM.from_pretrained(directory, precision="exact")
        model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=3)
        result = "loaded"
    except (ValueError, RuntimeError, OSError) as error:
        result = type(error).__name__ + ": " + " ".join(str(error).split())
    print(directory, result, sep="\\t", flush=True)
"""


@pytest.fixture
def directory(tiny_export, tmp_path):
    shutil.copytree(tiny_export("llama"), tmp_path / "model")
    return tmp_path / "model"


def truncate(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def replaced(path, old, new):
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))


DAMAGES = {
    "half of the weights": lambda d: truncate(d / "openvino_model.bin", 0.5),
    "a tenth of the weights": lambda d: truncate(d / "openvino_model.bin", 0.1),
    "no byte of the weights": lambda d: truncate(d / "openvino_model.bin", 0),
    "no weights": lambda d: (d / "openvino_model.bin").unlink(),
    "half of the graph": lambda d: truncate(d / "openvino_model.xml", 0.5),
    "no byte of the graph": lambda d: truncate(d / "openvino_model.xml", 0),
    "no graph": lambda d: (d / "openvino_model.xml").unlink(),
    "another file as graph": lambda d: (d / "openvino_model.xml").write_text("<html><body>404</body></html>"),
    "bytes as graph": lambda d: (d / "openvino_model.xml").write_bytes(bytes(range(256)) * 10),
    "weights behind the end of the file": lambda d: replaced(
        d / "openvino_model.xml", 'offset="0"', 'offset="99999999"'
    ),
    "an operation that does not exist": lambda d: replaced(d / "openvino_model.xml", 'type="MatMul"', 'type="Evil"'),
    "no configuration": lambda d: (d / "config.json").unlink(),
    "broken configuration": lambda d: (d / "config.json").write_text("{"),
}


@pytest.fixture(scope="module")
def results(tiny_export, tmp_path_factory):
    """What came of loading each damaged model; without what came after a crash."""
    base = tmp_path_factory.mktemp("damaged")
    directories = {name: base / name.replace(" ", "-") for name in DAMAGES}
    for name, directory in directories.items():
        shutil.copytree(tiny_export("llama"), directory)
        DAMAGES[name](directory)
    command = [sys.executable, "-c", LOAD, *map(str, directories.values())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    lines = dict(line.split("\t") for line in done.stdout.splitlines())
    return {
        name: lines.get(str(directory), f"crashed: {done.stderr[-2000:]}") for name, directory in directories.items()
    }


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model(damage, results):
    kind, _, message = results[damage].partition(": ")
    assert kind.endswith("Error"), results[damage]
    assert message


CONFIGS = {
    "no object": [1, 2],
    "a number for a list": {"exit_layers": 7},
    "text for numbers": {"exit_layers": ["1"]},
    "a huge layer": {"exit_layers": [10**18]},
    "a negative layer": {"exit_layers": [-1]},
    "a layer twice removed": {"exit_layers": [1.0]},
    "a list for an object": {"hidden_state_names": ["a", "b"]},
    "numbers for names": {"hidden_state_names": {"0": 1, "1": 2, "2": 3}},
    "layers with a gap": {"hidden_state_names": {"0": "a", "7": "b"}, "exit_layers": [0]},
    "a version to come": {"format_version": 999},
    "text for a version": {"format_version": "1"},
    "an unknown key": {"exit_layer": [1]},
    "pageable with a reason why not": {"pageable": True, "pageable_reason": "x"},
}


def write_config(directory, values):
    path = directory / "dynexec_config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **values} if isinstance(values, dict) else values))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_configuration(name, directory):
    write_config(directory, CONFIGS[name])
    with pytest.raises(ValueError, match="dynexec_config.json"):
        DynExecModelForCausalLM.from_pretrained(directory, precision="exact")


@pytest.mark.parametrize("content", ["", "{", "nul", "[" * 100_000, '{"a": ' * 50_000, "\ufeff\x00"])
def test_a_configuration_that_is_no_json(content, directory):
    (directory / "dynexec_config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="dynexec_config.json"):
        DynExecModelForCausalLM.from_pretrained(directory, precision="exact")


def test_boundaries_that_are_not_in_the_model(directory):
    write_config(directory, {"hidden_state_names": {"0": "x", "1": "y", "2": "z"}, "exit_layers": [0]})
    with pytest.raises(ValueError, match="no node named"):
        DynExecModelForCausalLM.from_pretrained(directory, precision="exact")


@pytest.mark.parametrize("swap", [{"0": 1, "1": 0, "2": 2}, {"0": 0, "1": 0, "2": 2}], ids=["swapped", "twice"])
def test_boundaries_that_make_no_chain(swap, directory):
    names = json.loads((directory / "dynexec_config.json").read_text())["hidden_state_names"]
    lied = {layer: names[str(other)] for layer, other in swap.items()}
    write_config(directory, {"hidden_state_names": lied, "exit_layers": [0, 1]})
    with pytest.raises(ValueError, match="chain|dynexec_config.json"):
        DynExecModelForCausalLM.from_pretrained(directory, precision="exact")


@pytest.mark.parametrize(
    "kind",
    ["Parameter", "Constant", "ShapeOf", "Gather", "Concat", "Result", "Assign", "ReadValue", "MatMul", "Power"],
)
def test_a_boundary_at_any_other_node_is_refused_or_does_no_harm(kind, directory, tiny_model):
    """The name of a node that is there, but is no boundary."""
    import openvino as ov

    model = ov.Core().read_model(directory / "openvino_model.xml")
    name = next(node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() == kind)
    write_config(directory, {"hidden_state_names": {"0": name, "1": "y"}, "exit_layers": [0]})
    arguments = {"inputs": torch.tensor([[5, 6, 7]]), "max_new_tokens": 12, "do_sample": False}
    message = None
    try:
        tokens = DynExecModelForCausalLM.from_pretrained(directory, precision="exact").generate(**arguments)
    except ValueError as error:
        message = str(error)
    if message is None:
        assert torch.equal(tokens, tiny_model("llama").generate(**arguments))
    else:
        assert any(word in message for word in ("node", "cut", "boundar"))


def other_weights(directory, tiny_export):
    shutil.copy(tiny_export("llama", seed=1) / "openvino_model.bin", directory)


def exported_again(directory, tiny_export):
    """By plain optimum-intel, which marks no boundaries, over ours."""
    from optimum_dynexec.directory.marking import mark_boundaries

    mark_boundaries(directory / "openvino_model.xml", [])


def without_fingerprint(directory, tiny_export):
    """As earlier versions wrote it: the hash of the whole decides."""
    write_config(directory, {"model_fingerprint": None, "model_hash": "sha256:" + "0" * 64})


@pytest.mark.parametrize("change", [other_weights, exported_again, without_fingerprint])
def test_files_that_the_configuration_was_not_written_for(change, directory, tiny_export, tmp_path, tiny_model):
    from optimum_dynexec import export_dynexec
    from optimum_dynexec.directory import attach_heads

    change(directory, tiny_export)
    message = "openvino_model.xml or its .bin file is not the one .* optimum-cli export dynexec --model .* remove dyn"
    with pytest.raises(ValueError, match=message):
        DynExecModelForCausalLM.from_pretrained(directory, precision="exact")
    with pytest.raises(ValueError, match=message):
        attach_heads(directory, tmp_path)
    # The two things that the message says help.
    export_dynexec(directory, tmp_path / "again")
    assert DynExecModelForCausalLM.from_pretrained(tmp_path / "again", precision="exact").engine is not None
    (directory / "dynexec_config.json").unlink()
    assert DynExecModelForCausalLM.from_pretrained(directory, precision="exact").engine is not None


def test_a_configuration_without_hashes_is_one_of_any_model(directory):
    write_config(directory, {"model_fingerprint": None, "model_hash": None})
    assert DynExecModelForCausalLM.from_pretrained(directory, precision="exact").engine is not None
