"""The recipe `frozen`: heads learn from the predictions of an exported model, which does not change."""

import copy
import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch.nn import functional as F
from tqdm import tqdm

from ...data.inputs import load_inputs
from ...data.samples import most_frequent_share
from ...directory.config import DynExecConfig
from ...directory.encoder_fit import exit_shape
from ...directory.one_label import check_one_label
from ...heads.modules.encoder import EncoderHeadModule
from ...heads.storage import SUFFIX, save_head
from ...runtime.encoder_exits import EncoderExits
from .arguments import EncoderTrainingArguments
from .checkpoints import Checkpoint
from .finetune import cosine_schedule
from .objectives import OBJECTIVES, certainty_loss
from .request import Request, TrainedExit, TrainedExits
from .scores import ExitScores
from .states import compute_states, states_key


def train_frozen(request: Request) -> TrainedExits:
    """
    Trains exit heads on the hidden states of an exported model: the second stage of DeeBERT, with FastBERT's
    distillation. Any export can be used, also a quantized one. No torch model is needed.

    Args:
        request ([`Request`]): model, data and settings; `output` becomes a directory of heads.

    Raises:
        `FileNotFoundError`: if the model is not an export.
        `ValueError`: if the layers or the data do not suit it.
    """
    directory = Path(request.model)
    config = DynExecConfig.from_pretrained(directory)
    backbone = ov.Core().read_model(directory / "openvino_model.xml")
    layers = request.chosen_layers(len(config.hidden_state_names))
    names = {name for value in backbone.inputs for name in value.get_names()}
    has_mask = {"input_ids", "attention_mask"} <= names
    configs = [request.head.head_config(layer, exit_shape(backbone, config, layer), has_mask) for layer in layers]
    heads = {}
    for head_config in configs:
        assert head_config.layer is not None
        torch.manual_seed(request.args.seed)
        heads[head_config.layer] = EncoderHeadModule(head_config, request.args.dropout)
    kind = configs[0].kind
    labels, held_out_labels = _labels(request, directory, kind)

    inputs, _ = load_inputs(directory, config.task)
    runner = EncoderExits(backbone, "CPU", {}, {layer: config.hidden_state_names[layer] for layer in layers})
    states = []
    for samples in (request.training, request.held_out):
        key = states_key([config.model_hash, layers, configs[0].pooling, samples.data_hash, request.max_length])
        place = request.cache / f"hidden-states-{key}"
        states.append(
            compute_states(runner, heads, samples, inputs, request.max_length, place, progress=request.progress)
        )
    training, held_out = states
    full = ExitScores(None, _accuracy(held_out.full(), held_out_labels), len(held_out))

    start, exits = time.perf_counter(), []
    request.output.mkdir(parents=True, exist_ok=True)
    for layer, head in heads.items():
        identity = {
            "model": config.model_hash,
            "data": [request.training.data_hash, request.held_out.data_hash, request.max_length],
            "head": asdict(head.config),
            "arguments": asdict(request.args),
        }
        trainer = FrozenTrainer(
            head,
            (training.layer(layer).float(), training.full(), training.sizes, labels),
            (held_out.layer(layer).float(), held_out.full(), held_out.sizes, held_out_labels),
            request.args,
            request.cache / f"checkpoint-{head.config.name}{SUFFIX}",
            identity,
            request.progress,
        )
        scores, history = trainer.train()
        path = request.output / f"{head.config.name}{SUFFIX}"
        card = {"backbone_hash": config.model_hash, **request.full_card(scores, full, history=history)}
        save_head(head.config, head.tensors(), path, weight_format=request.weight_format, card=json.dumps(card))
        # Removed only now, so that an interruption loses nothing.
        trainer.checkpoint.remove()
        parameters = sum(p.numel() for p in head.parameters())
        exits.append(TrainedExit(head.config.name, layer, path, scores, parameters))
    share = None if labels is None else most_frequent_share(request.held_out.labels)
    return TrainedExits(exits, full, None, time.perf_counter() - start, share)


# The input, the full model's predictions, the rows of each sample, and the labels if there are any.
Data = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]


class FrozenTrainer:
    """
    Trains one head on data in memory.

    The loss is `label_weight` times the cross entropy with the labels, and the rest the divergence from the full
    model; with certainty, BERxiT's loss is added.

    Args:
        head ([`EncoderHeadModule`]): head, which is trained in place.
        training (`Data`): training data.
        held_out (`Data`): data for the evaluation after each epoch.
        args ([`EncoderTrainingArguments`]): settings for the training.
        checkpoint (`Path`): file for the state of an interrupted training.
        identity (`dict[str, Any]`): values that the training depends on.
        progress (`bool`, *optional*, defaults to `True`): whether to show a progress bar.
    """

    def __init__(
        self,
        head: EncoderHeadModule,
        training: Data,
        held_out: Data,
        args: EncoderTrainingArguments,
        checkpoint: Path,
        identity: dict[str, Any],
        progress: bool = True,
    ):
        self.head = head.to(args.device)
        self.training, self.held_out = training, held_out
        self.args = args
        self.progress = progress
        self.objective = OBJECTIVES[head.config.kind]
        self.best = copy.deepcopy(self.head)
        self.optimizer = torch.optim.AdamW(
            self.head.parameters(), lr=args.learning_rate or 0.0, weight_decay=args.weight_decay
        )
        modules = {"head": self.head, "best": self.best}
        self.checkpoint = Checkpoint(checkpoint, modules, self.optimizer, identity)

    def train(self) -> tuple[ExitScores, list[dict[str, Any]]]:
        """
        Trains until the epochs are over or the result on the held-out samples no longer improves; the head then has
        its best weights.

        Returns:
            `tuple`: the scores of these weights, and one entry per epoch.
        """
        args = self.args
        assert args.epochs is not None
        assert args.batch_size is not None
        states, full, sizes, labels = self.training
        starts = sizes.cumsum(0) - sizes
        samples = max(1, round(args.batch_size * len(sizes) / len(states)))
        steps = math.ceil(len(sizes) / samples)
        epochs = math.ceil(args.epochs)
        state = self.checkpoint.resume() or {"epochs": 0, "best": None, "history": []}
        done, best, history = state["epochs"], state["best"], state["history"]
        schedule = cosine_schedule(self.optimizer, steps * epochs, args.warmup_ratio, done * steps)
        with tqdm(
            total=epochs, initial=done, desc=self.head.config.name, unit="epoch", disable=not self.progress
        ) as bar:
            for epoch in range(done, epochs):
                order = torch.from_numpy(np.random.default_rng([args.seed, epoch]).permutation(len(sizes)))
                # The random state of the dropout, so that a resumed training gives the same result.
                torch.manual_seed(args.seed * 100_003 + epoch)
                self.head.train()
                losses = []
                for chosen in order.split(samples):
                    rows = torch.cat([torch.arange(int(starts[i]), int(starts[i] + sizes[i])) for i in chosen])
                    wanted = None if labels is None else labels[chosen]
                    loss = self._loss(states[rows], full[rows], sizes[chosen], wanted)
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(self.head.parameters(), args.max_grad_norm)
                    self.optimizer.step()
                    self.optimizer.zero_grad(set_to_none=True)
                    schedule.step()
                    losses.append(loss.item())
                scores = self._evaluate()
                history.append({"epoch": epoch, "loss": float(np.mean(losses)), **asdict(scores)})
                if best is None or scores.value > _value(history[best]):
                    best = len(history) - 1
                    self.best.load_state_dict(self.head.state_dict())
                self.checkpoint.save({"epochs": epoch + 1, "best": best, "history": history})
                bar.update()
                bar.set_postfix(loss=f"{history[-1]['loss']:.3f}", held_out=f"{scores.value:.3f}")
                if epoch - best >= args.patience:
                    break
        self.head.load_state_dict(self.best.state_dict())
        self.head.eval()
        return self._evaluate(), history

    def _loss(
        self, states: torch.Tensor, full: torch.Tensor, sizes: torch.Tensor, labels: torch.Tensor | None
    ) -> torch.Tensor:
        args, device = self.args, self.args.device
        states, full = states.to(device), full.to(device)
        logits = self.head(states)
        share = args.share_of_labels(labels is not None)
        loss = torch.zeros((), device=device)
        if share < 1.0:
            loss = loss + (1.0 - share) * self.objective.divergence(logits, full, sizes, args.temperature)
        if share > 0.0 and labels is not None:
            loss = loss + share * F.cross_entropy(logits, labels.to(device))
        if self.head.certainty is not None:
            right = full.argmax(-1) if labels is None else labels.to(device)
            loss = loss + certainty_loss(self.head.certainty_logit(states), logits, right)
        return loss

    @torch.no_grad()
    def _evaluate(self) -> ExitScores:
        states, full, sizes, labels = self.held_out
        self.head.eval()
        states = states.to(self.args.device)
        logits = self.head(states).cpu()
        error = None
        if self.head.certainty is not None:
            right = full.argmax(-1) if labels is None else labels
            error = float(certainty_loss(self.head.certainty_logit(states).cpu(), logits, right))
        agreement = float(self.objective.agreement(logits, full, sizes).mean())
        return ExitScores(agreement, _accuracy(logits, labels), len(sizes), error)


def _value(entry: dict[str, Any]) -> float:
    return entry["accuracy"] if entry["accuracy"] is not None else entry["agreement"]


def _accuracy(logits: torch.Tensor, labels: torch.Tensor | None) -> float | None:
    return None if labels is None else float((logits.argmax(-1) == labels).float().mean())


def _labels(request: Request, directory: Path, kind: str) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The labels of the training and the held-out samples, as the model's numbers."""
    if kind != "pooled":
        if request.args.label_weight:
            raise ValueError(f"heads of kind {kind!r} learn from the full model only: leave `label_weight` at 0")
        return None, None
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(directory)
    check_one_label(config)
    found = []
    for samples in (request.training, request.held_out):
        ids = samples.label_ids(config.label2id)
        found.append(None if ids is None else torch.from_numpy(ids))
    return found[0], found[1]
