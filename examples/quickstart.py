"""Exports SmolLM2-135M-Instruct and generates with and without speculation: the same text in less time.

    python examples/quickstart.py [--output models/]

The model comes from a Python package (see models.py), its heads from examples/smollm2_heads. Files that exist are
not made again.
"""

import argparse
from pathlib import Path
from statistics import median

import torch
from models import model_directory
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging

from optimum_dynexec import DynExecModelForCausalLM, GenerationStats, export_dynexec
from optimum_dynexec.directory import attach_heads
from optimum_dynexec.utils.quiet import without_known_messages


NAME = "SmolLM2-135M-Instruct"
HEADS = Path(__file__).parent / "smollm2_heads" / "draft_head.safetensors"
PROMPTS = {
    "rewrite": (
        "Correct the mistakes in this text and give back the whole text:\n"
        "The harbour of the old town lies in a quiet bay. In the morning the fishermens return with there boats, and"
        " in the evening the lights of the harbour is reflected in the water. Every visitor who come to the old town"
        " walks along the harbour, and every visitor remember the lights."
    ),
    "code": (
        "Rename the variable `x` to `price` in this function and show the whole function:\n"
        "def total(x, count):\n    if x < 0:\n        raise ValueError('x must not be negative')\n"
        "    return x * count"
    ),
    "question": "Explain in a few sentences why the sky is blue.",
    "list": "Write a short packing list for a weekend in the mountains, with one reason for each item.",
}


def exported_directory(output: Path) -> Path:
    """Returns the directory of the OpenVINO model, which is made on the first call."""
    directory = output / f"{NAME}-openvino"
    if not (directory / "dynexec_config.json").is_file():
        print(f"Exporting {NAME} ...", flush=True)
        logging.disable_progress_bar()
        with without_known_messages():
            source = model_directory(NAME, output / NAME)
            export_dynexec(source, directory, task="text-generation-with-past", weight_format="fp32")
    attach_heads(directory, HEADS)
    return directory


def encode(tokenizer: PreTrainedTokenizerBase, prompt: str) -> dict[str, torch.Tensor]:
    messages = [{"role": "user", "content": prompt}]
    return dict(
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    )


def compare(
    model: DynExecModelForCausalLM, inputs: dict[str, torch.Tensor], max_new_tokens: int, repeats: int
) -> tuple[torch.Tensor, bool, float, float, GenerationStats]:
    """Generates with and without speculation in turns. Returns text, equality, both speeds, and statistics."""
    outputs: dict[str, list[torch.Tensor]] = {"off": [], "auto": []}
    stats: dict[str, list[GenerationStats]] = {"off": [], "auto": []}
    for _ in range(repeats):
        for speculation in ("off", "auto"):
            output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False, speculation=speculation)
            outputs[speculation].append(output[0])
            stats[speculation].append(model.last_stats)
    expected = outputs["off"][0]
    equal = all(torch.equal(output, expected) for output in outputs["off"] + outputs["auto"])
    plain, dynamic = (median(s.tokens_per_second for s in stats[name]) for name in ("off", "auto"))
    return expected[inputs["input_ids"].shape[1] :], equal, plain, dynamic, stats["auto"][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("models"), help="Directory for the model.")
    parser.add_argument("--max-new-tokens", type=int, default=96, help="Maximum number of new tokens of each answer.")
    parser.add_argument("--repeats", type=int, default=1, help="Number of runs; medians are printed.")
    args = parser.parse_args()

    directory = exported_directory(args.output)
    print(f"Model: {directory}")
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = DynExecModelForCausalLM.from_pretrained(directory, precision="exact")
    model.generate(**encode(tokenizer, "Hello"), max_new_tokens=8, do_sample=False)  # warm-up

    measured = f"Medians of {args.repeats} runs" if args.repeats > 1 else "One run each"
    rows = []
    for name, prompt in PROMPTS.items():
        inputs = encode(tokenizer, prompt)
        tokens, equal, plain, dynamic, stats = compare(model, inputs, args.max_new_tokens, args.repeats)
        print(f"\n=== {name}\n{prompt}\n---\n{tokenizer.decode(tokens, skip_special_tokens=True)}\n---")
        print(f"{measured}: plain {plain:.1f} tokens/s, dynamic {dynamic:.1f} tokens/s")
        print(f"Tokens equal: {'yes' if equal else 'NO'}")
        print(f"Statistics of the {'last ' if args.repeats > 1 else ''}dynamic run:\n{stats}")
        rows.append((name, len(tokens), plain, dynamic, equal))

    print(f"\n{'prompt':<10} {'tokens':>7} {'plain':>8} {'dynamic':>8} {'ratio':>6}  equal")
    for name, count, plain, dynamic, equal in rows:
        print(
            f"{name:<10} {count:>7} {plain:>8.1f} {dynamic:>8.1f} {dynamic / plain:>6.2f}  {'yes' if equal else 'NO'}"
        )
    total = sum(row[1] for row in rows)
    plain, dynamic = (total / sum(row[1] / row[column] for row in rows) for column in (2, 3))
    all_equal = all(row[4] for row in rows)
    print(
        f"{'all':<10} {total:>7} {plain:>8.1f} {dynamic:>8.1f} {dynamic / plain:>6.2f}  {'yes' if all_equal else 'NO'}"
    )
    print(f"Tokens per second including the prompt. {measured}, in turns; precision='exact', CPU.")
    if not all_equal:
        raise SystemExit("Dynamic generation changed the text: this is a bug.")
    print(f"The model is now in {args.output / NAME} (original) and {directory} (export).")


if __name__ == "__main__":
    main()
