"""Classification: early exit compared with optimum-intel's `OVModelFor…`, with the same OpenVINO model and precision.

    python -m benchmarks.classification --model EXPORT --data test.csv --precision fast

EXPORT is an export with exit heads. The data needs labels. The model and the heads must not have been trained, and the
thresholds must not have been calibrated, on this data.
"""

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from optimum_dynexec.benchmark.classification import batches_of, classification_figures, exit_shares
from optimum_dynexec.benchmark.environment import environment
from optimum_dynexec.benchmark.markdown import markdown
from optimum_dynexec.calibration.encoder import EncoderRecordingArguments, EncoderRecords, record_encoder
from optimum_dynexec.data.inputs import load_inputs
from optimum_dynexec.data.samples import Columns, draw, read_samples
from optimum_dynexec.directory.config import DynExecConfig
from optimum_dynexec.directory.hashes import hash_model

from .classification_systems import ClassificationSystem, load_systems
from .results import write_results


METHOD = (
    "Both sides take tokenized inputs and return logits. On each batch, the systems run one after the other, in"
    " rotating"
    " order; each time is the median of the repeats. The latency is that of a call, which is a whole batch."
)
WARM_UP = 3


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    directory = args.model
    config = DynExecConfig.from_pretrained(directory)
    columns = Columns(text=args.text_column, text_pair=args.text_pair_column, label=args.label_column)
    samples = draw(read_samples([args.data], columns, split="test"), args.max_samples, args.seed)
    if samples.labels is None:
        raise SystemExit(f"{args.data} has no labels: name their column with --label-column")
    recorded = record_encoder(
        directory,
        [str(args.data)],
        EncoderRecordingArguments(columns, args.max_samples, args.max_length, args.precision, seed=args.seed),
    )
    systems = load_systems(directory, config, args.precision, args.criterion, args.thresholds)
    settings = {
        "model": str(directory),
        "model_hash": hash_model(directory),
        "precision": args.precision,
        "data": str(args.data),
        "data_sha256": hashlib.sha256(args.data.read_bytes()).hexdigest()[:16] if args.data.is_file() else None,
        "samples": len(samples),
        "max_length": args.max_length,
        "repeats": args.repeats,
        "seed": args.seed,
        **environment(),
    }
    print("\n".join(f"{name}: {value}" for name, value in settings.items()))
    print(f"\n{METHOD}")
    labels = recorded.records.labels
    assert labels is not None
    figures = {}
    inputs, _ = load_inputs(directory, config.task)
    for batch_size in args.batch_sizes:
        rows = measure(systems, batches_of(samples, inputs, batch_size, args.max_length), labels, args.repeats)
        for row in rows:
            row["flops"] = None if row["exit_shares"] is None else flops(recorded, row["exit_shares"])
        rows.append(oracle(recorded))
        figures[batch_size] = rows
        print(f"\n### Batch {batch_size}\n\n{table(rows)}")
    out = args.out or Path("build", "benchmarks", f"classification-{directory.name}-{args.precision}.json")
    write_results(out, settings, figures=figures)
    tables = "\n\n".join(f"### Batch {size}\n\n{table(rows)}" for size, rows in figures.items())
    heading = "\n".join(f"- {name}: {value}" for name, value in settings.items())
    out.with_suffix(".md").write_text(f"{heading}\n\n{METHOD}\n\n{tables}\n", encoding="utf-8")
    print(f"\nWritten to {out} and {out.with_suffix('.md')}")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Directory of an export with exit heads.")
    parser.add_argument("--data", type=Path, required=True, help="Labelled samples that were not used in training.")
    parser.add_argument("--text-column", help="Name of the text column in --data.")
    parser.add_argument("--text-pair-column", help="Name of the column of the second text in --data.")
    parser.add_argument("--label-column", help="Name of the label column in --data.")
    parser.add_argument("--max-length", type=int, default=128, metavar="N", help="Maximum number of tokens in a text.")
    parser.add_argument("--precision", choices=("exact", "fast"), default="fast", help="Precision of both sides.")
    parser.add_argument("--criterion", default="max_prob", help="Criterion of early exit.")
    parser.add_argument(
        "--thresholds", type=float, nargs="*", default=[0.99, 0.97, 0.95, 0.9, 0.8, 0.7], help="Thresholds to measure."
    )
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 32], help="Batch sizes to measure.")
    parser.add_argument("--max-samples", type=int, help="Maximum number of samples, drawn at random.")
    parser.add_argument("--repeats", type=int, default=5, help="Number of runs of each batch.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed.")
    parser.add_argument("--out", type=Path, help="JSON file for the results. The tables go to an .md file next to it.")
    args = parser.parse_args(argv)
    if min(*args.batch_sizes, args.repeats, args.max_length) < 1:
        parser.error("--batch-sizes, --repeats and --max-length must be at least 1")
    return args


def measure(
    systems: Sequence[ClassificationSystem], batches: Sequence[dict[str, np.ndarray]], labels: np.ndarray, repeats: int
) -> list[dict[str, Any]]:
    """
    Times systems on the same batches, interleaved.

    Args:
        systems (`Sequence[ClassificationSystem]`): loaded systems. The others are compared with the first one.
        batches (`Sequence[dict[str, np.ndarray]]`): model inputs by name.
        labels (`np.ndarray` int64 `[samples]`): correct labels, in the order of the batches.
        repeats (`int`): number of runs of each batch.

    Returns:
        `list[dict]`: the figures of each system; latencies in milliseconds.
    """
    for system in systems:
        for batch in batches[:WARM_UP]:
            system(batch)
    seconds = np.zeros((len(systems), repeats, len(batches)))
    answers: list[list[Any]] = [[] for _ in systems]
    with tqdm(total=repeats * len(batches), unit="batch", leave=False) as bar:
        for repeat in range(repeats):
            for index, batch in enumerate(batches):
                for offset in range(len(systems)):
                    number = (offset + index + repeat) % len(systems)
                    answer = systems[number](batch)
                    seconds[number, repeat, index] = answer.seconds
                    if repeat == 0:
                        answers[number].append(answer)
                bar.update()
    latency = 1e3 * np.median(seconds, axis=1)
    reference = np.concatenate([answer.predictions for answer in answers[0]])
    rows = []
    for number, system in enumerate(systems):
        predictions = np.concatenate([answer.predictions for answer in answers[number]])
        layers = None
        if answers[number][0].exit_layers is not None:
            layers = np.concatenate([answer.exit_layers for answer in answers[number]])
        found = classification_figures(predictions, reference, labels, layers, latency[number])
        speedup = float(latency[0].sum() / latency[number].sum())
        rows.append({"system": system.name, **found, "speedup": speedup})
    return rows


def oracle(recorded: EncoderRecords) -> dict[str, Any]:
    """
    The result of an oracle: each sample leaves at the first exit that is right, or at the first of all exits if none
    is. This is the best accuracy with the least work that these exits allow. It needs the labels, so it cannot be
    timed.
    """
    records = recorded.records
    assert records.labels is not None
    right = records.predictions == records.labels[:, None]
    first = np.where(right.any(axis=1), right.argmax(axis=1), 0)
    layers = np.array([*records.layers, records.num_layers - 1])
    shares = exit_shares(layers[first])
    return {
        "system": "oracle",
        "accuracy": float(right.any(axis=1).mean()),
        "agreement": None,
        "mean_ms": None,
        "p99_ms": None,
        "samples_per_second": None,
        "speedup": None,
        "mean_layers": float((layers[first] + 1).mean()),
        "exit_shares": shares,
        "flops": flops(recorded, shares),
    }


def flops(recorded: EncoderRecords, shares: dict[int, float]) -> float:
    """Mean number of operations of a sample as a share of the full model's, including heads."""
    layers = [*recorded.records.layers, recorded.records.num_layers - 1]
    return float(sum(shares.get(layer, 0.0) * cost for layer, cost in zip(layers, recorded.costs, strict=True)))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The figures of one batch size, as Markdown."""
    header = [
        "system",
        "accuracy",
        "same as plain",
        "mean ms",
        "p99 ms",
        "samples/s",
        "speed-up",
        "mean layers",
        "FLOPs saved",
    ]
    return markdown(
        header,
        [
            [
                row["system"],
                f"{row['accuracy']:.2%}",
                "" if row["agreement"] is None else f"{row['agreement']:.2%}",
                *("" if row[name] is None else f"{row[name]:.2f}" for name in ("mean_ms", "p99_ms")),
                "" if row["samples_per_second"] is None else f"{row['samples_per_second']:.0f}",
                "" if row["speedup"] is None else f"{row['speedup']:.2f}",
                "" if row["mean_layers"] is None else f"{row['mean_layers']:.2f}",
                "" if row["flops"] is None else f"{1 - row['flops']:.1%}",
            ]
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
