"""Calls from many threads, and calls that are cut short."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from tests.tiny_models import TEXT


ROOT = Path(__file__).parents[2]


def blocks_are_back(model):
    paged = model.engine.paged_model
    return paged.free_blocks == paged.num_blocks


def test_a_hundred_calls_from_threads(tiny_model, encode):
    """Greedy, sampled, with drafts, on the plain path: each gives what it gives alone."""
    model, draft = tiny_model("llama"), tiny_model("llama", seed=1)
    kinds = [
        {"do_sample": False},
        {"do_sample": False, "prompt_lookup_num_tokens": 4},
        {"do_sample": False, "assistant_model": draft, "num_assistant_tokens": 3},
        {"do_sample": True, "seed": 11},
        {"do_sample": True, "seed": 12, "prompt_lookup_num_tokens": 4},
        {"do_sample": False, "num_beams": 2},
    ]
    calls = [{**encode(TEXT[i % 4]), "max_new_tokens": 8 + i % 5, **kinds[i % len(kinds)]} for i in range(100)]
    alone = [model.generate(**call) for call in calls]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda call: model.generate(**call), calls))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    assert blocks_are_back(model)
    assert blocks_are_back(draft)


def test_statistics_of_a_call_are_its_own(tiny_model, encode):
    """`last_stats` is of whichever thread was last; what a call returns is not."""
    model = tiny_model("llama")
    lengths = [2 + i % 7 for i in range(60)]

    def tokens(length):
        arguments = {"max_new_tokens": length, "min_new_tokens": length, "return_dict_in_generate": True}
        output = model.generate(**encode(TEXT[0]), **arguments, do_sample=False)
        return output.dynexec.tokens

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(tokens, lengths)) == lengths
    finally:
        sys.setswitchinterval(interval)


def test_two_models_that_draft_for_each_other(tiny_model, encode):
    """Each call needs both models: threads that take them in opposite order must not wait forever."""
    pair = tiny_model("llama"), tiny_model("llama", seed=1)
    arguments = {**encode(TEXT[0]), "max_new_tokens": 24, "do_sample": False}
    expected = [model.generate(**arguments, speculation="off") for model in pair]
    results = {0: [], 1: []}

    def run(which):
        for _ in range(15):
            results[which].append(pair[which].generate(**arguments, assistant_model=pair[1 - which]))

    threads = [threading.Thread(target=run, args=(which,), daemon=True) for which in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    for which, outputs in results.items():
        assert len(outputs) == 30
        assert all(torch.equal(output, expected[which]) for output in outputs)


class Cancelled(Exception):
    pass


class Cancels(BaseStreamer, StoppingCriteria):
    """Raises at the fifth call, as a streamer or as a criterion."""

    def __init__(self):
        self.calls = 0

    def put(self, value):
        self.calls += 1
        if self.calls == 5:
            raise Cancelled

    def end(self):
        raise AssertionError("the text did not end")

    def __call__(self, input_ids, scores, **kwargs):
        self.put(input_ids)
        return torch.zeros(1, dtype=torch.bool)


@pytest.mark.parametrize("how", ["streamer", "stopping_criteria"])
@pytest.mark.parametrize("mode", [{"speculation": "off"}, {"assistant_model": "llama"}], ids=["off", "draft"])
def test_cancelling_in_mid_decode(how, mode, tiny_model, encode):
    model = tiny_model("llama")
    mode = {k: model if v == "llama" else v for k, v in mode.items()}
    arguments = {**encode(TEXT[0]), "max_new_tokens": 20, "do_sample": False}
    expected = model.generate(**arguments)
    cancels = Cancels()
    with pytest.raises(Cancelled):
        model.generate(**arguments, **mode, **{how: cancels if how == "streamer" else StoppingCriteriaList([cancels])})
    assert cancels.calls == 5
    assert blocks_are_back(model)
    assert torch.equal(model.generate(**arguments), expected)


INTERRUPTED = """
import os, signal, sys, threading
import torch
# A parent that runs in the background leaves its children deaf to it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from optimum_dynexec import DynExecModelForCausalLM
model = DynExecModelForCausalLM.from_pretrained(sys.argv[1], precision="exact")
paged = model.engine.paged_model
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    # Hours of work, and no Python in the loop.
    model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=10**7, min_new_tokens=10**7, do_sample=False)
except KeyboardInterrupt:
    assert paged.free_blocks == paged.num_blocks
    assert model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=3, do_sample=False).shape[1] == 6
    print("interrupted")
"""


def test_an_interrupt_ends_a_long_call(tiny_export):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(tiny_export("llama"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "interrupted", done.stderr
    assert done.returncode == 0
