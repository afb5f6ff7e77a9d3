"""What it costs that the logits of a token are the same bits in every pass, and whether they are.

    python -m benchmarks.row_limits --model DIRECTORY --divisions 100

The model is an export with INT8 or INT4 weights. Passes of several sizes are timed with each precision, in turns. With
`--divisions`, random texts are divided into passes in random ways, and all bits of their logits are compared.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.benchmark.environment import environment
from optimum_dynexec.benchmark.markdown import markdown
from optimum_dynexec.native import _C
from optimum_dynexec.runtime.row_limits import slowdown


PRECISIONS = ("exact", "f32", "fast")
CONTEXT = 128


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    for name, value in environment().items():
        print(f"{name}: {value}")
    models = {
        precision: DynExecModelForCausalLM.from_pretrained(args.model, precision=precision, tuned=False)
        for precision in PRECISIONS
    }
    if models["exact"].precision != "exact" or not models["exact"]._has_compressed_weights():
        raise SystemExit(f"{args.model} has no compressed weights, or this machine has no row limits for them")
    engines = {precision: model.engine.paged_model for precision, model in models.items()}
    paged = engines["exact"]
    limits = paged.row_limits
    print(
        f"\nRow limits: {limits.per_sequence} rows of a sequence, {limits.attention} in PagedAttention,"
        f" {limits.least} to {limits.most} rows of a pass; a decoding step takes {slowdown(paged):.2f} x the time of a"
        " step without limits\n"
    )
    print(times(engines, args.rows, args.repeats))
    if args.divisions:
        generator = np.random.default_rng(args.seed)
        different = sum(differs(paged, generator, args.tokens) for _ in range(args.divisions))
        print(f"\n{different} of {args.divisions} divisions of {args.tokens} tokens give other bits")
        paged.row_limits = _C.RowLimits()
        checked = min(args.divisions, 20)
        different = sum(differs(paged, generator, args.tokens) for _ in range(checked))
        print(f"without the limits: {different} of {checked}")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Directory of an export.")
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 512], metavar="N", help="Sizes of passes."
    )
    parser.add_argument("--repeats", type=int, default=5, help="Number of times each pass is run.")
    parser.add_argument("--divisions", type=int, default=0, metavar="N", help="Number of divisions to compare.")
    parser.add_argument("--tokens", type=int, default=200, metavar="N", help="Length of a text that is divided.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed of texts and divisions.")
    return parser.parse_args(argv)


def times(engines: Mapping[str, _C.PagedModel], rows: Sequence[int], repeats: int) -> str:
    """The least ms of a pass, by the number of rows and the precision, as a table in Markdown."""
    found: dict[tuple[str, int], float] = {}
    for size in rows:
        for _ in range(repeats):
            for precision, paged in engines.items():
                seconds = pass_seconds(paged, size)
                found[precision, size] = min(found.get((precision, size), seconds), seconds)
    cells = [[precision, *(f"{1e3 * found[precision, size]:.1f}" for size in rows)] for precision in engines]
    return markdown(["precision", *(f"ms, {size} rows" for size in rows)], cells)


def pass_seconds(paged: _C.PagedModel, rows: int) -> float:
    """Seconds of a pass with `rows` rows after 128 tokens, with the logits of all of them."""
    tokens = np.random.default_rng(rows).integers(0, paged.vocab_size, CONTEXT + rows).tolist()
    sequence = _C.CachedSequence(paged)
    sequence.forward(tokens[:CONTEXT])
    # The first pass of a size pays for the change.
    sequence.forward(tokens[CONTEXT:])
    sequence.rollback(CONTEXT)
    start = perf_counter()
    sequence.forward(tokens[CONTEXT:])
    return perf_counter() - start


def differs(paged: _C.PagedModel, generator: np.random.Generator, length: int) -> bool:
    """Whether a random division of a random text gives other logits than the longest passes."""
    tokens = generator.integers(0, paged.vocab_size, length)
    largest, sizes = int(generator.choice([2, 6, 20, 90, length])), []
    while sum(sizes) < length:
        sizes.append(min(int(generator.integers(1, largest + 1)), length - sum(sizes)))
    expected, sequence, begin = _C.CachedSequence(paged).forward(tokens.tolist()), _C.CachedSequence(paged), 0
    for size in sizes:
        if not np.array_equal(sequence.forward(tokens[begin : begin + size].tolist()), expected[begin : begin + size]):
            return True
        begin += size
    return False


if __name__ == "__main__":
    main()
