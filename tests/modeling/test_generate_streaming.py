"""Streamers get the prompt, then every token once and in order, then the end."""

import pytest
import torch
from transformers import TextIteratorStreamer
from transformers.generation.streamers import BaseStreamer

from tests.tiny_models import TEXT


class Recorder(BaseStreamer):
    def __init__(self):
        self.events = []

    def put(self, value):
        self.events.append(value.clone())

    def end(self):
        self.events.append("end")


@pytest.mark.parametrize(
    "mode", [{"speculation": "off"}, {"prompt_lookup_num_tokens": 5}, {"num_assistant_tokens": 5}, {}], ids=str
)
@pytest.mark.parametrize("do_sample", [False, True])
def test_every_token_once(mode, do_sample, tiny_model, torch_model, encode):
    model, inputs, recorder = tiny_model("gpt2"), encode(TEXT[0]), Recorder()
    if "num_assistant_tokens" in mode:
        mode = {**mode, "assistant_model": model}
    out = model.generate(
        **inputs, max_new_tokens=20, do_sample=do_sample, seed=1, presence_penalty=-4.0, streamer=recorder, **mode
    )
    prompt, *tokens, end = recorder.events
    assert torch.equal(prompt, inputs["input_ids"])
    assert end == "end"
    assert all(token.shape == (1,) for token in tokens)
    assert torch.equal(torch.cat(tokens), out[0, inputs["input_ids"].shape[1] :])


def test_the_same_calls_as_from_transformers(tiny_model, torch_model, encode):
    ours, theirs = Recorder(), Recorder()
    arguments = {**encode(TEXT[1]), "max_new_tokens": 12, "do_sample": False}
    tiny_model("llama").generate(**arguments, streamer=ours, prompt_lookup_num_tokens=4)
    torch_model("llama").generate(**arguments, streamer=theirs)
    assert [getattr(e, "shape", e) for e in ours.events] == [getattr(e, "shape", e) for e in theirs.events]
    assert [getattr(e, "tolist", str)() for e in ours.events[:-1]] == [e.tolist() for e in theirs.events[:-1]]


def test_text_comes_out_while_it_is_generated(tiny_model, encode, tiny_tokenizer):
    from threading import Thread

    inputs = encode(TEXT[0])
    streamer = TextIteratorStreamer(tiny_tokenizer, skip_prompt=True, timeout=60, decode_kwargs={})
    results = []
    model = tiny_model("llama")
    arguments = {**inputs, "max_new_tokens": 20, "do_sample": False}
    thread = Thread(target=lambda: results.append(model.generate(**arguments, streamer=streamer)))
    thread.start()
    text = "".join(streamer)
    thread.join(60)
    assert text == tiny_tokenizer.decode(results[0][0, inputs["input_ids"].shape[1] :])


def test_a_streamer_takes_one_sequence(tiny_model, encode):
    from transformers import TextStreamer

    with pytest.raises(ValueError, match="batch size 1"):
        tiny_model("llama").generate(
            **encode(*TEXT[:2]), max_new_tokens=4, streamer=TextStreamer(tokenizer=None), do_sample=False
        )
