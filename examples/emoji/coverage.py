"""How often the predicted number of steps is sufficient, for prompts not used in training or calibration.

python examples/emoji/coverage.py PIPELINE_DIR --prompts FILE
"""

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.stats import binom

from optimum_dynexec import DynExecPipelineForText2Image
from optimum_dynexec.data.texts import read_texts
from optimum_dynexec.diffusion.step_saver import LABEL_RULES
from optimum_dynexec.diffusion.step_saver.inference import StepPredictor
from optimum_dynexec.diffusion.step_saver.sweep import sweep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipeline", type=Path, help="Directory of a pipeline with a step predictor.")
    parser.add_argument("--prompts", required=True, help="Held-out prompts, a .txt file.")
    args = parser.parse_args()
    prompts = read_texts(args.prompts)
    predictor = StepPredictor.beside(args.pipeline)
    config = predictor.config
    call = {name: value for name, value in config.call.items() if name not in ("scheduler", "seed")}
    pipeline = DynExecPipelineForText2Image.from_pretrained(args.pipeline, export=False)
    pipeline.set_progress_bar_config(disable=True)
    cache = args.pipeline / "step_saver_coverage"
    key = {"pipeline": config.pipeline_hash}
    pictures = sweep(pipeline, prompts, config.steps, cache, key, config.call["seed"], **call)
    needed = np.array([LABEL_RULES[config.rule](own, config.steps, config.tau) for own in pictures])
    predicted = np.array(predictor.predict(prompts))
    started = time.perf_counter()
    for prompt in prompts:
        predictor.predict([prompt])
    seconds = (time.perf_counter() - started) / len(prompts)
    enough = int((predicted >= needed).sum())
    least = int(binom.ppf(0.05, len(prompts), 1 - config.delta))
    print(
        f"Needed: {needed.mean():.2f} steps on average; predicted: {predicted.mean():.2f}; {1e3 * seconds:.2f} ms per"
        " prompt"
    )
    print(
        f"Sufficient for {enough} of {len(prompts)} prompts. If the probability is {1 - config.delta:g} for each,"
        f" fewer than {least} occur in less than 5% of the cases"
    )


if __name__ == "__main__":
    main()
