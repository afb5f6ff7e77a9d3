"""From prompts to a step predictor beside the pipeline."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from ...directory.hashes import hash_model
from ..checks import check_number, check_whole
from .config import STEP_SAVER_DIRECTORY, StepSaverConfig, check_steps
from .conformal import one_sided_offset, round_up
from .export import to_openvino
from .inference import StepPredictor, tokenize
from .labels import LABEL_RULES
from .predictor import StepPredictorModule, make_encoder
from .storage import save_predictor
from .sweep import sweep
from .training import fit


logger = logging.getLogger(__name__)

DEFAULT_STEPS = [5, 8, 10, 15, 20, 25, 30, 40, 50, 75, 100]
# Fewer could neither train anything nor be calibrated for a usual delta.
MIN_PROMPTS = 10


def train_steps(
    directory: str | Path,
    prompts: Sequence[str],
    *,
    steps: Sequence[int] | None = None,
    rule: str = "similarity",
    tau: float = 0.95,
    delta: float = 0.1,
    calibration_share: float = 0.4,
    text_encoder: str | Path | None = None,
    max_length: int = 64,
    epochs: int = 60,
    seed: int = 0,
    batch_size: int = 8,
    cache_dir: str | Path | None = None,
    device: str = "CPU",
    **call: Any,
) -> StepSaverConfig:
    """
    Sweeps step counts, labels prompts with the counts they need, trains a predictor on some of the prompts, calibrates
    it on the others and puts it beside the pipeline. The sweep is by far the longest part; interrupted, the same call
    goes on where it was.

    Args:
        directory (`str` or `Path`): of an exported pipeline.
        prompts (`Sequence[str]`): like those that it will be used with; repeated ones count once.
        steps (`Sequence[int]`, *optional*): ascending counts; the last is the reference. Default: 5 to 100.
        rule (`str`, *optional*, defaults to `"similarity"`): of [`~step_saver.LABEL_RULES`].
        tau (`float`, *optional*, defaults to 0.95): threshold of the rule.
        delta (`float`, *optional*, defaults to 0.1): probability allowed that a prompt needs more than predicted.
        calibration_share (`float`, *optional*, defaults to 0.4): of the prompts, which are not trained on.
        text_encoder (`str` or `Path`, *optional*): a transformers encoder to fine-tune, with its tokenizer. Unset: a
            small one from the beginning, with the pipeline's first tokenizer.
        max_length (`int`, *optional*, defaults to 64): tokens of a prompt that are read.
        epochs (`int`, *optional*, defaults to 60): passes over the training prompts.
        seed (`int`, *optional*, defaults to 0): of noise, split and training.
        batch_size (`int`, *optional*, defaults to 8): prompts that the sweep makes pictures of at once.
        cache_dir (`str` or `Path`, *optional*): of the sweep; default `step_saver_sweep` in the directory.
        device (`str`, *optional*, defaults to `"CPU"`): of OpenVINO.
        call (`Any`): further arguments of the pipeline, such as `guidance_scale`, of JSON values.

    Returns:
        [`~step_saver.StepSaverConfig`]: also beside the predictor; its `metrics` tell how good it is.

    Raises:
        `ValueError`: if an argument is not acceptable, or there are too few prompts.
    """
    from ..pipelines import DynExecPipelineForText2Image

    directory = Path(directory)
    counts = list(steps or DEFAULT_STEPS)
    check_steps(counts)
    if rule not in LABEL_RULES:
        raise ValueError(f"`rule` must be one of {sorted(LABEL_RULES)}, got {rule!r}")
    check_number("tau", tau, 0, 1)
    check_number("delta", delta, 1e-6, 1 - 1e-6)
    check_number("calibration_share", calibration_share, 0.1, 0.9)
    check_whole("max_length", max_length, 2, 512)
    check_whole("batch_size", batch_size, 1)
    prompts = list(dict.fromkeys(prompts))
    if len(prompts) < MIN_PROMPTS:
        raise ValueError(f"{len(prompts)} different prompts are too few to train on: give at least {MIN_PROMPTS}")

    pipeline = DynExecPipelineForText2Image.from_pretrained(directory, export=False, device=device)
    pipeline.set_progress_bar_config(disable=True)
    network = "unet" if pipeline.unet is not None else "transformer"
    identity = {"pipeline": hash_model(directory / network), "scheduler": type(pipeline.scheduler).__name__}
    cache = Path(cache_dir) if cache_dir is not None else directory / "step_saver_sweep"
    pictures = sweep(pipeline, prompts, counts, cache, identity, seed, batch_size, **call)
    needed = np.array([LABEL_RULES[rule](own, counts, tau) for own in pictures])

    chosen = np.random.default_rng(seed).permutation(len(prompts))
    calibration, training = np.split(chosen, [max(2, round(len(chosen) * calibration_share))])
    tokenizer = AutoTokenizer.from_pretrained(text_encoder) if text_encoder is not None else pipeline.tokenizer
    max_length = min(max_length, tokenizer.model_max_length)
    inputs = tokenize(tokenizer, prompts, max_length, "pt")
    log_needed = np.log2(needed)
    torch.manual_seed(seed)
    module = StepPredictorModule(make_encoder(text_encoder, tokenizer), float(log_needed[training].mean()))
    loss = fit(
        module,
        inputs["input_ids"][training],
        inputs["attention_mask"][training],
        log_needed[training],
        epochs=epochs,
        learning_rate=1e-3 if text_encoder is None else 5e-5,
        seed=seed,
    )

    config = StepSaverConfig(
        steps=counts,
        delta=delta,
        offset=None,
        rule=rule,
        tau=tau,
        max_length=max_length,
        pipeline_hash=identity["pipeline"],
        call={**call, "scheduler": identity["scheduler"], "seed": seed},
    )
    model, target = to_openvino(module), directory / STEP_SAVER_DIRECTORY
    save_predictor(target, model, tokenizer, config)
    # Calibrated with what will be used, the exported model.
    log_steps = StepPredictor(target, device).log_steps(prompts)
    offset = one_sided_offset(log_steps[calibration], log_needed[calibration], delta)
    if offset is None:
        logger.warning(
            "%d prompts to calibrate on are too few for delta=%g: the predictor will always say %d",
            len(calibration),
            delta,
            counts[-1],
        )
    predicted = np.array(round_up(log_steps, offset, counts))
    config = replace(
        config,
        offset=offset,
        metrics={
            "prompts": len(prompts),
            "calibration_prompts": len(calibration),
            "mean_needed": float(needed.mean()),
            "mean_predicted": float(predicted[calibration].mean()),
            "calibration_coverage": float((predicted >= needed)[calibration].mean()),
            "validation_pinball_loss": loss,
        },
    )
    save_predictor(target, model, tokenizer, config)
    return config
