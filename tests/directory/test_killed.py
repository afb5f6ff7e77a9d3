"""Whatever ends a process that writes to a directory, and whenever: the directory is as before or as it is to be."""

import errno
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from optimum_dynexec.directory import staging
from optimum_dynexec.directory.config import DynExecConfig
from optimum_dynexec.directory.staging import EXPORT_MARK, staged_directory
from tests.directory.file_operations import content_of, intercept


NAMES = {"0": "a", "1": "b", "2": "c"}


def write_export(directory, version: str, heads: dict[str, int]) -> None:
    """An export of words, with heads by name and layer."""
    directory.mkdir(exist_ok=True)
    for name in (EXPORT_MARK, "openvino_model.bin", "config.json"):
        (directory / name).write_text(version)
    entries = {}
    for name, layer in heads.items():
        for suffix in (".xml", ".bin"):
            (directory / f"openvino_{name}{suffix}").write_text(version)
        entries[name] = {"kind": "norm", "layer": layer, "file": f"openvino_{name}.xml", "hash": "sha256:" + "0" * 64}
    DynExecConfig.from_dict({"hidden_state_names": NAMES, "heads": entries}).save_pretrained(directory)


@pytest.fixture
def output(tmp_path):
    """An export with heads, and with what is a user's own."""
    directory = tmp_path / "parent" / "output"
    directory.parent.mkdir()
    write_export(directory, "old", {"exit_head_0": 0, "exit_head_1": 1})
    (directory / "README.md").write_text("mine")
    (directory / ".git" / "refs").mkdir(parents=True)
    (directory / ".git" / "refs" / "HEAD").write_text("mine")
    (directory / "link").symlink_to("README.md")
    return directory


def rewrite(directory) -> None:
    with staged_directory(directory, keep_others=True) as new:
        write_export(new, "new", {"exit_head_1": 1})


def replace(directory) -> None:
    with staged_directory(directory) as new:
        write_export(new, "new", {})


def configure(directory) -> None:
    with staged_directory(directory, keep_others=True) as new:
        write_export(new, "new", {"exit_head_0": 0})
        for path in new.iterdir():
            if path.name != "dynexec_config.json":
                path.unlink()


@pytest.mark.parametrize("write", [rewrite, replace, configure])
def test_killed_at_each_operation(write, output, tmp_path, monkeypatch):
    """In a process that is killed, so that nothing of it can clean up."""
    before = content_of(output)
    shutil.copytree(output.parent, tmp_path / "done", symlinks=True)
    write(tmp_path / "done" / "output")
    after = content_of(tmp_path / "done" / "output")
    mine = [name for name in before if before[name] == b"mine"]
    assert after != before
    assert [name for name in after if after[name] == b"mine"] == mine
    found = []
    for number in range(1, 1000):
        base = tmp_path / str(number)
        shutil.copytree(output.parent, base, symlinks=True)
        child = os.fork()
        if child == 0:
            count = iter(range(1, number))
            intercept(monkeypatch, lambda count=count: next(count, None) or os.kill(os.getpid(), signal.SIGKILL))
            write(base / "output")
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        found.append(content_of(base / "output"))
        assert found[-1] in (before, after), number
        # The next write goes on as if nothing had been, and leaves nothing of it.
        write(base / "output")
        assert os.listdir(base) == ["output"]
        assert content_of(base / "output") == after
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert number > 10
    assert found[0] == before
    assert found[-1] == after


def refuse(number):
    def call(*arguments, **options):
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize(
    ("function", "number"),
    [("exchange", errno.ENOSYS), ("exchange", errno.EXDEV), ("exchange", errno.EBUSY), ("link", errno.EPERM)],
)
@pytest.mark.parametrize("write", [rewrite, replace])
def test_systems_that_cannot_exchange_directories(write, function, number, output, tmp_path, monkeypatch):
    """What is in between is no directory, which the next write puts right, or one that its configuration refuses."""
    before = content_of(output)
    shutil.copytree(output.parent, tmp_path / "done", symlinks=True)
    write(tmp_path / "done" / "output")
    after = content_of(tmp_path / "done" / "output")
    monkeypatch.setattr(staging if function == "exchange" else os, function, refuse(number))
    states = []
    intercept(monkeypatch, lambda: states.append(content_of(output)))
    write(output)
    monkeypatch.undo()
    assert content_of(output) == after
    assert os.listdir(output.parent) == ["output"]
    for state in states:
        assert number != errno.ENOSYS or state in (None, before, after)
        # The configuration is the last of the files that are replaced.
        if state is not None and state["dynexec_config.json"] == after["dynexec_config.json"]:
            assert {name: state[name] for name in after} == after


def test_in_the_root_of_a_file_system(output, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(output))
    rewrite(output)
    assert (output / EXPORT_MARK).read_text() == "new"
    assert (output / ".git" / "refs" / "HEAD").read_text() == "mine"
    assert not (output / "openvino_exit_head_0.xml").exists()
    assert not (output / ".dynexec-new").exists()


def test_files_that_stay_are_linked_and_open_files_go_on(output, tmp_path):
    weights = output / "README.md"
    inode = weights.stat().st_ino
    with open(output / "run.log", "a") as log:
        rewrite(output)
        log.write("goes on")
    assert weights.stat().st_ino == inode
    assert weights.stat().st_nlink == 1
    assert (output / "run.log").read_text() == "goes on"


def test_in_the_working_directory_and_through_a_link(output, tmp_path, monkeypatch):
    (tmp_path / "short").symlink_to(output)
    monkeypatch.chdir(tmp_path / "short")
    rewrite(output.parent / ".." / "short")
    assert os.getcwd() == str(output)
    assert Path(EXPORT_MARK).read_text() == "new"
    assert (tmp_path / "short").is_symlink()


def test_what_earlier_versions_left_goes(output):
    for name in (".saving-abcd_123", ".attaching-abcdefgh", ".saving-mine", ".saving-new_0000"):
        (output / name).mkdir()
        (output / name / "openvino_model.bin").write_text("half")
        if name != ".saving-new_0000":
            os.utime(output / name, (0, 0))
    rewrite(output)
    # Another process may still be at what is new.
    assert sorted(path.name for path in output.glob(".saving-*")) == [".saving-mine", ".saving-new_0000"]
    assert not (output / ".attaching-abcdefgh").exists()


# ---- all that writes to a directory --------------------------------------------------------------------------------


def attach(directory, tmp_path, monkeypatch, request):
    from optimum_dynexec.directory import attach_heads
    from tests.directory.test_attached_heads import save

    for seed in (0, 7):
        save(tmp_path / f"heads-{seed}", "draft", seed=seed)
        save(tmp_path / f"heads-{seed}", "block", layer=1, seed=seed)
    attach_heads(directory, tmp_path / "heads-0")
    return lambda: attach_heads(directory, tmp_path / "heads-7")


def save_model(directory, tmp_path, monkeypatch, request):
    from optimum_dynexec import DynExecModelForCausalLM

    attach(directory, tmp_path, monkeypatch, request)
    other = request.getfixturevalue("tiny_export")("llama", seed=1)
    model = DynExecModelForCausalLM.from_pretrained(other, heads=tmp_path / "heads-7", compile=False)
    return lambda: model.save_pretrained(directory)


def save_encoder(directory, tmp_path, monkeypatch, request):
    from optimum_dynexec import DynExecModelForSequenceClassification

    model = DynExecModelForSequenceClassification.from_pretrained(
        request.getfixturevalue("tiny_encoder")("bert"), compile=False
    )
    return lambda: model.save_pretrained(directory)


def calibrate(directory, tmp_path, monkeypatch, request):
    from optimum_dynexec.directory import Calibration
    from optimum_dynexec.directory.freshness import save_calibration

    def calibration(epsilon):
        texts = {"num_texts": 9, "num_samples": 9, "num_tuning_texts": 9}
        risk = {"risk": "token_agreement", "epsilon": epsilon, "delta": 0.1, "p_value": 0.1, "upper_bound": 0.1}
        layers = {"thresholds": {0: 0.5}, "mean_layers": 1.0, "num_layers": 3, "exit_shares": {0: 1.0}}
        return Calibration(
            "classifier",
            method="ltt",
            candidates="uniform",
            measured_risk=0.0,
            data_hash="",
            **texts,
            **risk,
            **layers,
        )

    save_calibration(calibration(0.1), b"old", directory)
    return lambda: save_calibration(calibration(0.2), b"new", directory)


def tune(directory, tmp_path, monkeypatch, request):
    from optimum_dynexec.directory import Tuning
    from optimum_dynexec.tuning import main

    found = Tuning("latency", {}, "fast", {}, {}, {}, None, 0.0, 1, [], None, {}, {})
    monkeypatch.setattr(main, "_tuner", lambda task: lambda *arguments: found)
    return lambda: main.tune(directory, data=["x"])


def train_steps(directory, tmp_path, monkeypatch, request):
    from optimum_dynexec.diffusion.step_saver.config import StepSaverConfig
    from optimum_dynexec.diffusion.step_saver.storage import save_predictor

    def save(seed):
        value = ov.opset13.parameter([1], np.float32)
        model = ov.Model([ov.opset13.add(value, np.float32([seed]))], [value], "predictor")
        config = StepSaverConfig([1, 2], 0.1 * seed, None, "relative", 0.1, 8)
        save_predictor(directory / "step_saver", model, request.getfixturevalue("tiny_tokenizer"), config)

    save(1)
    return lambda: save(2)


def single_ir(directory, tmp_path, monkeypatch, request):
    from optimum_dynexec import EarlyExitConfig
    from optimum_dynexec.exporters import export_single_ir

    shutil.rmtree(directory)
    shutil.copytree(request.getfixturevalue("tiny_encoder")("bert"), directory)
    export_single_ir(directory, EarlyExitConfig(threshold=0.5))
    return lambda: export_single_ir(directory, EarlyExitConfig(threshold=0.9))


def export(directory, tmp_path, monkeypatch, request):
    from optimum_dynexec import export_dynexec

    other = request.getfixturevalue("tiny_export")("llama", seed=1)
    return lambda: export_dynexec(other, directory, exit_layers=[0])


@pytest.mark.parametrize(
    "writer",
    [attach, save_model, save_encoder, calibrate, tune, train_steps, single_ir, export],
    ids=lambda f: f.__name__,
)
def test_all_that_writes_to_a_directory(writer, tiny_export, tmp_path, monkeypatch, request):
    """What is there before and after each operation is what a process that is killed there would leave."""
    directory = tmp_path / "parent" / "model"
    shutil.copytree(tiny_export("llama"), directory)
    (directory / "README.md").write_text("mine")
    write = writer(directory, tmp_path, monkeypatch, request)
    (directory / "README.md").write_text("mine")
    before, states = content_of(directory), []
    intercept(monkeypatch, lambda: states.append(content_of(directory)))
    write()
    monkeypatch.undo()
    after = content_of(directory)
    assert os.listdir(directory.parent) == ["model"]
    assert after["README.md"] == b"mine"
    assert before != after
    assert len(states) > 10
    assert [index for index, state in enumerate(states) if state not in (before, after)] == []
    assert before in states
