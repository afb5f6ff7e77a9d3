"""A real model under load: each request gets the tokens that it gets alone, whoever comes, leaves or is cut off."""

import asyncio
import random

import pytest
import torch
from transformers import AutoTokenizer, GenerationConfig

from optimum_dynexec import DynExecModelForCausalLM
from tests.real.test_families import MODELS


pytestmark = pytest.mark.slow
NAME = "SmolLM2-135M-Instruct-int8"
REQUESTS, USERS = 200, 32
QUESTIONS = [
    "Name a book.",
    "Who wrote Faust?",
    "Count from one to twenty in words.",
    "Repeat this list, twice: apples, pears, plums, cherries, quinces, medlars, grapes.",
    "Write a Python function that adds two numbers. " + "Say what it does, why, and for whom. " * 12,
]


@pytest.fixture(scope="module")
def model():
    if not (MODELS / NAME / "openvino_model.xml").is_file():
        pytest.skip(f"{MODELS / NAME} is missing: export SmolLM2-135M-Instruct with --weight-format int8")
    return DynExecModelForCausalLM.from_pretrained(MODELS / NAME, precision="exact", prefix_cache=True)


def test_200_requests_of_32_users_who_may_disconnect(model):
    tokenizer = AutoTokenizer.from_pretrained(MODELS / NAME)
    generator = random.Random(0)
    requests = []
    for number in range(REQUESTS):
        messages = [{"role": "user", "content": f"{QUESTIONS[number % len(QUESTIONS)]} ({number // 10})"}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
        sampled = {"do_sample": True, "temperature": 1.0, "seed": number} if number % 2 else {"do_sample": False}
        requests.append((ids, {"max_new_tokens": generator.randint(8, 40), **sampled}))

    def alone(ids, arguments):
        inputs = torch.tensor([ids])
        options = {"speculation": "off", "attention_mask": torch.ones_like(inputs)}
        return model.generate(inputs, **options, **arguments)[0, len(ids) :].tolist()

    expected = [alone(*request) for request in requests]
    model.speculation_memory.forget_texts()
    model.engine.paged_model.forget_prefixes()
    outcome = {"as alone": 0, "other": 0, "disconnected": 0}

    async def user(manager, queue):
        while queue:
            number = queue.pop()
            ids, arguments = requests[number]
            leaves_after = generator.randint(0, 20) if generator.random() < 0.3 else None
            if leaves_after is not None:
                async for output in manager.stream(ids, **{**arguments, "max_new_tokens": 400}):
                    if len(output.generated_tokens) >= leaves_after:
                        break
                outcome["disconnected"] += 1
            *_, output = [output async for output in manager.stream(ids, **arguments)]
            same = output.error is None and output.generated_tokens == expected[number]
            outcome["as alone" if same else "other"] += 1

    async def load(manager):
        queue = list(range(REQUESTS))
        generator.shuffle(queue)
        await asyncio.gather(*(user(manager, queue) for _ in range(USERS)))

    with model.continuous_batching_context_manager(GenerationConfig(pad_token_id=0)) as manager:
        asyncio.run(load(manager))
    print(outcome)
    assert outcome["as alone"] == REQUESTS
    assert outcome["disconnected"] > 20
    assert model.engine.loop.stats.used_blocks == 0
