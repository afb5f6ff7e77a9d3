"""Requests leave nothing behind."""

import gc

import psutil

from tests.tiny_models import TEXT


def test_two_hundred_requests_leave_no_memory_behind(tiny_model, encode):
    model, draft, process = tiny_model("llama"), tiny_model("llama", seed=1), psutil.Process()
    prompts = [encode(text) for text in TEXT]

    def request(i):
        arguments = [{}, {"assistant_model": draft}, {"do_sample": True, "seed": i}, {"prompt_lookup_num_tokens": 4}]
        model.generate(**prompts[i % 4], max_new_tokens=16, **{"do_sample": False, **arguments[i // 4 % 4]})

    for i in range(64):
        request(i)
    gc.collect()
    before, blocks = process.memory_info().rss, model.engine.paged_model.num_blocks
    for i in range(200):
        request(i)
    gc.collect()
    assert model.engine.paged_model.num_blocks == blocks == model.engine.paged_model.free_blocks
    # One kilobyte leaked per token would be 3 MB.
    assert process.memory_info().rss - before < 3 * 2**20
