"""Recipes that train the backbone together with its exit heads: `joint` and `alternating`."""

import copy
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from ...data.batches import lengths_of, shuffled_batches, sorted_batches
from ...data.inputs import Inputs
from ...data.samples import Samples
from ...heads.modules.encoder import EncoderHeadModule
from .arguments import EncoderTrainingArguments
from .checkpoints import Checkpoint
from .objectives import certainty_loss, kl_divergence
from .scores import ExitScores


if TYPE_CHECKING:
    from transformers import PreTrainedModel


logger = logging.getLogger(__name__)

EVAL_BATCH = 64
# The number of steps between two checkpoints within an epoch.
SAVE_EVERY = 100


class FineTuner:
    """
    Trains a classifier of transformers and heads at its inner layers on labels.

    The loss of a batch is, with exits k of weight w_k and the full model N,

        L = (L_N + sum_k w_k L_k / sum_k w_k) / 2

    BranchyNet's and MSDNet's weighted sum, in which the full model counts as much as all exits together, so that it
    does not fall behind them; L_N is the cross entropy with the labels, L_k that and the divergence from the full
    model, weighted by `label_weight`. The recipe `"alternating"` uses only L_N in every other step (BERxiT).

    At the end the model and the heads have the weights of the epoch with the best accuracy on held-out samples,
    weighted in the same way.

    Args:
        model (`transformers.PreTrainedModel`): classifier that returns its hidden states, which is trained in place.
        heads (`Mapping[int, EncoderHeadModule]`): exit heads by layer, which are trained in place.
        inputs ([`~data.inputs.Inputs`]): function that makes the model's inputs.
        max_length (`int`): maximum number of tokens in a text.
        args ([`EncoderTrainingArguments`]): arguments of the training.
        checkpoint (`Path`): file for the state of an interrupted training; removed at the end.
        identity (`dict[str, Any]`): values that the training depends on, in addition to the arguments.
        progress (`bool`, *optional*, defaults to `True`): show a progress bar.
        new (`frozenset[str]`, *optional*, defaults to `frozenset()`):
            Names of the model's weights that start from random values.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        heads: Mapping[int, EncoderHeadModule],
        inputs: Inputs,
        max_length: int,
        args: EncoderTrainingArguments,
        checkpoint: Path,
        identity: dict[str, Any],
        progress: bool = True,
        new: frozenset[str] = frozenset(),
    ):
        self.model = model.to(args.device)
        self.heads = {layer: heads[layer].to(args.device) for layer in sorted(heads)}
        self.inputs = inputs
        self.max_length = max_length
        self.args = args
        self.progress = progress
        if args.trainable_layers is not None:
            _freeze_below(model, args.trainable_layers)
        modules: list[nn.Module] = [model, *self.heads.values()]
        trained = [p for module in modules for p in module.parameters() if p.requires_grad]
        slow = _pretrained(model, new)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if id(p) in slow], "lr": args.learning_rate},
            {"params": [p for p in trained if id(p) not in slow], "lr": args.head_learning_rate},
        ]
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], weight_decay=args.weight_decay, fused=True
        )
        self.parameters = trained
        self.trained = nn.ModuleList(modules)
        self.best = copy.deepcopy(self.trained)
        names = {"trained": self.trained, "best": self.best}
        self.checkpoint = Checkpoint(checkpoint, names, self.optimizer, identity)

    def train(
        self, training: Samples, labels: np.ndarray, held_out: Samples, held_out_labels: np.ndarray
    ) -> list[dict[str, Any]]:
        """
        Trains until the epochs are over, or `patience` of them were no better; then takes the best weights.

        Args:
            training ([`~data.samples.Samples`]): training samples.
            labels (`np.ndarray` int64 `[samples]`): labels of the training samples, as the model's numbers.
            held_out ([`~data.samples.Samples`]): samples for the evaluation after each epoch.
            held_out_labels (`np.ndarray` int64 `[samples]`): labels of the held-out samples.

        Returns:
            `list[dict]`: for each epoch, the loss and the [`ExitScores`] of each exit by layer.
        """
        args = self.args
        assert args.epochs is not None
        assert args.batch_size is not None
        lengths = lengths_of(training.inputs)
        whole = math.ceil(args.epochs)
        plan = [shuffled_batches(lengths, args.batch_size, [args.seed, epoch]) for epoch in range(whole)]
        per_epoch = len(plan[0])
        total = max(1, round(per_epoch * args.epochs))
        state = self.checkpoint.resume() or {"done": 0, "history": [], "best": None}
        done, history, best = state["done"], state["history"], state["best"]
        schedule = cosine_schedule(self.optimizer, total, args.warmup_ratio, done)
        losses: list[float] = []
        torch.manual_seed(args.seed + done)
        with tqdm(total=total, initial=done, desc=args.recipe, unit="step", disable=not self.progress) as bar:
            for indices in [batch for epoch in plan for batch in epoch][done:total]:
                loss = self._loss(training.select(indices), torch.from_numpy(labels[indices]), done)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.parameters, args.max_grad_norm)
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
                schedule.step()
                losses.append(loss.item())
                done += 1
                bar.update()
                bar.set_postfix(loss=f"{np.mean(losses[-20:]):.3f}")
                if done % per_epoch and done < total:
                    if done % SAVE_EVERY == 0:
                        self.checkpoint.save({"done": done, "history": history, "best": best})
                    continue
                scores = self.evaluate(held_out, held_out_labels)
                loss_mean = float(np.mean(losses[-per_epoch:]))
                value = self.value(scores)
                history.append(
                    {
                        "step": done,
                        "loss": loss_mean,
                        "accuracy": {k: s.accuracy for k, s in scores.items()},
                        "value": value,
                    }
                )
                if best is None or value > history[best]["value"]:
                    best = len(history) - 1
                    self.best.load_state_dict(self.trained.state_dict())
                found = ", ".join(f"{layer}: {score.accuracy:.1%}" for layer, score in scores.items())
                bar.write(f"step {done}/{total}: training loss {loss_mean:.3f}, held-out accuracy after layer {found}")
                if len(history) - 1 - best >= args.patience:
                    break
                if done < total:
                    self.checkpoint.save({"done": done, "history": history, "best": best})
        self.trained.load_state_dict(self.best.state_dict())
        self.model.eval()
        return history

    def value(self, scores: Mapping[int, ExitScores]) -> float:
        """
        What the best epoch is chosen by: accuracy, in which the full model counts as much as all exits together.

        Args:
            scores (`Mapping[int, ExitScores]`): as [`evaluate`] gives them.
        """
        last = self.num_layers() - 1
        inner = [found.value for layer, found in scores.items() if layer != last]
        return (scores[last].value + float(np.mean(inner or [scores[last].value]))) / 2

    def evaluate(self, samples: Samples, labels: np.ndarray) -> dict[int, ExitScores]:
        """
        Evaluates the exits.

        Returns:
            `dict[int, ExitScores]`: the scores by layer; the last one is the full model.
        """
        right: dict[int, list[np.ndarray]] = {}
        agrees: dict[int, list[np.ndarray]] = {}
        errors: dict[int, list[float]] = {}
        modules = [self.model, *self.heads.values()]
        for module in modules:
            module.eval()
        last = self.num_layers() - 1
        with torch.no_grad():
            for indices in sorted_batches(lengths_of(samples.inputs), EVAL_BATCH):
                wanted = torch.from_numpy(labels[indices])
                full, pooled = self._forward(samples.select(indices))
                answers = {**{layer: self.heads[layer](value) for layer, value in pooled.items()}, last: full}
                best = full.argmax(-1).cpu()
                for layer, logits in answers.items():
                    said = logits.argmax(-1).cpu()
                    right.setdefault(layer, []).append((said == wanted).numpy())
                    agrees.setdefault(layer, []).append((said == best).numpy())
                    head = self.heads.get(layer)
                    if head is not None and head.certainty is not None:
                        error = certainty_loss(head.certainty_logit(pooled[layer]).cpu(), logits.cpu(), wanted)
                        errors.setdefault(layer, []).append(float(error) * len(indices))
        for module in modules:
            module.train()
        return {
            layer: ExitScores(
                None if layer == last else float(np.concatenate(agrees[layer]).mean()),
                float(np.concatenate(right[layer]).mean()),
                len(samples),
                sum(errors[layer]) / len(samples) if layer in errors else None,
            )
            for layer in right
        }

    def num_layers(self) -> int:
        """The number of exits of the model, from its configuration."""
        return num_hidden_layers(self.model)

    def _loss(self, samples: Samples, labels: torch.Tensor, step: int) -> torch.Tensor:
        args = self.args
        labels = labels.to(args.device)
        full, pooled = self._forward(samples)
        loss = F.cross_entropy(full.float(), labels)
        if args.recipe == "alternating" and step % 2 == 0:
            return loss
        share = args.share_of_labels(True)
        weights = {layer: float(layer + 1) if args.exit_weights == "depth" else 1.0 for layer in self.heads}
        total = loss
        certainties = []
        for layer, head in self.heads.items():
            logits = head(pooled[layer]).float()
            part = share * F.cross_entropy(logits, labels)
            if share < 1.0:
                part = part + (1.0 - share) * kl_divergence(logits, full.detach().float(), args.temperature)
            total = total + weights[layer] / sum(weights.values()) * part
            if head.certainty is not None:
                certainties.append(certainty_loss(head.certainty_logit(pooled[layer]).float(), logits, labels))
        total = total / 2 if self.heads else total
        return total + sum(certainties) if certainties else total

    def _forward(self, samples: Samples) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
        """The logits of the full model, and the input of each head."""
        device = self.args.device
        feed = {
            name: torch.from_numpy(value).to(device) for name, value in self.inputs(samples, self.max_length).items()
        }
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=self.args.bf16):
            outputs = self.model(**feed, output_hidden_states=True)
        mask = feed.get("attention_mask")
        pooled = {
            # The first is the embeddings.
            layer: head.pool(outputs.hidden_states[layer + 1].float(), mask)
            for layer, head in self.heads.items()
        }
        return outputs.logits.float(), pooled


def cosine_schedule(
    optimizer: torch.optim.Optimizer, total: int, warmup_ratio: float, done: int = 0
) -> torch.optim.lr_scheduler.LambdaLR:
    """A linear rise, then half a cosine down to 0; `done` is the number of completed steps."""
    warmup = max(1, round(warmup_ratio * total))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step + done))


def num_hidden_layers(model: "PreTrainedModel") -> int:
    """
    The number of layers of a transformers model.

    Raises:
        `ValueError`: if its configuration does not contain it.
    """
    layers = getattr(model.config, "num_hidden_layers", None)
    if not isinstance(layers, int):
        raise ValueError(
            f"the recipes that train the backbone need a model with layers of one kind, but {type(model).__name__}"
            " has no `num_hidden_layers`: fine-tune it by other means and use the recipe 'frozen'"
        )
    return layers


def _freeze_below(model: "PreTrainedModel", trainable: int) -> None:
    """Freezes all but the last layers and the modules after them."""
    layers = num_hidden_layers(model)
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == layers]
    if not stacks:
        raise ValueError(
            f"`trainable_layers` needs a model with a list of its layers, but {type(model).__name__} has none"
        )
    kept = list(stacks[0])[max(0, layers - trainable) :]
    model.base_model.requires_grad_(False)
    for module in [*kept, *_after_layers(model)]:
        module.requires_grad_(True)


def _pretrained(model: "PreTrainedModel", new: frozenset[str]) -> set[int]:
    """
    The parameters, by their `id`, that learn as slowly as weights do that are trained already. With a new classifier,
    what stands between the layers and it, such as a pooler, has not been trained for it either.
    """
    quick = {id(parameter) for name, parameter in model.named_parameters() if name in new}
    if any(not name.startswith(f"{model.base_model_prefix}.") for name in new):
        quick |= {id(parameter) for module in _after_layers(model) for parameter in module.parameters()}
    return {id(parameter) for parameter in model.parameters()} - quick


def _after_layers(model: "PreTrainedModel") -> list[nn.Module]:
    """What comes after the layers in the encoder, such as a pooler or a last norm, stands after them in the module."""
    layers = num_hidden_layers(model)
    children = list(model.base_model.children())
    holding = [
        any(isinstance(module, nn.ModuleList) and len(module) == layers for module in child.modules())
        for child in children
    ]
    return children[holding.index(True) + 1 :] if any(holding) else []
