"""Speculative decoding with a draft model, alone and together with prompt lookup.

    python examples/draft_model.py --model MODEL_DIR --draft DRAFT_DIR

Both are exported directories with the same tokenizer. A draft model helps if it is several times faster than the
model. `speculation="auto"` measures this and does not use the draft model where it does not help.
"""

import argparse

import torch
from transformers import AutoTokenizer

from optimum_dynexec import DynExecModelForCausalLM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="Directory of an export.")
    parser.add_argument("--draft", required=True, help="Directory of a smaller model with the same tokenizer.")
    parser.add_argument(
        "--prompt", default="Explain in a few sentences why the sky is blue.", help="Prompt to answer."
    )
    parser.add_argument("--max-new-tokens", type=int, default=80, help="Maximum number of new tokens.")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = DynExecModelForCausalLM.from_pretrained(args.model, precision="exact")
    draft = DynExecModelForCausalLM.from_pretrained(args.draft)  # the precision of drafts does not change the output
    messages = [{"role": "user", "content": args.prompt}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)

    settings = {
        "plain": {"speculation": "off"},
        "draft model, 4 tokens": {"assistant_model": draft, "num_assistant_tokens": 4},
        "auto, with the draft": {"assistant_model": draft, "speculation": "auto"},
    }
    outputs = []
    for name, arguments in settings.items():
        outputs.append(model.generate(**inputs, max_new_tokens=args.max_new_tokens, do_sample=False, **arguments))
        print(f"--- {name}\n{model.last_stats}\n")
    print(tokenizer.decode(outputs[0][0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    print(f"\nTokens equal in all settings: {all(torch.equal(output, outputs[0]) for output in outputs)}")


if __name__ == "__main__":
    main()
