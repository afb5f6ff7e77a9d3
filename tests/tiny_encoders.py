"""Tiny random encoders and vision models of every supported family, made offline: the counterpart of `tiny_models`.

Weights are drawn wider than the families' own initialisation, so that logits differ clearly between inputs and layers.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import transformers
from transformers import PreTrainedModel

from tests.tiny_models import build_tokenizer


LAYERS = 4
LABELS = 3
IMAGE_SIZE = 32
SAMPLES = 1600

TASK_CLASSES = {
    "text-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "feature-extraction": "Model",
    "image-classification": "ForImageClassification",
    "audio-classification": "ForSequenceClassification",
}

_labels = {
    "id2label": {index: f"class_{index}" for index in range(LABELS)},
    "label2id": {f"class_{index}": index for index in range(LABELS)},
}
_bert_like = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
}
_vit_like = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "image_size": IMAGE_SIZE,
    "patch_size": 8,
    "initializer_range": 0.2,
}

TEXT_ENCODERS: dict[str, tuple[str, dict]] = {
    "bert": ("Bert", _bert_like),
    "roberta": ("Roberta", _bert_like),
    "distilbert": (
        "DistilBert",
        {
            "dim": 32,
            "hidden_dim": 48,
            "n_layers": LAYERS,
            "n_heads": 4,
            "max_position_embeddings": 128,
            "initializer_range": 0.2,
        },
    ),
    "mpnet": ("MPNet", _bert_like),
    "deberta-v2": (
        "DebertaV2",
        {**_bert_like, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16},
    ),
    "albert": ("Albert", {**_bert_like, "embedding_size": 16}),
    "electra": ("Electra", {**_bert_like, "embedding_size": 16}),
}
IMAGE_MODELS: dict[str, tuple[str, dict]] = {
    "vit": ("ViT", _vit_like),
    "deit": ("DeiT", _vit_like),
    "swin": (
        "Swin",
        {
            "image_size": IMAGE_SIZE,
            "patch_size": 2,
            "embed_dim": 16,
            "depths": [1, 2],
            "num_heads": [2, 4],
            "window_size": 4,
            "initializer_range": 0.2,
        },
    ),
    "convnext": (
        "ConvNext",
        {
            "image_size": IMAGE_SIZE,
            "hidden_sizes": [16, 24, 32],
            "depths": [1, 2, 1],
            "num_stages": 3,
            "initializer_range": 0.2,
            "layer_scale_init_value": 1.0,
        },
    ),
    "resnet": (
        "ResNet",
        {
            "embedding_size": 16,
            "hidden_sizes": [16, 24, 32],
            "depths": [1, 2, 1],
            "layer_type": "basic",
        },
    ),
    "mobilenet_v2": (
        "MobileNetV2",
        {"image_size": IMAGE_SIZE, "depth_multiplier": 0.25, "initializer_range": 0.25},
    ),
}
AUDIO_MODELS: dict[str, tuple[str, dict]] = {
    "wav2vec2": (
        "Wav2Vec2",
        {
            **{key: value for key, value in _bert_like.items() if key != "max_position_embeddings"},
            "conv_dim": (16, 16),
            "conv_stride": (5, 4),
            "conv_kernel": (10, 8),
            "num_feat_extract_layers": 2,
            "num_conv_pos_embeddings": 8,
            "num_conv_pos_embedding_groups": 2,
            "classifier_proj_size": 16,
            "vocab_size": 32,
            "feat_extract_norm": "group",
        },
    )
}
DEFAULT_TASKS = {
    **dict.fromkeys(TEXT_ENCODERS, "text-classification"),
    **dict.fromkeys(IMAGE_MODELS, "image-classification"),
    **dict.fromkeys(AUDIO_MODELS, "audio-classification"),
}


def _make(family: str, task: str, options: dict, seed: int) -> PreTrainedModel:
    own = {} if task in ("feature-extraction", "question-answering") else _labels
    if task in ("text-classification", "token-classification", "question-answering", "feature-extraction"):
        tokenizer = build_tokenizer()
        own = {
            **own,
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
    config = getattr(transformers, f"{family}Config")(**{**own, **options})
    torch.manual_seed(seed)
    model = getattr(transformers, family + TASK_CLASSES[task])(config).eval()
    with torch.no_grad():
        # Norms and biases too: fresh ones are ones and zeros, which would be folded away in an export.
        for values in [*model.parameters(), *(buffer for buffer in model.buffers() if buffer.is_floating_point())]:
            if values.ndim == 1:
                values.add_(0.1 * torch.rand_like(values))
    return model


TINY_ENCODERS: dict[str, Callable[..., PreTrainedModel]] = {
    name: partial(_make, family, options=options)
    for name, (family, options) in {**TEXT_ENCODERS, **IMAGE_MODELS, **AUDIO_MODELS}.items()
}


def save_tiny_encoder(name: str, directory: Path, task: str | None = None, seed: int = 0) -> PreTrainedModel:
    """
    Makes a model of `TINY_ENCODERS`, saves it as a Hugging Face directory with its tokenizer or feature extractor, and
    returns it.

    Args:
        name (`str`): a key of `TINY_ENCODERS`.
        directory (`Path`): where to save; made if absent.
        task (`str`, *optional*): one of `TASK_CLASSES`; unset, the classification that the model is made for.
        seed (`int`, *optional*, defaults to 0): of the weights.
    """
    model = TINY_ENCODERS[name](task=task or DEFAULT_TASKS[name], seed=seed)
    model.save_pretrained(directory)
    if name in TEXT_ENCODERS:
        build_tokenizer().save_pretrained(directory)
    elif name in AUDIO_MODELS:
        transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(directory)
    return model
