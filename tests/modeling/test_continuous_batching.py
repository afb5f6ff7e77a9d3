"""transformers' interface for continuous batching, on the decode loop."""

import asyncio
import subprocess
import sys
import threading

import pytest
import torch
from transformers import GenerationConfig, StoppingCriteria
from transformers.generation.continuous_batching.requests import GenerationOutput, RequestStatus

from optimum_dynexec import DynExecModelForCausalLM
from tests.tiny_models import TEXT


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model("llama")


@pytest.fixture(scope="module")
def prompts(encode):
    return [encode(text)["input_ids"][0].tolist() for text in TEXT[:4]]


@pytest.fixture
def manager(model):
    config = GenerationConfig(do_sample=False, max_new_tokens=8)
    with model.continuous_batching_context_manager(config) as manager:
        yield manager


def alone(model, ids, **kwargs):
    arguments = {"do_sample": False, "max_new_tokens": 8, **kwargs}
    return model.generate(torch.tensor([ids]), **arguments)[0, len(ids) :].tolist()


def test_generate_batch_gives_each_prompt_its_own_answer(model, prompts):
    config = GenerationConfig(do_sample=False, max_new_tokens=8)
    results = model.generate_batch(prompts, config, progress_bar=False, record_timestamps=True)
    assert list(results) == [f"req_{i}" for i in range(len(prompts))]
    for result, ids in zip(results.values(), prompts, strict=True):
        assert isinstance(result, GenerationOutput)
        assert result.is_finished()
        assert result.error is None
        assert result.prompt_ids == ids
        assert result.generated_tokens == alone(model, ids)
        assert len(result.timestamps) == len(result.generated_tokens)
        assert result.timestamps == sorted(result.timestamps)
        assert result.created_time <= result.lifespan[0] <= result.lifespan[1]
        assert result.dynexec.tokens == len(result.generated_tokens)
    assert model.generate_batch([], config) == {}


def test_each_request_has_its_own_arguments(model, manager, prompts):
    arguments = [
        {"max_new_tokens": 3},
        {"do_sample": True, "seed": 5, "temperature": 2.0},
        {"speculation": "off", "repetition_penalty": 1.5},
        {"prompt_lookup_num_tokens": 3},
    ]
    names = [manager.add_request(ids, **given) for ids, given in zip(prompts, arguments, strict=True)]
    for name, ids, given in zip(names, prompts, arguments, strict=True):
        assert manager.get_result(name, timeout=30).generated_tokens == alone(model, ids, **given)
    assert manager.get_result(timeout=0.01) is None


def test_streaming_gives_all_tokens_so_far(model, manager, prompts):
    name = manager.add_request(prompts[0], streaming=True, speculation="off")
    lengths = [len(result.generated_tokens) for result in manager.request_id_iter(name)]
    expected = alone(model, prompts[0])
    # The last token ends the request, so both come together.
    assert lengths == list(range(1, len(expected) + 1))


def test_results_of_others_stay(manager, prompts):
    first, second = manager.add_requests(prompts[:2], max_new_tokens=4)
    assert manager.get_result(second, timeout=30).request_id == second
    assert manager.get_result(timeout=30).request_id == first


def test_a_cancelled_request_has_its_tokens_so_far(model, manager, prompts):
    name = manager.add_request(prompts[0], streaming=True, max_new_tokens=500, min_new_tokens=500)
    results = manager.request_id_iter(name)
    next(results)
    manager.cancel_request(name)
    *_, last = results
    assert last.finish_reason == "cancelled"
    assert 0 < len(last.generated_tokens) < 500
    manager.cancel_request(name)
    manager.cancel_request("never seen")
    paged = model.engine.paged_model
    assert paged.free_blocks == paged.num_blocks


def test_time_ends_a_request(manager, prompts):
    name = manager.add_request(prompts[0], max_new_tokens=500, min_new_tokens=500, max_time=0.05)
    assert manager.get_result(name, timeout=30).finish_reason == "deadline"


def test_logprobs(manager, prompts):
    result = manager.get_result(manager.add_request(prompts[0], logprobs=2), timeout=30)
    assert len(result.logprobs) == len(result.top_logprobs) == len(result.generated_tokens)
    for token, logprob, top in zip(result.generated_tokens, result.logprobs, result.top_logprobs, strict=True):
        assert top[0] == (token, logprob)
        assert len(top) == 2


class Fails(StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        raise OSError("a criterion that fails")


class Stops(StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        return torch.ones(1, dtype=torch.bool)


def test_functions_of_the_caller(model, manager, prompts):
    failed = manager.add_request(prompts[0], stopping_criteria=[Fails()])
    stopped = manager.add_request(prompts[0], stopping_criteria=[Stops()])
    processed = manager.add_request(prompts[0], sequence_bias=[[[7], 100.0]])
    result = manager.get_result(failed, timeout=30)
    assert result.status == RequestStatus.FAILED
    assert result.error == "OSError: a criterion that fails"
    result = manager.get_result(stopped, timeout=30)
    assert (result.finish_reason, len(result.generated_tokens)) == ("callback", 1)
    assert manager.get_result(processed, timeout=30).generated_tokens == [7] * 8


class Waits(StoppingCriteria):
    def __init__(self):
        self.asked, self.go_on = threading.Event(), threading.Event()

    def __call__(self, input_ids, scores, **kwargs):
        self.asked.set()
        assert self.go_on.wait(60)
        return torch.zeros(1, dtype=torch.bool)


def test_a_request_stays_with_the_engine_it_started_on(tiny_export, prompts):
    """A later request may make the model compile another engine, as one that asks for an exit does."""
    model = DynExecModelForCausalLM.from_pretrained(tiny_export("llama"), precision="exact")
    config = GenerationConfig(do_sample=False, max_new_tokens=8)
    with model.continuous_batching_context_manager(config) as manager:
        waits = Waits()
        first = manager.add_request(prompts[0], stopping_criteria=[waits])
        assert waits.asked.wait(30)
        model.clear_requests()
        assert manager.get_result(manager.add_request(prompts[1]), timeout=60).error is None
        waits.go_on.set()
        assert manager.get_result(first, timeout=30).generated_tokens == alone(model, prompts[0])


def test_what_is_not_possible_says_why(model, manager, prompts):
    for arguments, message in (
        ({"num_beams": 2}, "beam search"),
        ({"num_return_sequences": 2, "do_sample": True}, "num_return_sequences"),
        ({"speculation": "bogus"}, "bogus"),
    ):
        with pytest.raises(ValueError, match=message):
            manager.add_request(prompts[0], **arguments)
    with pytest.raises(ValueError, match="at least one token"):
        manager.add_request([])
    name = manager.add_request(prompts[0], "mine", max_new_tokens=200, min_new_tokens=200)
    with pytest.raises(ValueError, match="'mine' is in use"):
        manager.add_request(prompts[0], "mine")
    manager.cancel_request(name)


def test_results_on_an_event_loop(model, manager, prompts):
    async def run():
        outputs = [output async for output in manager.stream(prompts[0], speculation="off")]
        assert outputs[-1].generated_tokens == alone(model, prompts[0])
        assert len(outputs) == len(outputs[-1].generated_tokens)
        # An iteration that ends early cancels its request.
        stream = manager.stream(prompts[0], max_new_tokens=500, min_new_tokens=500)
        await anext(stream)
        await stream.aclose()
        ended = asyncio.get_running_loop().create_future()
        name = manager.add_request(prompts[1])
        manager.register_result_handler(name, ended.set_result)
        return await asyncio.wait_for(ended, 30)

    assert asyncio.run(run()).generated_tokens == alone(model, prompts[1])
    with pytest.raises(RuntimeError, match="event loop"):
        manager.register_result_handler("any", print)


def test_an_event_loop_that_is_closed_takes_no_other_request_with_it(model, manager, prompts):
    async def leave():
        stream = manager.stream(prompts[0], max_new_tokens=500, min_new_tokens=500)
        await anext(stream)

    asyncio.run(leave())
    for _ in range(3):
        assert manager.get_result(manager.add_request(prompts[1]), timeout=30).error is None
    assert manager.is_running()


def test_a_manager_that_was_to_stop_may_go_on(model, prompts):
    manager = model.init_continuous_batching(GenerationConfig(do_sample=False, max_new_tokens=60, min_new_tokens=60))
    manager.start()
    first = manager.add_request(prompts[0])
    manager.stop(block=False)
    manager.start()
    assert manager.get_result(first, timeout=30) is not None
    assert manager.get_result(manager.add_request(prompts[0]), timeout=30) is not None
    manager.stop()
    assert not manager.is_running()


def test_a_manager_that_is_kept_is_used_again(model, prompts):
    config = GenerationConfig(do_sample=False, max_new_tokens=4)
    with model.continuous_batching_context_manager(config, persistent_manager=True) as first:
        pass
    assert not first.is_running()
    assert model.init_continuous_batching() is first
    with model.continuous_batching_context_manager(persistent_manager=True) as second:
        result = second.get_result(second.add_request(prompts[0]), timeout=30)
        assert result.generated_tokens == alone(model, prompts[0], max_new_tokens=4)
    model.destroy_cached_continuous_batching_manager()
    assert model.init_continuous_batching() is not first


def test_the_queue_has_a_limit(model, prompts, monkeypatch):
    config = GenerationConfig(do_sample=False, max_new_tokens=10**5, min_new_tokens=10**5)
    monkeypatch.setattr("optimum_dynexec.modeling.continuous_batching.QUEUE_PATIENCE", 0.2)
    manager = model.init_continuous_batching(config, max_queue_size=1)
    manager.start()
    name = manager.add_request(prompts[0], max_time=5.0)
    with pytest.raises(TimeoutError, match="max_queue_size"):
        manager.add_request(prompts[0])
    manager.cancel_request(name)
    manager.stop()
    assert not manager.is_running()


LEFT_RUNNING = """
import sys
from transformers import GenerationConfig
from optimum_dynexec import DynExecModelForCausalLM
model = DynExecModelForCausalLM.from_pretrained(sys.argv[1])
manager = model.init_continuous_batching(GenerationConfig(max_new_tokens=10**6, min_new_tokens=10**6, do_sample=False))
manager.start()
class Guide:
    def __call__(self, input_ids, scores):
        return scores
    def forced_tokens(self, input_ids):
        return [9]
    def count_allowed(self, input_ids, draft):
        return len(draft)
arguments = {"logits_processor": [Guide()], "speculation": "suffix"} if sys.argv[2] == "guided" else {}
manager.add_request([5, 6, 7], streaming=True, **arguments)
manager.get_result()
"""


@pytest.mark.parametrize("kind", ["plain", "guided"])
def test_a_program_may_end_while_requests_run(tiny_export, kind):
    """The loop may not call Python when it is no longer there."""
    command = [sys.executable, "-c", LEFT_RUNNING, str(tiny_export("llama")), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr, done.stderr
