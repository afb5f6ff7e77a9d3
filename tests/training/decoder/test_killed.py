"""A training that is killed: what is on disk then, and that the next one goes on from there."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from optimum_dynexec.data.continuations import ContinuationArguments
from optimum_dynexec.heads import load_head
from optimum_dynexec.training.decoder.train import train_heads
from optimum_dynexec.training.decoder.trainer import HeadTrainer, TrainingArguments
from tests.tiny_models import TEXT


ROOT = Path(__file__).parents[3]
OPTIONS = {
    "layers": [1],
    "kind": "norm",
    "draft_head": False,
    "continuation_arguments": ContinuationArguments(max_new_tokens=12, sampled_every=0),
    "training_arguments": TrainingArguments(epochs=4, batch_rows=64, eval_ratio=0.2, patience=99),
    "progress": False,
}
# Dies in the middle of the n-th file that `where` writes.
PROGRAM = """
import os, signal, sys
import optimum_dynexec.{where} as module
from optimum_dynexec.training.decoder.train import train_heads
from tests.training.decoder.test_killed import OPTIONS

real, calls = module.{function}, []

def dying(*args, **kwargs):
    calls.append(args)
    if len(calls) < {n}:
        return real(*args, **kwargs)
    with open({path}, "wb") as file:
        file.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

module.{function} = dying
train_heads(sys.argv[1], sys.argv[2], data=[sys.argv[3]], **OPTIONS)
"""
PLACES = {
    "checkpoint": {"where": "training.decoder.trainer", "function": "save_file", "n": 4, "path": "args[1]"},
    "head": {"where": "heads.storage", "function": "write_atomically", "n": 1, "path": 'args[0].with_name(".half")'},
}


@pytest.mark.parametrize("place", PLACES)
def test_training(place, tiny_export, tmp_path, monkeypatch):
    prompts, output = tmp_path / "prompts.txt", tmp_path / "heads"
    prompts.write_text("\n".join(TEXT * 4))
    program = PROGRAM.format(**PLACES[place])
    arguments = [sys.executable, "-c", program, tiny_export("llama"), output, prompts]
    result = subprocess.run([*map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert not list(output.glob("*.safetensors"))

    begun, resume = [], HeadTrainer._resume

    def remembered(*args):
        done, history = resume(*args)
        begun.append((done, len(history)))  # the list itself grows
        return done, history

    monkeypatch.setattr(HeadTrainer, "_resume", remembered)
    (head,) = train_heads(tiny_export("llama"), output, data=[str(prompts)], **OPTIONS)
    ((done, evaluations),) = begun
    assert done > 0
    assert evaluations > 0
    assert load_head(head.path)[0].name == "exit_head_1"

    (uninterrupted,) = train_heads(tiny_export("llama"), tmp_path / "other", data=[str(prompts)], **OPTIONS)
    assert uninterrupted.path.read_bytes()[-1000:] == head.path.read_bytes()[-1000:]
    assert uninterrupted.agreement == head.agreement
