"""Requests that come and go: all of them share the forward passes of one model.

    python examples/many_users.py --model MODEL_DIR

The users come one after the other, each with a question of a conversation that begins with the same system prompt. One
answer is streamed, and one request is cancelled. What is printed last shows how much the requests have shared.
"""

import argparse
import time

from transformers import AutoTokenizer, GenerationConfig

from optimum_dynexec import DynExecModelForCausalLM


SYSTEM = "You are the assistant of a library. Be brief, and say so if you do not know an answer."
QUESTIONS = [
    "Name a book about the sea.",
    "Who wrote Faust?",
    "Explain in one sentence what an index is.",
    "Write a very long story.",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="Directory of an export.")
    parser.add_argument("--max-new-tokens", type=int, default=60, help="Maximum number of new tokens.")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = DynExecModelForCausalLM.from_pretrained(args.model, prefix_cache=True)
    config = GenerationConfig(do_sample=False, max_new_tokens=args.max_new_tokens, eos_token_id=tokenizer.eos_token_id)

    def ids(question: str) -> list[int]:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]

    with model.continuous_batching_context_manager(config) as manager:
        names = []
        for question in QUESTIONS[:-1]:
            names.append(manager.add_request(ids(question), streaming=question == QUESTIONS[0]))
            time.sleep(0.2)
        long = manager.add_request(ids(QUESTIONS[-1]), max_new_tokens=2000)
        for output in manager.request_id_iter(names[0]):
            print(f"\r{tokenizer.decode(output.generated_tokens, skip_special_tokens=True)!r:.100}", end="")
        print()
        for question, name in zip(QUESTIONS[1:], names[1:], strict=False):
            answer = manager.get_result(name)
            print(f"{question}\n  {tokenizer.decode(answer.generated_tokens, skip_special_tokens=True)!r:.100}")
        manager.cancel_request(long)
        last = manager.get_result(long)
        print(f"{QUESTIONS[-1]}\n  {last.finish_reason} after {len(last.generated_tokens)} tokens")

    stats = model.engine.loop.stats
    print(f"\n{stats.tokens} tokens in {stats.steps} forward passes; {stats.prefix_hits} prompt tokens were known.")


if __name__ == "__main__":
    main()
