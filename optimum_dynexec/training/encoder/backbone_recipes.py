"""The recipes `joint` and `alternating`: a transformers checkpoint and its heads, to be exported together."""

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...data.inputs import load_inputs
from ...data.samples import most_frequent_share
from ...directory.config import CLASSIFIER_TASKS, MODEL_CLASSES
from ...directory.encoder_fit import ExitShape
from ...directory.one_label import check_one_label
from ...directory.staging import staged_directory
from ...heads.modules.encoder import EncoderHeadModule
from ...heads.storage import SUFFIX, save_head
from .checkpoints import Checkpoint
from .checks import new_weights
from .finetune import FineTuner, num_hidden_layers
from .request import Request, TrainedExit, TrainedExits


if TYPE_CHECKING:
    from transformers import PretrainedConfig


HEADS_FOLDER = "heads"


def train_with_backbone(request: Request) -> TrainedExits:
    """
    Trains a model and its exit heads, and writes both: `output` becomes a directory of transformers, and its
    folder `heads` contains the heads. If the training is interrupted, the earlier model and heads do not change until
    both new ones replace them. Other files in `output` are kept.

    The model may be fine-tuned already; its labels are then kept. An encoder without a head gets a classifier for the
    labels of the data.

    Args:
        request ([`Request`]): model, data and settings.

    Raises:
        `ExportError`: if `output` cannot be replaced, or another process trains to it.
        `ValueError`: if there are no labels, or this recipe cannot train the model.
    """
    with staged_directory(request.output.resolve(), keep_others=True) as place:
        trained, checkpoint = _train(request, place)
    # Removed last, so that a training that is killed during the write is not repeated.
    checkpoint.remove()
    return trained


def _train(request: Request, place: Path) -> tuple[TrainedExits, Checkpoint]:
    """Trains and writes all files to an empty directory. The checkpoint is kept."""
    model, label2id, new = load_classifier(request.model, request.task, request.training.label_names)
    labels, held_out_labels = request.training.label_ids(label2id), request.held_out.label_ids(label2id)
    assert labels is not None
    if held_out_labels is None:
        raise ValueError("training the backbone takes held-out samples with labels, but the evaluation data has none")
    torch.manual_seed(request.args.seed)
    inputs, processor = load_inputs(request.model, request.task)
    shape = ExitShape("pooled", model.config.hidden_size, "tokens", len(label2id))
    layers = request.chosen_layers(num_hidden_layers(model))
    has_mask = request.task == "text-classification"
    heads = {
        layer: EncoderHeadModule(request.head.head_config(layer, shape, has_mask), request.args.dropout)
        for layer in layers
    }
    identity = {
        # Of what a checkpoint holds.
        "format": 3,
        "model": os.path.realpath(request.model) if os.path.isdir(request.model) else str(request.model),
        "task": request.task,
        "max_length": request.max_length,
        "eval_hash": request.held_out.data_hash,
        "card": request.card,
        "arguments": asdict(request.args),
        "head": asdict(request.head),
        "layers": layers,
    }
    tuner = FineTuner(
        model,
        heads,
        inputs,
        request.max_length,
        request.args,
        request.cache / f"checkpoint-{request.args.recipe}{SUFFIX}",
        identity,
        request.progress,
        new,
    )
    _check_hidden_states(tuner, request)
    start = time.perf_counter()
    history = tuner.train(request.training, labels, request.held_out, held_out_labels)
    seconds = time.perf_counter() - start
    scores = tuner.evaluate(request.held_out, held_out_labels)
    model.eval()
    full = scores[max(scores)]

    model.save_pretrained(place)
    processor.save_pretrained(place)
    folder = place / HEADS_FOLDER
    folder.mkdir()
    exits = []
    for layer, head in heads.items():
        card = request.full_card(scores[layer], full, history=history, seconds=round(seconds, 1))
        name = f"{head.config.name}{SUFFIX}"
        save_head(
            head.config, head.tensors(), folder / name, weight_format=request.weight_format, card=json.dumps(card)
        )
        parameters = sum(p.numel() for p in head.parameters())
        path = request.output / HEADS_FOLDER / name
        exits.append(TrainedExit(head.config.name, layer, path, scores[layer], parameters))
    share = most_frequent_share(request.held_out.labels)
    return TrainedExits(exits, full, request.output, seconds, share), tuner.checkpoint


def load_classifier(
    model: str | Path, task: str, label_names: list[str]
) -> tuple[Any, dict[str, int], frozenset[str]]:
    """
    Loads a classifier, or an encoder with a new classifier.

    Args:
        model (`str` or `Path`): directory or id on the Hub of a transformers model.
        task (`str`): task, one of [`~directory.config.CLASSIFIER_TASKS`].
        label_names (`list[str]`):
            Of the data. A bare encoder is given these, and so is a classifier whose labels have no names
            (`LABEL_0`, ...) where the data has some.

    Returns:
        `tuple`: the model, in float32; the numbers of its labels by their names; and the names of the weights that are
        new, with random values.

    Raises:
        `ValueError`: for another task, without labels, or for a model of several labels or a number.
    """
    import transformers

    if task not in CLASSIFIER_TASKS:
        raise ValueError(
            f"the recipes that train the backbone are for the tasks {list(CLASSIFIER_TASKS)}, but the task is"
            f" {task!r}: use"
            " the recipe 'frozen'"
        )
    if not label_names:
        raise ValueError("training the backbone needs labels: name their column with --label-column")
    config = transformers.AutoConfig.from_pretrained(model)
    architecture = (getattr(config, "architectures", None) or [""])[0]
    options: dict[str, Any] = {}
    if not architecture.endswith("Classification") or _has_other_labels(config, label_names):
        options = {
            "num_labels": len(label_names),
            "id2label": dict(enumerate(label_names)),
            "label2id": {name: index for index, name in enumerate(label_names)},
            # A classifier of another number of labels is replaced by a new one.
            "ignore_mismatched_sizes": True,
        }
    else:
        check_one_label(config)
    loaded, found = getattr(transformers, f"Auto{MODEL_CLASSES[task]}").from_pretrained(
        model, dtype=torch.float32, output_loading_info=True, **options
    )
    loaded.train()
    label2id = {str(name): int(index) for name, index in loaded.config.label2id.items()}
    return loaded, label2id, frozenset(new_weights(found))


def _has_other_labels(config: "PretrainedConfig", label_names: list[str]) -> bool:
    """Whether a classifier's labels have no names, while those of the data do, or are more than it has."""
    unnamed = all(name == f"LABEL_{index}" for name, index in config.label2id.items())
    return unnamed and not {*label_names} <= {*config.label2id, *map(str, config.label2id.values())}


def _check_hidden_states(tuner: FineTuner, request: Request) -> None:
    """Checks that the model returns the hidden states after each layer."""
    feed = {
        name: torch.from_numpy(value)
        for name, value in tuner.inputs(request.training.select([0]), request.max_length).items()
    }
    with torch.no_grad():
        states = tuner.model(**feed, output_hidden_states=True).hidden_states
    if states is None or len(states) != tuner.num_layers() + 1 or any(state.ndim != 3 for state in states):
        raise ValueError(
            f"{type(tuner.model).__name__} does not return a sequence of hidden states after each of its layers, which"
            " the recipes that train the backbone need: fine-tune it by other means and use the recipe 'frozen'"
        )
