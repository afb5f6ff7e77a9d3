"""Streams text, and samples with a seed.

python examples/streaming_and_sampling.py --model models/SmolLM2-135M-Instruct-openvino
"""

import argparse

import torch
from transformers import AutoTokenizer, TextStreamer

from optimum_dynexec import DynExecModelForCausalLM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="models/SmolLM2-135M-Instruct-openvino", help="Directory of an export.")
    parser.add_argument("--prompt", default="Write two sentences about a lighthouse.", help="Prompt to answer.")
    parser.add_argument("--max-new-tokens", type=int, default=80, help="Maximum number of new tokens.")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    # Exact: the same seed gives the same text, however many draft tokens are verified in a pass.
    model = DynExecModelForCausalLM.from_pretrained(args.model, precision="exact")
    messages = [{"role": "user", "content": args.prompt}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)

    print("Greedy, streamed:")
    streamer = TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    model.generate(**inputs, max_new_tokens=args.max_new_tokens, do_sample=False, streamer=streamer)
    print(f"\n{model.last_stats}\n")

    # Verification keeps the distribution of plain sampling.
    sampling = {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "max_new_tokens": args.max_new_tokens}
    first, again, other = (model.generate(**inputs, **sampling, seed=seed) for seed in (1, 1, 2))
    prompt_length = inputs["input_ids"].shape[1]
    print(f"Sampled, seed 1:\n{tokenizer.decode(first[0, prompt_length:], skip_special_tokens=True)}\n")
    print(f"Seed 1 again gives the same text: {torch.equal(first, again)}")
    print(f"\nSampled, seed 2:\n{tokenizer.decode(other[0, prompt_length:], skip_special_tokens=True)}")


if __name__ == "__main__":
    main()
