"""Trains the heads of a decoder."""

import hashlib
import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from transformers import AutoConfig, AutoTokenizer

from ...data.continuations import ContinuationArguments, Text, own_continuations
from ...data.overlap import content_hash, sketch
from ...data.texts import chat_prompts, read_texts
from ...directory.config import DynExecConfig
from ...graph.backbone import embedding_matrix, named_weight, norm_weight_before, unembedding
from ...graph.boundaries import find_layer_boundaries
from ...heads.config import DecoderHeadConfig
from ...heads.modules import DraftHead, HeadModule, make_head
from ...heads.storage import SUFFIX, save_head
from ...utils.versions import rope_parameters
from .evaluation import Agreement
from .features import Features, compute_features, typical_size
from .refit import hash_start, head_from, load_start, load_start_config
from .stop_classifier import draft_observations, fit_stop_classifier
from .trainer import HeadTrainer, TrainingArguments
from .vocabulary import coverage, frequent_tokens


logger = logging.getLogger(__name__)

EXIT_KINDS = ("norm", "adapter", "block")
# Weights of a block, and their names in an exported model of a family like Llama.
LAYER_WEIGHTS = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
# The norm before each of these products.
LAYER_NORMS = {"input_norm": "self_attn.q_proj", "post_norm": "mlp.gate_proj"}


@dataclass(frozen=True)
class TrainedHead:
    """
    Result of training one head.

    Args:
        name (`str`): name of the head and its file.
        path (`Path`): safetensors file of the head.
        agreement ([`Agreement`]): agreement with the full model on held-out texts.
        seconds (`float`): duration of the training, without that of making its data.
        parameters (`int`): number of trained parameters.
    """

    name: str
    path: Path
    agreement: Agreement
    seconds: float
    parameters: int


def train_heads(
    model: str | Path,
    output: str | Path,
    *,
    data: list[str],
    layers: list[int] | None = None,
    kind: str = "block",
    draft_head: bool = True,
    draft_layers: list[int] | None = None,
    continuations: str = "own",
    continuation_arguments: ContinuationArguments | None = None,
    training_arguments: TrainingArguments | None = None,
    vocab_size: int = 8192,
    rank: int = 64,
    max_samples: int | None = None,
    start_from: str | Path | None = None,
    weight_format: str = "fp16",
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> list[TrainedHead]:
    """
    Trains heads for a decoder, whose own weights do not change. A call that was interrupted resumes where it
    stopped.

    Args:
        model (`str` or `Path`):
            Directory of an exported decoder (`optimum-cli export dynexec`).
        output (`str` or `Path`):
            Directory for the heads: a safetensors file for each, with a training card in its metadata, and
            `heads.json`.
        data (`list[str]`):
            Files or data sets with prompts, as accepted by [`~data.texts.read_texts`].
        layers (`list[int]`, *optional*, defaults to `()`):
            Exit layers to train a head for; 0 is the first layer.
        kind (`str`, *optional*, defaults to `"block"`): kind of the exit heads: `"norm"`, `"adapter"` or `"block"`.
        draft_head (`bool`, *optional*, defaults to `True`): whether to train a draft head too.
        draft_layers (`list[int]`, *optional*):
            Layers whose hidden states the draft head reads in addition to the last hidden states. If not set: those
            after a third and two thirds of the model, or with `start_from` the layers of that head.
        continuations (`str`, *optional*, defaults to `"own"`):
            `"own"`: the heads learn from the model's own answers to the texts. `"text"`: they learn from the texts as
            they are, with the model's prediction for each token.
        continuation_arguments ([`ContinuationArguments`], *optional*): settings for the model's answers.
        training_arguments ([`TrainingArguments`], *optional*): settings for the training.
        vocab_size (`int`, *optional*, defaults to 8192):
            Number of tokens that a head can predict: the model's most frequent ones. With 0, all tokens.
        rank (`int`, *optional*, defaults to 64): rank of heads of kind `"adapter"`.
        max_samples (`int`, *optional*): maximum number of texts.
        start_from (`str` or `Path`, *optional*):
            Heads whose training continues: a safetensors file, or a directory with such files. An example is the heads
            of the model before it was quantized. They keep their tokens. If not set, heads start from the model's own
            weights.
        weight_format (`str`, *optional*, defaults to `"fp16"`):
            weight format of the files: `"fp32"`, `"fp16"` or `"int8"`.
        cache_dir (`str` or `Path`, *optional*, defaults to `output/.cache`):
            Directory for continuations, hidden states and checkpoints. It may be removed afterwards.
        progress (`bool`, *optional*, defaults to `True`): whether to show progress bars.

    Returns:
        `list[TrainedHead]`: one result per head.

    Raises:
        `ValueError`: if an argument is not accepted, or heads cannot be trained for the model.
    """
    args = training_arguments or TrainingArguments()
    layers = sorted(set(layers or []))
    if kind not in EXIT_KINDS:
        raise ValueError(f"`kind` must be one of {list(EXIT_KINDS)}, but it is {kind!r}")
    if continuations not in ("own", "text"):
        raise ValueError(f"`continuations` must be 'own' or 'text', but it is {continuations!r}")
    if not layers and not draft_head:
        raise ValueError("There is nothing to train: give `layers`, or do not set `draft_head=False`")
    directory = Path(model)
    output = Path(output)
    cache = Path(cache_dir) if cache_dir is not None else output / ".cache"
    config = DynExecConfig.from_pretrained(directory)
    raw = [text for source in data for text in read_texts(source)][:max_samples]
    backbone = ov.Core().read_model(directory / "openvino_model.xml")
    boundaries = find_layer_boundaries(backbone)
    read = _draft_layers(draft_layers, start_from, len(boundaries)) if draft_head else []
    for name, value in (("layers", layers), ("draft_layers", read)):
        wrong = [layer for layer in value if not 0 <= layer < len(boundaries) - 1]
        if wrong:
            raise ValueError(f"`{name}` must be from 0 to {len(boundaries) - 2}, but contains {wrong[0]}")
    needed = sorted({*layers, *read})
    matrix = unembedding(backbone)

    texts = _texts(directory, raw, continuations, continuation_arguments, cache, progress)
    if len(texts) < 2:
        raise ValueError(
            f"training needs at least 2 texts, one of them held out, but only {len(texts)} of the {len(raw)}"
            " in the data can be used: give more prompts, or shorter ones if they are longer than `max_prompt_tokens`"
        )
    features_key = _digest([config.model_hash, needed, [[t.tokens, t.first] for t in texts]])
    features = compute_features(
        backbone,
        {layer: boundaries[layer] for layer in needed},
        texts,
        cache / f"hidden-states-{features_key}",
        progress=progress,
    )
    token_ids = frequent_tokens(texts, vocab_size or len(matrix), len(matrix))
    covered = coverage(texts, token_ids)
    logger.info(
        "%d texts; the heads can predict %d tokens, which cover %.1f%% of the texts",
        len(texts),
        len(token_ids),
        100 * covered,
    )

    embedding = torch.from_numpy(embedding_matrix(backbone))
    configs = [_head_config(directory, matrix, kind, layer, rank) for layer in layers]
    if draft_head:
        configs.insert(0, replace(_head_config(directory, matrix, "draft", None, rank), feature_layers=tuple(read)))
    trained = []
    for head_config in configs:
        card = {
            "backbone_hash": config.model_hash,
            "data": data,
            "continuations": continuations,
            "texts": len(texts),
            "training_texts": sketch(content_hash(text.encode()) for text in raw),
            "continuation_arguments": asdict(continuation_arguments or ContinuationArguments()),
            "training_arguments": asdict(args),
            "words": len(token_ids),
            "coverage": covered,
        }
        path = output / f"{head_config.name}{SUFFIX}"
        torch.manual_seed(args.seed)
        start = None if start_from is None else load_start(start_from, head_config)
        if start is not None:
            head = head_from(start, head_config, matrix)
            card["words"], card["coverage"] = len(start["token_ids"]), coverage(texts, start["token_ids"])
        else:
            head = make_head(head_config, torch.from_numpy(token_ids), torch.from_numpy(matrix))
            _initialize(head, backbone, len(boundaries) - 1 if head_config.layer is None else head_config.layer + 1)
            if isinstance(head, DraftHead):
                _undo_last_norm(head, backbone, typical_size(backbone, boundaries[-1], texts[0].tokens))
        # For these texts, the number determines which tokens the head can predict.
        key = _digest([features_key, asdict(head_config), len(token_ids) if start is None else hash_start(start)])
        checkpoint = cache / f"checkpoint-{head_config.name}-{key}.safetensors"
        trained.append(_train(head, features, embedding, args, checkpoint, path, card, weight_format, progress))
    return trained


def _draft_layers(given: list[int] | None, start_from: str | Path | None, num_layers: int) -> list[int]:
    if given is not None:
        return sorted(set(given))
    if start_from is not None:
        return list(load_start_config(start_from, "draft_head").feature_layers)
    # EAGLE-3 reads a low, a middle and a high layer; the last hidden states are the high one.
    return [layer for layer in (num_layers // 3 - 1, 2 * num_layers // 3 - 1) if layer >= 0]


def _train(
    head: HeadModule,
    features: Features,
    embedding: torch.Tensor,
    args: TrainingArguments,
    checkpoint: Path,
    path: Path,
    card: dict[str, Any],
    weight_format: str,
    progress: bool,
) -> TrainedHead:
    start = time.perf_counter()
    trainer = HeadTrainer(head, features, embedding, args, checkpoint, progress)
    agreement, history = trainer.train()
    # Uses texts that the head was not trained on, because it is right more often on its training texts. For given
    # texts there are none, because the model would not have written them.
    seen, accepted = draft_observations(trainer.batches, trainer.held_out)
    stop_classifier = fit_stop_classifier(seen, accepted) if len(seen) else None
    seconds = time.perf_counter() - start
    parameters = sum(p.numel() for p in head.parameters())
    card = {**card, "agreement": asdict(agreement), "history": history, "seconds": round(seconds, 1)}
    tensors = {name: value.detach().cpu().float().numpy() for name, value in head.named_parameters()}
    tensors["token_ids"] = head.token_ids.cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    config = replace(head.config, stop_classifier=stop_classifier)
    save_head(config, tensors, path, weight_format=weight_format, card=json.dumps(card))
    trainer.forget()
    return TrainedHead(head.config.name, path, agreement, seconds, parameters)


def _texts(
    directory: Path,
    raw: list[str],
    continuations: str,
    arguments: ContinuationArguments | None,
    cache: Path,
    progress: bool,
) -> list[Text]:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    arguments = arguments or ContinuationArguments()
    if continuations == "text":
        limit = arguments.max_prompt_tokens
        ids = [tokenizer(text)["input_ids"][:limit] for text in raw]
        # Every token but the first is a label; the backbone's own predictions follow from its hidden states.
        return [Text(tokens, 1, False) for tokens in ids if len(tokens) > 1]
    from ...modeling import DynExecModelForCausalLM

    # Saves memory, which the backbone's own weights fill again afterwards.
    model = DynExecModelForCausalLM.from_pretrained(directory)
    return own_continuations(model, chat_prompts(raw, tokenizer), cache, arguments, progress=progress)


def _head_config(directory: Path, matrix: np.ndarray, kind: str, layer: int | None, rank: int) -> DecoderHeadConfig:
    """The block has the shape of the backbone's own layers."""
    config = AutoConfig.from_pretrained(directory).get_text_config()
    heads = config.num_attention_heads
    return DecoderHeadConfig(
        kind=kind,
        layer=layer,
        hidden_size=matrix.shape[1],
        vocab_size=matrix.shape[0],
        num_attention_heads=heads,
        num_key_value_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or matrix.shape[1] // heads,
        intermediate_size=getattr(config, "intermediate_size", None) or 4 * matrix.shape[1],
        rope_theta=float(rope_parameters(config).get("rope_theta", 10000.0)),
        norm_eps=float(getattr(config, "rms_norm_eps", 1e-5)),
        rank=rank if kind == "adapter" else 0,
    )


def _initialize(head: HeadModule, backbone: ov.Model, layer: int) -> None:
    """Starts a head from the backbone's last norm and, if its weights are of that kind, from its `layer`."""
    values = {"norm.weight": norm_weight_before(backbone)}
    if head.config.has_block:
        prefix = f"self.model.layers.{layer}"
        for name, place in LAYER_WEIGHTS.items():
            values[f"block.{name}.weight"] = named_weight(backbone, f"{prefix}.{place}.weight")
        for name, place in LAYER_NORMS.items():
            values[f"block.{name}.weight"] = norm_weight_before(backbone, f"{prefix}.{place}.weight")
    parameters = dict(head.named_parameters())
    usable = {
        name: value for name, value in values.items() if value is not None and value.shape == parameters[name].shape
    }
    for name, value in usable.items():
        parameters[name].data.copy_(torch.from_numpy(np.ascontiguousarray(value)))
    if len(usable) < len(values):
        logger.info("%s: %s start from random values", head.config.name, ", ".join(sorted(set(values) - set(usable))))


def _undo_last_norm(head: DraftHead, backbone: ov.Model, size: float) -> None:
    """
    Lets a draft head start with inputs that suit its block, which is the backbone's last: hidden states as they were
    before the last norm, of that `size` (root mean square). Compared with what the block adds, normed ones would count
    for nothing.
    """
    weight = norm_weight_before(backbone)
    if weight is None:
        return
    # A weight near zero has removed a value that cannot be restored.
    floor = 0.25 * np.abs(weight).mean()
    weight = np.where(np.abs(weight) < floor, np.copysign(floor, weight), weight)
    head.norm_hidden.weight.data.copy_(torch.from_numpy((size / weight).astype(np.float32)))


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
