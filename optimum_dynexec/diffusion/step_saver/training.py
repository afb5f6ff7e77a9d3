"""Trains a step predictor."""

import numpy as np
import torch
from tqdm.auto import tqdm

from .predictor import StepPredictorModule, pinball_loss


def fit(
    module: StepPredictorModule,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    log_steps: np.ndarray,
    *,
    epochs: int = 60,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> float:
    """
    Trains with the pinball loss, AdamW and a cosine schedule. Keeps the weights of the epoch with the lowest loss on a
    fifth of the prompts that is held out.

    Args:
        module ([`~step_saver.predictor.StepPredictorModule`]): predictor, which is changed in place.
        input_ids (`torch.Tensor` of shape `[n, tokens]`, int64): prompts.
        attention_mask (`torch.Tensor` of the same shape, int64): attention mask; 0 at padding.
        log_steps (`np.ndarray` of shape `[n]`): logarithms (base 2) of the needed steps.
        epochs (`int`, *optional*, defaults to 60): number of passes over the prompts.
        batch_size (`int`, *optional*, defaults to 32): number of prompts in a training step.
        learning_rate (`float`, *optional*, defaults to 1e-3): initial learning rate.
        seed (`int`, *optional*, defaults to 0): random seed of the order and the split.

    Returns:
        `float`: the loss on the held-out prompts.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    order = torch.randperm(len(log_steps), generator=generator)
    held_out = max(1, len(order) // 5)
    validation, training = order[:held_out], order[held_out:]
    needed = torch.as_tensor(log_steps, dtype=torch.float32)
    optimizer = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    best, best_state = float("inf"), {n: v.clone() for n, v in module.state_dict().items()}
    for _ in tqdm(range(epochs), desc="Predictor", unit="epoch"):
        module.train()
        for part in training[torch.randperm(len(training), generator=generator)].split(batch_size):
            loss = pinball_loss(module(input_ids[part], attention_mask[part]), needed[part])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
        schedule.step()
        module.eval()
        with torch.no_grad():
            loss = pinball_loss(module(input_ids[validation], attention_mask[validation]), needed[validation]).item()
        if loss < best:
            best, best_state = loss, {n: v.clone() for n, v in module.state_dict().items()}
    module.load_state_dict(best_state)
    module.eval()
    return best
