"""The parts of the emoji model: a `StableDiffusionPipeline` of about seven million parameters."""

from collections.abc import Sequence

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer


MAX_LENGTH = 16
WIDTH = 128  # of the text encoder
LATENT_CHANNELS = 8


def make_tokenizer(names: Sequence[str], vocab_size: int = 640) -> CLIPTokenizer:
    """
    Learns byte pairs in the form of CLIP from the names.

    Args:
        names (`Sequence[str]`): names in lower case.
        vocab_size (`int`): maximum size of the vocabulary.
    """
    suffix = "</w>"
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=suffix))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(alphabet) + vocab_size,
        initial_alphabet=alphabet,
        end_of_word_suffix=suffix,
        show_progress=False,
    )
    tokenizer.train_from_iterator(names, trainer)
    merges = [tuple(pair) for pair in _merges(tokenizer)]
    # CLIP's vocabulary: characters, characters that end a word, merged pairs, special tokens.
    words = [*alphabet, *(letter + suffix for letter in alphabet), *("".join(pair) for pair in merges)]
    words = list(dict.fromkeys([*words, "<|startoftext|>", "<|endoftext|>"]))
    return CLIPTokenizer(
        vocab={word: index for index, word in enumerate(words)}, merges=merges, model_max_length=MAX_LENGTH
    )


def _merges(tokenizer: Tokenizer) -> list[list[str]]:
    import json

    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [pair.split(" ") if isinstance(pair, str) else pair for pair in merges]


def make_vae() -> AutoencoderKL:
    """An autoencoder with latents of 8 x 8 x 8 for images of 3 x 64 x 64."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text encoder with two layers for the tokens of the given tokenizer."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_LENGTH,
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def make_unet() -> UNet2DConditionModel:
    """A conditional UNet on latents of 8 x 8 x 8, which two cores can train in an hour."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(96, 128),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=16,
        attention_head_dim=(3, 4),
        cross_attention_dim=WIDTH,
    )


def make_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise levels, for a network that predicts v (arXiv 2202.00512)."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
    )


def make_pipeline(
    vae: AutoencoderKL, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, unet: UNet2DConditionModel
) -> StableDiffusionPipeline:
    """Combines the trained parts."""
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def encode_names(tokenizer: CLIPTokenizer, names: Sequence[str]) -> torch.Tensor:
    """Token ids `[n, 16]`, int64, padded as the pipeline pads."""
    tokens = tokenizer(list(names), padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt")
    return tokens.input_ids
