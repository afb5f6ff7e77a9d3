"""Speed of a classifier and its exits in one OpenVINO model, of our engine and of the plain model, with batch size 1.

    python -m benchmarks.single_ir DIRECTORY --data test.csv

DIRECTORY was exported with `--single-ir`. All three run on the same samples, in turns.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov

from optimum_dynexec import DynExecModelForSequenceClassification, EarlyExitConfig
from optimum_dynexec.data.inputs import load_inputs
from optimum_dynexec.data.samples import draw, read_samples
from optimum_dynexec.exporters.single_ir import export_single_ir


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="Directory of a text classifier with exit heads.")
    parser.add_argument("--data", required=True, help="Texts, a .csv file.")
    parser.add_argument("--threshold", type=float, default=0.9, help="Threshold of all exits.")
    parser.add_argument("--max-samples", type=int, default=300, help="Maximum number of texts.")
    parser.add_argument("--max-length", type=int, default=64, help="Maximum number of tokens in a text.")
    parser.add_argument("--repeats", type=int, default=3, help="Number of runs of each text.")
    args = parser.parse_args()

    early_exit = EarlyExitConfig(threshold=args.threshold)
    request = ov.Core().compile_model(export_single_ir(args.directory, early_exit), "CPU").create_infer_request()
    model = DynExecModelForSequenceClassification.from_pretrained(args.directory)
    inputs, _ = load_inputs(args.directory, "text-classification")
    samples = draw(read_samples([args.data]), args.max_samples, 0)
    batches = [inputs(samples.select([index]), args.max_length) for index in range(len(samples))]
    names = [port.get_any_name() for port in request.model_inputs]
    # Segment ids are an input of the model that some tokenizers do not return.
    feeds = [{name: batch.get(name, np.zeros_like(batch["input_ids"])) for name in names} for batch in batches]
    systems: dict[str, Callable[[int], np.ndarray]] = {
        "plain": lambda index: np.asarray(model(**batches[index]).logits),
        "engine": lambda index: np.asarray(model(**batches[index], early_exit=early_exit).logits),
        "single model": lambda index: np.array(request.infer(feeds[index])["logits"]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    same = 0
    for repeat in range(args.repeats + 1):
        for index in range(len(batches)):
            said = {}
            for name, system in systems.items():
                start = time.perf_counter()
                said[name] = system(index)
                # The first round warms up.
                if repeat:
                    seconds[name].append(time.perf_counter() - start)
            same += bool(repeat) and bool(said["engine"].argmax() == said["single model"].argmax())
    for name, values in seconds.items():
        print(
            f"{name:<14}{1e3 * np.mean(values):8.2f} ms on average, {1e3 * np.percentile(values, 99):.2f} at the 99th"
        )
    print(f"engine and single model agree in {same} of {len(seconds['engine'])} answers")


if __name__ == "__main__":
    main()
