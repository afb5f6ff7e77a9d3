"""Drafts from earlier texts: a draft corpus of your own files, and the texts of earlier calls.

    optimum-cli dynexec draft-corpus MODEL_DIR corpus.safetensors --texts FILE_OR_FOLDER
    python examples/earlier_texts.py --model MODEL_DIR --draft-corpus corpus.safetensors

The same question is asked twice in the scope of one tenant, and once in that of another. What is printed shows how
many tokens each forward pass of the model gave.
"""

import argparse

import torch
from transformers import AutoTokenizer

from optimum_dynexec import DynExecModelForCausalLM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="Directory of an export.")
    parser.add_argument("--draft-corpus", help="File of a draft corpus for this model.")
    parser.add_argument("--prompt", default="Name three uses of a paper clip.", help="Prompt to answer.")
    parser.add_argument("--max-new-tokens", type=int, default=80, help="Maximum number of new tokens.")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = DynExecModelForCausalLM.from_pretrained(args.model, precision="exact", draft_corpus=args.draft_corpus)
    messages = [{"role": "user", "content": args.prompt}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)

    outputs = []
    for tenant in ("tenant-1", "tenant-1", "tenant-2"):
        outputs.append(
            model.generate(
                **inputs,
                max_new_tokens=args.max_new_tokens,
                do_sample=False,
                speculation="suffix",
                num_assistant_tokens=8,
                draft_scope=tenant,
            )
        )
        print(f"{tenant}: {model.last_stats.mean_accepted_length:.2f} tokens per forward pass")
    print(tokenizer.decode(outputs[0][0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    print(f"\nThe same tokens in all calls: {all(torch.equal(output, outputs[0]) for output in outputs)}")


if __name__ == "__main__":
    main()
