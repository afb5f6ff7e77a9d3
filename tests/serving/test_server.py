"""The API over HTTP, with the official client."""

import asyncio
import json
import re
import runpy
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.serving.conftest import POSITIONS
from tests.tiny_models import TEXT


CHAT = [{"role": "user", "content": "The quick brown fox"}]
SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["fox", "dog"]}, "count": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["kind", "count"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "animals", "schema": SCHEMA}}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "time", "parameters": {**SCHEMA, "required": ["count"]}}},
]
# Nothing ends such a request before its length.
ENDLESS = {"extra_body": {"speculation": "off"}, "logit_bias": {"2": -100}}


@pytest.fixture(scope="module")
def model(chat_export):
    from optimum_dynexec import DynExecModelForCausalLM

    return DynExecModelForCausalLM.from_pretrained(chat_export, precision="exact")


def ask(client, **arguments):
    return client.chat.completions.create(**{"model": "tiny", "messages": CHAT, "max_tokens": 24, **arguments})


def complete(client, **arguments):
    return client.completions.create(**{"model": "tiny", "prompt": TEXT[0], "max_tokens": 24, **arguments})


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def greedy(model, tokenizer, prompt, length):
    """What `generate` writes."""
    ids = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    tokens = model.generate(**ids, max_new_tokens=length, do_sample=False)[0, ids["input_ids"].shape[1] :]
    return tokens.tolist(), tokenizer.decode(tokens, skip_special_tokens=True)


# ---- answers --------------------------------------------------------------------------------------------------------


def test_models(server, client):
    (model,) = client.models.list().data
    assert (model.id, model.object, model.max_model_len) == ("tiny", "model", POSITIONS)
    assert client.models.retrieve("tiny").id == "tiny"
    with server.http() as http:
        assert http.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize("speculation", ["auto", "off"])
def test_a_greedy_answer_is_that_of_generate(client, model, tiny_tokenizer, speculation):
    tokens, text = greedy(model, tiny_tokenizer, "user: The quick brown fox\nassistant: ", 40)
    answer = ask(client, temperature=0, max_tokens=40, extra_body={"speculation": speculation})
    (choice,) = answer.choices
    assert choice.message.content == text
    assert (choice.message.role, choice.finish_reason) == ("assistant", "length")
    usage = answer.usage
    assert (usage.completion_tokens, usage.total_tokens) == (len(tokens), usage.prompt_tokens + len(tokens))
    assert usage.prompt_tokens == len(tiny_tokenizer("user: The quick brown fox\nassistant: ")["input_ids"])
    assert complete(client, temperature=0).choices[0].text == greedy(model, tiny_tokenizer, TEXT[0], 24)[1]


def test_a_stream_is_the_whole_answer(client):
    whole = ask(client, temperature=0, max_tokens=60)
    stream = ask(client, temperature=0, max_tokens=60, stream=True, stream_options={"include_usage": True})
    *chunks, last = list(stream)
    assert text_of(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks][-2:] == [None, "length"]
    assert all(chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert last.usage.completion_tokens == whole.usage.completion_tokens == 60
    assert len({chunk.id for chunk in [*chunks, last]}) == 1


def test_drafts_that_were_accepted_are_counted(client):
    """The second time, the answer is a draft."""
    arguments = {"temperature": 0, "extra_body": {"speculation": "suffix", "cache_salt": "drafts"}}
    assert ask(client, **arguments).usage.completion_tokens_details.accepted_prediction_tokens < 12
    again = ask(client, **arguments).usage
    assert 12 <= again.completion_tokens_details.accepted_prediction_tokens <= again.completion_tokens


def test_async_clients_at_the_same_time_get_their_own_answers(server, client):
    prompts = [" ".join(TEXT[i % 4].split()[i : i + 5]) for i in range(6)]
    alone = [complete(client, prompt=prompt, temperature=0).choices[0].text for prompt in prompts]

    async def together():
        async with server.client("AsyncOpenAI") as other:
            return await asyncio.gather(*(complete(other, prompt=p, temperature=0) for p in prompts))

    assert [answer.choices[0].text for answer in asyncio.run(together())] == alone
    assert len(set(alone)) > 1


def test_seeds_and_several_choices(client):
    first, again, other = (ask(client, n=3, seed=seed, temperature=1.5) for seed in (7, 7, 70))
    texts = [[choice.message.content for choice in answer.choices] for answer in (first, again, other)]
    assert texts[0] == texts[1]
    assert len({*texts[0], *texts[2]}) == 6
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    assert first.usage.completion_tokens == 72
    # Without a seed, no two answers are the same. A seed may be negative.
    assert len({ask(client, temperature=1.5).choices[0].message.content for _ in range(3)}) == 3
    assert ask(client, seed=-1).choices

    streamed = [""] * 3
    for chunk in ask(client, n=3, seed=7, temperature=1.5, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts[0]


@pytest.mark.parametrize("speculation", ["auto", "off"])
def test_a_stop_string_ends_the_answer_before_it(client, speculation):
    extra = {"extra_body": {"speculation": speculation}}
    text = complete(client, temperature=0, max_tokens=60, **extra).choices[0].text
    # Across several tokens, of which the first ones are given only when it is clear that they are no part of it.
    stop = text[20:27]
    expected = text[: text.index(stop)]
    for stops in (stop, ["never", stop]):
        answer = complete(client, temperature=0, max_tokens=60, stop=stops, **extra)
        assert (answer.choices[0].text, answer.choices[0].finish_reason) == (expected, "stop")
        assert 0 < answer.usage.completion_tokens < 60
    chunks = list(complete(client, temperature=0, max_tokens=60, stop=stop, stream=True, **extra))
    assert "".join(chunk.choices[0].text for chunk in chunks) == expected
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_log_probabilities(client, model, tiny_tokenizer):
    """Those of the model's own distribution, whatever the temperature."""
    prompt = "user: The quick brown fox\nassistant: "
    answer = ask(client, temperature=0.5, seed=1, max_tokens=12, logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    tokens = tiny_tokenizer(prompt)["input_ids"]
    assert len(content) == answer.usage.completion_tokens == 12
    assert b"".join(bytes(entry.bytes) for entry in content).decode(errors="replace") == (
        answer.choices[0].message.content
    )
    logits = model(torch.tensor([tokens])).logits[0, -1].float()
    values = torch.log_softmax(logits, -1).topk(3).values
    assert [entry.logprob for entry in content[0].top_logprobs] == pytest.approx(values.tolist(), abs=1e-3)
    chunks = [c for c in ask(client, temperature=0.5, seed=1, max_tokens=12, logprobs=True, stream=True) if c.choices]
    parts = [entry for c in chunks if c.choices[0].logprobs for entry in c.choices[0].logprobs.content]
    assert [entry.logprob for entry in parts] == pytest.approx([entry.logprob for entry in content])

    legacy = complete(client, temperature=0, max_tokens=8, logprobs=2).choices[0]
    assert len(legacy.logprobs.tokens) == len(legacy.logprobs.text_offset) == 8
    assert legacy.logprobs.text_offset[0] == 0
    best = [max(top.values()) for top in legacy.logprobs.top_logprobs]
    assert legacy.logprobs.token_logprobs == pytest.approx(best)


def test_a_prefix_that_is_known_is_not_computed_again(client):
    prompt = " ".join(TEXT[:2]) + " prefix"
    first = complete(client, prompt=prompt, extra_body={"cache_salt": "one"}).usage
    again = complete(client, prompt=prompt, extra_body={"cache_salt": "one"}).usage
    other = complete(client, prompt=prompt, extra_body={"cache_salt": "two"}).usage
    cached = [usage.prompt_tokens_details.cached_tokens for usage in (first, again, other)]
    assert cached[0] == cached[2] == 0
    assert 32 <= cached[1] < first.prompt_tokens


def test_logit_bias(client, tiny_tokenizer):
    token = tiny_tokenizer.convert_tokens_to_ids("q")
    answer = ask(client, temperature=0, max_tokens=5, logit_bias={str(token): 100})
    assert answer.choices[0].message.content == "qqqqq"


def test_the_end_of_a_sequence(client, tiny_tokenizer):
    answer = ask(client, temperature=0, max_tokens=5, logit_bias={str(tiny_tokenizer.eos_token_id): 100})
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("", "stop")


def test_sampling_arguments_change_the_answer(client):
    base = ask(client, seed=3, temperature=1.0).choices[0].message.content
    changes = [{"top_p": 0.2}, {"frequency_penalty": 2.0}, {"temperature": 2.0}]
    changes += [{"extra_body": extra} for extra in ({"top_k": 1}, {"min_p": 0.9}, {"repetition_penalty": 9.0})]
    assert all(ask(client, seed=3, **change).choices[0].message.content != base for change in changes)
    assert ask(client, seed=3, extra_body={"top_k": 1}).choices == ask(client, temperature=0).choices


def test_kinds_of_prompts(client, tiny_tokenizer):
    texts = [TEXT[0], TEXT[1]]
    ids = [tiny_tokenizer(text)["input_ids"] for text in texts]
    kinds = [(texts[0], 1), (ids[0], 1), (texts, 2), (ids, 2)]
    answers = [complete(client, prompt=prompt, temperature=0) for prompt, _ in kinds]
    both = [[choice.text for choice in answer.choices] for answer in answers]
    assert both[0] == both[1] == both[2][:1]
    assert both[2] == both[3]
    assert answers[2].usage.prompt_tokens == sum(map(len, ids))
    echoed = complete(client, prompt=texts, temperature=0, n=2, echo=True)
    assert [choice.index for choice in echoed.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in echoed.choices] == [
        text + answer for text, answer in zip(texts, both[2], strict=True) for _ in range(2)
    ]
    assert echoed.usage.prompt_tokens == answers[2].usage.prompt_tokens


def test_messages_of_all_kinds(client):
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "How warm"}, {"type": "text", "text": "is it?"}]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "21"},
    ]
    assert ask(client, messages=messages).usage.completion_tokens == 24


# ---- grammars and tools ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_json_follows_its_schema(client, stream):
    """Whatever is drafted. A random model would never write it by itself."""
    arguments = {"response_format": FORMAT, "max_tokens": 400, "seed": 5, "stream": stream}
    for speculation in ("auto", "suffix", "off"):
        answer = ask(client, **arguments, extra_body={"speculation": speculation})
        text = text_of(answer) if stream else answer.choices[0].message.content
        value = json.loads(text)
        assert set(value) == {"kind", "count"}
        assert value["kind"] in ("fox", "dog")
        assert 0 <= value["count"] <= 99


def test_json_is_the_same_with_and_without_drafts(client):
    arguments = {"response_format": FORMAT, "max_tokens": 400, "temperature": 0}
    texts = [
        ask(client, **arguments, extra_body={"speculation": speculation}).choices[0].message.content
        for speculation in ("off", "suffix", "suffix", "prompt_lookup", "auto")
    ]
    assert len(set(texts)) == 1


def test_json_object(client):
    answer = ask(client, response_format={"type": "json_object"}, max_tokens=10).choices[0].message.content
    assert answer.lstrip().startswith("{")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "time"}}])
def test_a_tool_call_can_be_forced(client, choice):
    arguments = {"tools": TOOLS, "tool_choice": choice, "max_tokens": 400, "seed": 2}
    answer = ask(client, **arguments).choices[0]
    assert (answer.finish_reason, answer.message.content) == ("tool_calls", None)
    (call,) = answer.message.tool_calls
    assert call.function.name in (("weather", "time") if choice == "required" else ("time",))
    value = json.loads(call.function.arguments)
    assert 0 <= value["count"] <= 99

    chunks = list(ask(client, **arguments, stream=True))
    (delta,) = [d for chunk in chunks for d in chunk.choices[0].delta.tool_calls or []]
    assert (delta.index, delta.function.name) == (0, call.function.name)
    assert json.loads(delta.function.arguments) == value
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert text_of(chunks) == ""


def test_a_model_may_leave_tools_alone(client):
    answer = ask(client, tools=TOOLS, tool_choice="auto").choices[0]
    assert answer.message.tool_calls is None
    assert answer.message.content
    longer = ask(client, tools=TOOLS).usage.prompt_tokens
    assert longer > ask(client, tools=TOOLS, tool_choice="none").usage.prompt_tokens


# ---- clients that go away -------------------------------------------------------------------------------------------


def is_idle(metrics):
    return metrics["vllm:num_requests_running"] == 0 and metrics["vllm:kv_cache_usage_perc"] == 0


def test_a_stream_that_is_left_ends_the_request(server, client):
    before = server.wait_until(is_idle)["vllm:generation_tokens_total"]
    stream = ask(client, stream=True, max_tokens=POSITIONS - 100, **ENDLESS)
    next(iter(stream))
    assert server.metrics()["vllm:num_requests_running"] == 1
    stream.response.close()
    after = server.wait_until(lambda m: is_idle(m) and m["vllm:generation_tokens_total"] > before)
    assert after["vllm:generation_tokens_total"] - before < POSITIONS / 2


def test_an_answer_that_no_one_waits_for_ends(server):
    import openai

    server.wait_until(is_idle)
    began = time.monotonic()
    with pytest.raises(openai.APITimeoutError):
        ask(server.client(timeout=0.5), max_tokens=POSITIONS - 100, **ENDLESS)
    server.wait_until(is_idle)
    assert time.monotonic() - began < 5


# ---- what operators see ---------------------------------------------------------------------------------------------


def test_metrics_have_the_names_of_vllm(server, client):
    before = server.metrics()
    usage = ask(client, n=2, temperature=0, extra_body={"speculation": "suffix"}).usage
    after = server.metrics()

    def grown(name):
        return after[f"vllm:{name}"] - before.get(f"vllm:{name}", 0.0)

    assert grown("prompt_tokens_total") == usage.prompt_tokens
    assert grown("generation_tokens_total") == usage.completion_tokens == 48
    assert grown("request_success_total") == 2
    assert grown("time_to_first_token_seconds_count") == 2
    assert grown("e2e_request_latency_seconds_count") == 1
    assert 0 < after["vllm:time_to_first_token_seconds_sum"] < 300
    assert grown("spec_decode_num_draft_tokens_total") >= grown("spec_decode_num_accepted_tokens_total") >= 0
    assert grown("prefix_cache_queries_total") > 0
    gauges = {"num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"}
    others = {"num_preemptions_total", "prefix_cache_hits_total", "time_per_output_token_seconds_sum"}
    assert {f"vllm:{name}" for name in gauges | others} <= set(after)


def test_the_dashboard_shows_metrics_that_there_are(server, client):
    ask(client, extra_body={"speculation": "suffix"})
    dashboard = json.loads((Path(__file__).parents[2] / "examples" / "serving" / "dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked = {name for query in queries for name in re.findall(r"vllm:\w+", query)}
    assert len(asked) > 10
    assert asked <= set(server.metrics())


def test_the_example_runs(server, capsys, monkeypatch):
    path = Path(__file__).parents[2] / "examples" / "serving" / "client.py"
    monkeypatch.setattr(sys, "argv", [str(path), "--url", f"{server.url}/v1", "--max-tokens", "60"])
    runpy.run_path(str(path), run_name="__main__")
    said = capsys.readouterr().out
    assert {"Chat:", "Streaming:", "Tools:", "JSON schema:"} <= set(said.splitlines())


def test_no_text_of_a_prompt_is_in_the_log(server, client):
    import openai

    secret = "zebra-crossing-4711"
    messages = [{"role": "user", "content": secret}]
    ask(client, messages=messages)
    list(ask(client, messages=messages, stream=True))
    complete(client, prompt=secret)
    for wrong in ({"temperature": secret}, {"stop": [secret] * 9}, {"tools": [{"type": secret}]}, {"model": secret}):
        with pytest.raises(openai.APIStatusError):
            ask(client, **{"messages": messages, **wrong})
    log = server.log.read_text()
    assert "POST /v1/chat/completions" in log
    assert secret not in log
