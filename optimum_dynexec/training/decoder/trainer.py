"""Trains one head on the hidden states of its backbone."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F
from tqdm import tqdm

from ...heads.modules import Batch, HeadModule
from ...utils.intervals import Interval
from .batches import Batches
from .evaluation import Agreement, evaluate
from .features import Features


@dataclass(frozen=True)
class TrainingArguments:
    """
    Settings for the training of a head.

    Args:
        epochs (`float`, *optional*, defaults to 7): number of passes over the training texts.
        learning_rate (`float`, *optional*, defaults to 2e-3): peak learning rate of a cosine schedule (AdamW).
        warmup_ratio (`float`, *optional*, defaults to 0.03): share of the steps before the peak.
        batch_rows (`int`, *optional*, defaults to 1024):
            Approximate number of predicted tokens in a step. With 8192 tokens to predict, twice as many rows make
            tensors of more than 32 MiB, which the C library maps again each time. This can take longer than the
            arithmetic.
        draft_steps (`int`, *optional*, defaults to 4):
            number of steps of its own draft that a draft head is trained on.
        single_step_ratio (`float`, *optional*, defaults to 0.72):
            Share of the training, at its beginning, in which a draft head learns only its first step. This is most of
            what it learns, at a fraction of the cost.
        step_decay (`float`, *optional*, defaults to 0.8): weight of each further step relative to the step before.
        max_grad_norm (`float`, *optional*, defaults to 0.5):
            largest norm of the gradients, which are scaled down to it.
        eval_ratio (`float`, *optional*, defaults to 0.05): share of the texts that is held out.
        evals_per_epoch (`int`, *optional*, defaults to 1): number of evaluations on the held-out texts per epoch.
        patience (`int`, *optional*, defaults to 4):
            number of evaluations without a better result after which training ends.
        seed (`int`, *optional*, defaults to 0): random seed of the initial weights, the held-out texts and the order.
        device (`str`, *optional*, defaults to `"cpu"`): torch device.

    Raises:
        `ValueError`: if a value is not acceptable; the message names it and what is accepted.
    """

    epochs: float = 7.0
    learning_rate: float = 2e-3
    warmup_ratio: float = 0.03
    batch_rows: int = 1024
    draft_steps: int = 4
    single_step_ratio: float = 0.72
    step_decay: float = 0.8
    max_grad_norm: float = 0.5
    eval_ratio: float = 0.05
    evals_per_epoch: int = 1
    patience: int = 4
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("epochs", "learning_rate", "batch_rows", "draft_steps", "max_grad_norm", "evals_per_epoch"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be positive, but it is {getattr(self, name)!r}")
        if not 0 < self.eval_ratio < 1:
            raise ValueError(f"`eval_ratio` must be between 0 and 1, but it is {self.eval_ratio!r}")


class HeadTrainer:
    """
    Trains a head so that its distribution becomes the backbone's: the loss is the cross entropy with the backbone's
    probabilities over the head's tokens, where the backbone wrote the text (the loss of EAGLE-3, arXiv 2503.01840).

    Args:
        head ([`HeadModule`]): head, which is trained in place.
        features ([`Features`]): texts with hidden states.
        embedding (`torch.Tensor` of shape `(vocab_size, hidden_size)`): embedding table of the backbone.
        args ([`TrainingArguments`]): settings for the training.
        checkpoint (`Path`): file for the state of an interrupted training, removed at the end.
        progress (`bool`, *optional*, defaults to `True`): whether to show a progress bar.
    """

    def __init__(
        self,
        head: HeadModule,
        features: Features,
        embedding: torch.Tensor,
        args: TrainingArguments,
        checkpoint: Path,
        progress: bool = True,
    ):
        self.head = head.to(args.device)
        self.batches = Batches(head, features, embedding, args.batch_rows, args.device)
        self.args = args
        self.checkpoint = checkpoint
        self.progress = progress
        order = np.random.default_rng(args.seed).permutation(len(features)).tolist()
        held_out = max(1, round(args.eval_ratio * len(features)))
        self.held_out = [index for index in order[:held_out] if features.text(index).greedy]
        self.training = order[held_out:]
        self.steps = args.draft_steps if head.config.kind == "draft" else 1

    def train(self) -> tuple[Agreement, list[dict[str, Any]]]:
        """
        Trains until the epochs are over or the held-out agreement no longer rises; the head then has the best weights.
        Without a held-out text that the model wrote greedily, for example with given texts, weights cannot be
        compared: the head then trains to the end and has the last weights.

        Returns:
            `tuple`: the [`Agreement`] of these weights, and one entry per evaluation.
        """
        args = self.args
        epochs = [list(self._batches_of_epoch(epoch)) for epoch in range(math.ceil(args.epochs))]
        plan = [indices for epoch in epochs for indices in epoch]
        plan = plan[: max(1, round(len(plan) * args.epochs / len(epochs)))]
        total = len(plan)
        every = max(1, len(epochs[0]) // args.evals_per_epoch)
        parameters = [p for p in self.head.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=args.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
        warmup = max(1, round(args.warmup_ratio * total))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda s: min((s + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * min(1.0, (s + 1 - warmup) / total))),
        )
        done, history = self._resume(optimizer, schedule)
        best = max(history, key=_accepted, default=None)
        losses: list[float] = []
        with tqdm(
            total=total, initial=done, desc=self.head.config.name, unit="step", disable=not self.progress
        ) as bar:
            for indices in plan[done:]:
                steps = self.steps if done >= args.single_step_ratio * total else 1
                loss = self._loss(*self.batches.batch(indices), steps)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, args.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                schedule.step()
                losses.append(loss.item())
                done += 1
                bar.update()
                bar.set_postfix(training_loss=f"{np.mean(losses[-every:]):.3f}")
                if done % every and done < total:
                    continue
                agreement = evaluate(self.batches, self.held_out)
                history.append({"step": done, "loss": float(np.mean(losses[-every:])), **asdict(agreement)})
                name, loss = self.head.config.name, history[-1]["loss"]
                bar.write(f"{name} step {done}/{total}: training loss {loss:.3f}, {agreement}")
                if best is None or not self.held_out or _accepted(history[-1]) > _accepted(best):
                    best = history[-1]
                    self._save_best()
                self._save_checkpoint(done, history, optimizer)
                if len(history) - 1 - history.index(best) >= args.patience:
                    break
        self._load_best()
        assert best is not None
        if best is not history[-1]:
            tqdm.write(f"{self.head.config.name}: the best state, that of step {best['step']}, is kept")
        figures = {name: best[name] for name in ("first", "accepted", "steps", "tokens")}
        # These are lists if they were read from a checkpoint.
        interval = best.get("interval")
        interval = None if interval is None else Interval(*interval)
        return Agreement(**figures, by_step=tuple(best["by_step"]), interval=interval), history

    def _loss(self, batch: Batch, labels: torch.Tensor, label_features: torch.Tensor, steps: int) -> torch.Tensor:
        head, device = self.head, self.args.device
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            target = F.linear(label_features, head.unembedding_rows).float().softmax(-1)
        total = torch.zeros((), device=device)
        weights = 0.0
        with torch.autocast(device, torch.bfloat16):
            outputs = head(batch, steps)
        rows = torch.arange(len(labels))
        for step, g in enumerate(outputs):
            words, inside = self.batches.shifted(batch, labels, step)
            # A token that the head cannot predict is no use for training.
            index = rows[inside & (words >= 0)]
            with torch.autocast(device, torch.bfloat16):
                logits = head.logits(g[index.to(device)])
            loss = SoftCrossEntropy.apply(logits, target[(index + step).to(device)])
            total = total + self.args.step_decay**step * loss
            weights += self.args.step_decay**step
        return total / weights

    def _batches_of_epoch(self, epoch: int) -> Iterator[list[int]]:
        order = np.random.default_rng([self.args.seed, epoch]).permutation(self.training).tolist()
        return self.batches.indices(order)

    # ---- what survives an interruption -------------------------------------------------------------------------

    @property
    def _best_path(self) -> Path:
        return self.checkpoint.with_suffix(".best.safetensors")

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().cpu().contiguous() for name, value in self.head.named_parameters()}

    def _save_best(self) -> None:
        _save(self._weights(), self._best_path)

    def _load_best(self) -> None:
        with safe_open(str(self._best_path), framework="pt") as file:
            for name, parameter in self.head.named_parameters():
                parameter.data.copy_(file.get_tensor(name))

    def forget(self) -> None:
        """Removes what an interrupted training would go on from. Called when the head is written."""
        self.checkpoint.unlink(missing_ok=True)
        self._best_path.unlink(missing_ok=True)

    def _save_checkpoint(self, done: int, history: list, optimizer: torch.optim.Optimizer) -> None:
        tensors = {f"weight.{name}": value for name, value in self._weights().items()}
        for i, state in optimizer.state_dict()["state"].items():
            for key in ("exp_avg", "exp_avg_sq", "step"):
                tensors[f"optimizer.{i}.{key}"] = torch.as_tensor(state[key]).cpu().contiguous()
        state = {"done": done, "history": history, "arguments": asdict(self.args)}
        _save(tensors, self.checkpoint, {"state": json.dumps(state)})

    def _resume(self, optimizer, schedule) -> tuple[int, list[dict[str, Any]]]:
        if not self.checkpoint.is_file() or not self._best_path.is_file():
            return 0, []
        with safe_open(str(self.checkpoint), framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            if state["arguments"] != asdict(self.args):
                return 0, []
            for name, parameter in self.head.named_parameters():
                parameter.data.copy_(file.get_tensor(f"weight.{name}"))
            kept = optimizer.state_dict()
            names = list(file.keys())
            for i in range(len(kept["param_groups"][0]["params"])):
                if f"optimizer.{i}.step" in names:
                    kept["state"][i] = {
                        key: file.get_tensor(f"optimizer.{i}.{key}") for key in ("exp_avg", "exp_avg_sq", "step")
                    }
        optimizer.load_state_dict(kept)
        for _ in range(state["done"]):
            schedule.step()
        return state["done"], state["history"]


class SoftCrossEntropy(torch.autograd.Function):
    """
    Mean cross entropy of logits `[rows, words]` with probabilities of the same shape; 0 without rows. Unlike torch's
    own function, it computes the gradient in the forward pass, in place: on a CPU, the passes over these large tensors
    are a large part of the work.
    """

    @staticmethod
    def forward(ctx, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        log_probs = logits.float().log_softmax(-1)
        # A batch of short texts, or of tokens that the head cannot predict, may have no rows in a step.
        rows = max(len(logits), 1)
        loss = -(target * log_probs).sum() / rows
        gradient = log_probs.exp_().sub_(target).div_(rows)
        ctx.save_for_backward(gradient.to(logits.dtype))
        return loss

    @staticmethod
    def backward(ctx, scale: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * scale, None


def _accepted(entry: dict[str, Any]) -> float:
    return entry["accepted"]


def _save(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    save_file(tensors, partial, metadata)
    partial.rename(path)
