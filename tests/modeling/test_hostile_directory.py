"""A directory that is damaged, or made to do damage, ends in an error in words; nothing crashes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


class Child:
    """A process that loads what it is told to, and is started anew when it has died of it."""

    def __init__(self, kind, directory):
        self.command = [sys.executable, "-m", "tests.modeling.hostile_child", kind, str(directory)]
        self.process = None

    def __call__(self, content):
        if self.process is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self.process = subprocess.Popen(self.command, cwd=ROOT, text=True, **pipes)
        self.process.stdin.write(json.dumps(content) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.close()
            pytest.fail(f"the process ended with {self.code}")
        return json.loads(answer)

    def close(self):
        if self.process is not None:
            self.process.stdin.close()
            self.code = self.process.wait()
            self.process.stdout.close()
            self.process = None


@pytest.fixture(scope="module", params=["decoder", "encoder"])
def victim(request, tiny_hf, tiny_encoder, tmp_path_factory):
    """A directory with heads, calibration and tuning; the child that loads it; and the names of the model's nodes."""
    import openvino as ov

    from optimum_dynexec import DynExecConfig, export_dynexec
    from optimum_dynexec.directory import Calibration, Tuning, attach_heads
    from optimum_dynexec.directory.freshness import hash_heads, save_calibration
    from optimum_dynexec.directory.tuning import head_hashes, this_machine
    from optimum_dynexec.heads.storage import save_head
    from tests.heads.reference import random_head
    from tests.tiny_models import build_tokenizer

    base = tmp_path_factory.mktemp("victim")
    directory = base / "model"
    if request.param == "encoder":
        shutil.copytree(tiny_encoder("bert"), directory)
    else:
        export_dynexec(tiny_hf("llama"), directory, weight_format="fp32")
        (base / "heads").mkdir()
        for kind, layer in (("norm", 0), ("block", 1), ("draft+layers", None)):
            options = {"words": 50, "hidden_size": 64, "vocab_size": len(build_tokenizer()), "layer": layer}
            config, tensors, _ = random_head(kind, **options)
            save_head(config, tensors, base / "heads" / f"{config.name}.safetensors")
        attach_heads(directory, base / "heads")
    config = DynExecConfig.from_pretrained(directory)
    hashes = hash_heads(directory, config)
    layers = {"thresholds": dict.fromkeys(hashes, 0.5), "mean_layers": 1.0, "num_layers": 3, "exit_shares": {0: 1.0}}
    counts = {"num_texts": 9, "num_samples": 9, "num_tuning_texts": 9, "measured_risk": 0.0, "data_hash": ""}
    risk = {"risk": "token_agreement", "epsilon": 0.1, "delta": 0.1, "p_value": 0.1, "upper_bound": 0.1}
    kinds = {"method": "ltt", "candidates": "uniform", "model_hash": config.model_hash, "head_hashes": hashes}
    save_calibration(Calibration("max_prob", **layers, **counts, **risk, **kinds), None, directory)
    options = {"speculation": "prompt_lookup"} if request.param == "decoder" else {"early_exit": None, "batch_size": 1}
    measured = {"name": "x", "seconds": 1.0}
    properties = {"INFERENCE_NUM_THREADS": "1"}
    identity = (config.model_hash, head_hashes(config), this_machine())
    tuning = Tuning("latency", options, "exact", properties, measured, measured, None, 0.0, 1, [], *identity)
    config = DynExecConfig.from_pretrained(directory)
    config.tuning = tuning.to_dict()
    config.save_pretrained(directory)
    model = ov.Core().read_model(directory / "openvino_model.xml")
    child = Child(request.param, directory)
    yield (
        child,
        json.loads((directory / "dynexec_config.json").read_text()),
        [node.get_friendly_name() for node in model.get_ordered_ops()],
    )
    child.close()


def places(content, path=()):
    """The paths of all values in nested objects and lists."""
    children = (
        content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    )
    return [path, *(found for key, child in children for found in places(child, (*path, key)))]


def with_value(content, path, value):
    if not path:
        return value
    copy = list(content) if isinstance(content, list) else dict(content)
    copy[path[0]] = with_value(copy[path[0]], path[1:], value)
    return copy


def test_the_directory_as_it_is(victim):
    child, content, _ = victim
    given = child(content)["given"]
    assert len(given) > 1
    assert all(one == given[0] for one in given)


def test_any_value_in_any_place(victim):
    """The process lives, the error is one in words, and what loads all the same answers rightly."""
    child, content, nodes = victim
    expected = child(content)["given"][0]
    anything = st.one_of(
        st.sampled_from(nodes),
        st.sampled_from(
            [None, True, False, 0, 1, -1, 3, 10**18, 2**63, 0.5, -0.5, 1e308, "", "x", "0", [], {}, [0], "int8"]
        ),
        st.sampled_from(
            [{"0": "x"}, {"x": 0}, [[]], [None], "../model.xml", "openvino_model.xml", "sha256:" + "0" * 64]
        ),
        st.text(max_size=5),
    )

    @settings(max_examples=25, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(places(content)), anything)
    def check(path, value):
        try:
            result = child(with_value(content, path, value))
        except pytest.fail.Exception as error:
            raise AssertionError(f"{path} = {value!r}: {error}") from None
        if "given" in result:
            assert all(one == expected for one in result["given"]), (path, value)
        else:
            assert result["accepted"], (path, value, result)
            assert result["message"], (path, value)

    check()


def test_a_layer_that_ends_at_another_node(victim):
    """Of every type of operation there is, one by one: each layer's name is that of a boundary or refused."""
    child, content, nodes = victim
    right = content["hidden_state_names"]
    types = {name.split("/")[-1].rstrip("_0123456789"): name for name in nodes if name not in right.values()}
    assert len(types) > 10
    for name in types.values():
        result = child({**content, "hidden_state_names": {**right, "1": name}})
        assert "are not the boundaries between the layers" in result["message"], name
        assert name in result["message"]


@pytest.mark.parametrize(
    "change",
    [
        lambda names: {"0": names["1"], "1": names["0"], "2": names["2"]},
        lambda names: {"0": names["0"], "1": names["0"], "2": names["2"]},
        lambda names: {"0": names["0"], "1": names["2"]},
        lambda names: {**names, "3": "more"},
        lambda names: {"0": "x", "1": "y", "2": "z"},
    ],
    ids=["swapped", "twice", "fewer", "more", "none of the model"],
)
def test_layers_that_are_not_those_of_the_model(change, directory):
    names = json.loads((directory / "dynexec_config.json").read_text())["hidden_state_names"]
    write_config(directory, {"hidden_state_names": change(names), "exit_layers": [0]})
    with pytest.raises(ValueError, match="are not the boundaries between the layers .*`optimum-cli export dynexec"):
        DynExecModelForCausalLM.from_pretrained(directory, precision="exact")


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
    message = "openvino_model.xml or its .bin file is not the one .*optimum-cli export dynexec --model .* remove dyn"
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
