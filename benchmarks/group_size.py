"""What the group size of OpenVINO's dynamic quantization costs, in accuracy and in time.

    python -m benchmarks.group_size --model DIRECTORY --data prompts.jsonl

The model is an export with INT8 or INT4 weights. The logits of the next token are compared with those of float32 on
the model's own answers to the prompts, or on a given text (`--text`), for group sizes with `precision="exact"` and for
OpenVINO's default properties.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.benchmark.environment import environment
from optimum_dynexec.benchmark.markdown import markdown
from optimum_dynexec.data.texts import chat_prompts, read_texts
from optimum_dynexec.graph.compressed_weights import has_compressed_products
from optimum_dynexec.tuning.group_size import TOKENS, GroupCosts, choose_group, measure_groups, own_texts


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    model = DynExecModelForCausalLM.from_pretrained(args.model, tuned=False, compile=args.text is None)
    if not has_compressed_products(model.model):
        raise SystemExit(f"{args.model} has no compressed weights, so that nothing is quantized dynamically")
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    if args.text is None:
        texts = own_texts(model, chat_prompts(read_texts(args.data), tokenizer), args.tokens)
        # The measurements need the memory.
        model.clear_requests()
    else:
        texts = [tokenizer(args.text.read_text(encoding="utf-8"))["input_ids"][: args.tokens]]
    for name, value in environment().items():
        print(f"{name}: {value}")
    measured = measure_groups(model, texts)
    print(f"\n{sum(map(len, texts))} tokens of {len(texts)} texts\n\n{table(measured)}\n{choice_line(measured)}")
    if args.out:
        args.out.write_text(json.dumps([entry.to_dict() for entry in measured], indent=1) + "\n", encoding="utf-8")
    if args.figure:
        draw(measured, args.figure)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Directory of an export.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", metavar="FILE[:COLUMN]", help="Prompts: a .jsonl, .csv or .txt file.")
    source.add_argument("--text", type=Path, metavar="FILE", help="A text, instead of answers to prompts.")
    parser.add_argument("--tokens", type=int, default=TOKENS, metavar="N", help="Number of tokens to compare.")
    parser.add_argument("--out", type=Path, help="JSON file for the results.")
    parser.add_argument("--figure", type=Path, help="PNG file for a figure (needs matplotlib).")
    return parser.parse_args(argv)


def table(measured: Sequence[GroupCosts]) -> str:
    """The measurements as a table in Markdown: accuracy, and ms of passes by the number of rows."""
    sizes = list(measured[0].seconds)
    columns = ["properties", "KL divergence", "equal argmax", *(f"ms, {rows} rows" for rows in sizes)]
    return markdown(columns, [_cells(entry, sizes) for entry in measured])


def _cells(entry: GroupCosts, sizes: Sequence[str]) -> list[str]:
    name = f"group {entry.name}" if entry.name.isdecimal() else entry.name
    times = [f"{1e3 * entry.seconds[rows]:.1f}" for rows in sizes]
    return [name, f"{entry.kl:.2e}", f"{entry.agreement:.3f}", *times]


def choice_line(measured: Sequence[GroupCosts]) -> str:
    """The group that `tune` chooses, and why."""
    digests = {entry.digest for entry in measured if entry.name.isdecimal()}
    if len(digests) == 1:
        return "Chosen: OpenVINO's own group. All groups give the same bits on this processor."
    group = choose_group(measured)
    reason = "the largest one whose KL divergence is not above that of OpenVINO's default properties"
    return f"Chosen: {'no group larger than 32' if group is None else f'group {group}'}, {reason}."


def draw(measured: Sequence[GroupCosts], path: Path) -> None:
    """Draws the divergence over the time of the longest pass for each of the properties."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = list(measured[0].seconds)[-1]
    figure, axes = plt.subplots(figsize=(6, 4))
    groups: list[Any] = sorted((e for e in measured if e.name.isdecimal()), key=lambda entry: int(entry.name))
    axes.plot([1e3 * e.seconds[rows] for e in groups], [e.kl for e in groups], "o-", label='groups, precision="exact"')
    for entry in measured:
        x = 1e3 * entry.seconds[rows]
        if entry not in groups:
            axes.plot([x], [entry.kl], "s", label=entry.name)
        else:
            axes.annotate(entry.name, (x, entry.kl), textcoords="offset points", xytext=(5, 5))
    axes.axhline(next(e.kl for e in measured if e.name == "default"), linestyle=":", color="gray")
    axes.set_xlabel(f"ms for a pass of {rows} rows")
    axes.set_ylabel("KL divergence from float32, nats")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
