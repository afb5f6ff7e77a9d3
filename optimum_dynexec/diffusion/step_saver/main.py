"""Trains a step predictor for a pipeline."""

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
# Fewer prompts are not enough to train and to calibrate for a usual delta.
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
    Sweeps step counts, labels prompts with the counts that they need, trains a predictor on some of the prompts,
    calibrates it on the others and stores it in the directory of the pipeline. The sweep takes by far the longest. If
    it is interrupted, the same call continues where it stopped.

    Args:
        directory (`str` or `Path`): directory of an exported pipeline.
        prompts (`Sequence[str]`): prompts similar to those in use; repeated prompts count once.
        steps (`Sequence[int]`, *optional*):
            ascending step counts; the last one is the reference. If not set: counts from 5 to 100.
        rule (`str`, *optional*, defaults to `"similarity"`): rule that determines the number of steps an image needs.
        tau (`float`, *optional*, defaults to 0.95): threshold of the rule.
        delta (`float`, *optional*, defaults to 0.1):
            allowed probability that a prompt needs more steps than predicted.
        calibration_share (`float`, *optional*, defaults to 0.4): share of the prompts for the calibration.
        text_encoder (`str` or `Path`, *optional*):
            transformers encoder to fine-tune, with its tokenizer. If not set: a small encoder with initial weights and
            the pipeline's first tokenizer.
        max_length (`int`, *optional*, defaults to 64): number of tokens of a prompt that are read.
        epochs (`int`, *optional*, defaults to 60): number of passes over the training prompts.
        seed (`int`, *optional*, defaults to 0): random seed of the noise, the split and the training.
        batch_size (`int`, *optional*, defaults to 8): number of prompts for which the sweep generates images at once.
        cache_dir (`str` or `Path`, *optional*):
            directory for the images of the sweep. If not set: `step_saver_sweep` in `directory`.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.
        call (`Any`): further arguments of the pipeline, such as `guidance_scale`, which must be JSON values.

    Returns:
        [`~step_saver.StepSaverConfig`]: the configuration written; its `metrics` show the quality of the predictor.

    Raises:
        `ValueError`: if an argument is not accepted, or there are too few prompts.
    """
    from ..pipelines import DynExecPipelineForText2Image

    directory = Path(directory)
    counts = list(steps or DEFAULT_STEPS)
    check_steps(counts)
    if rule not in LABEL_RULES:
        raise ValueError(f"`rule` must be one of {sorted(LABEL_RULES)}, but it is {rule!r}")
    check_number("tau", tau, 0, 1)
    check_number("delta", delta, 1e-6, 1 - 1e-6)
    check_number("calibration_share", calibration_share, 0.1, 0.9)
    check_whole("max_length", max_length, 2, 512)
    check_whole("batch_size", batch_size, 1)
    prompts = list(dict.fromkeys(prompts))
    if len(prompts) < MIN_PROMPTS:
        raise ValueError(f"training needs at least {MIN_PROMPTS} different prompts, but there are {len(prompts)}")

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
    # Calibrated with the exported model, which will be used.
    log_steps = StepPredictor(target, device).log_steps(prompts)
    offset = one_sided_offset(log_steps[calibration], log_needed[calibration], delta)
    if offset is None:
        logger.warning(
            "%d calibration prompts are too few for delta=%g, so the predictor will always predict %d steps",
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
