"""Tiny random pipelines of every family, made offline, and exported with optimum-intel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers import pre_tokenizers


MAX_LENGTH = 16
WIDTH = 16


def clip_tokenizer() -> transformers.CLIPTokenizer:
    """Letters as words: any text goes in."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=MAX_LENGTH)


def t5_tokenizer() -> transformers.T5Tokenizer:
    letters = "▁abcdefghijklmnopqrstuvwxyz"
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -2.0) for letter in letters)]
    return transformers.T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=MAX_LENGTH)


def gemma_tokenizer() -> transformers.GemmaTokenizer:
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{i:02X}>" for i in range(256)), *"▁abcdefghijklm"]
    return transformers.GemmaTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])


def _clip_config(tokenizer: Any, **options: Any) -> transformers.CLIPTextConfig:
    return transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=MAX_LENGTH,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **options,
    )


def _t5(tokenizer: Any, width: int) -> transformers.T5EncoderModel:
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2, is_encoder_decoder=False
    )
    return transformers.T5EncoderModel(config)


def _vae(latent_channels: int = 4, **options: Any) -> diffusers.AutoencoderKL:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=16,
        **options,
    )


def _unet(**options: Any) -> diffusers.UNet2DConditionModel:
    values = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 2,
    }
    return diffusers.UNet2DConditionModel(**{**values, **options})


def _ddim() -> diffusers.DDIMScheduler:
    return diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def _sd_parts() -> dict[str, Any]:
    tokenizer = clip_tokenizer()
    return {
        "vae": _vae(),
        "text_encoder": transformers.CLIPTextModel(_clip_config(tokenizer)),
        "tokenizer": tokenizer,
        "scheduler": _ddim(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def stable_diffusion() -> diffusers.DiffusionPipeline:
    return diffusers.StableDiffusionPipeline(unet=_unet(), **_sd_parts())


def stable_diffusion_inpaint() -> diffusers.DiffusionPipeline:
    """With mask and masked picture as inputs of the network."""
    return diffusers.StableDiffusionInpaintPipeline(unet=_unet(in_channels=9), **_sd_parts())


def latent_consistency() -> diffusers.DiffusionPipeline:
    parts = _sd_parts()
    parts["scheduler"] = diffusers.LCMScheduler(beta_schedule="scaled_linear", clip_sample=False)
    return diffusers.LatentConsistencyModelPipeline(unet=_unet(time_cond_proj_dim=WIDTH), **parts)


def stable_diffusion_xl() -> diffusers.DiffusionPipeline:
    tokenizer = clip_tokenizer()
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=transformers.CLIPTextModel(_clip_config(tokenizer)),
        text_encoder_2=transformers.CLIPTextModelWithProjection(_clip_config(tokenizer)),
        tokenizer=tokenizer,
        tokenizer_2=clip_tokenizer(),
        unet=_unet(
            cross_attention_dim=2 * WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + WIDTH,
            transformer_layers_per_block=(1, 1),
            use_linear_projection=True,
        ),
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", timestep_spacing="leading"),
        add_watermarker=False,
    )


def stable_diffusion_3() -> diffusers.DiffusionPipeline:
    tokenizer, tokenizer_3 = clip_tokenizer(), t5_tokenizer()
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=2 * WIDTH,
        out_channels=4,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=_vae(shift_factor=0.06),
        text_encoder=transformers.CLIPTextModelWithProjection(_clip_config(tokenizer)),
        tokenizer=tokenizer,
        text_encoder_2=transformers.CLIPTextModelWithProjection(_clip_config(tokenizer)),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=_t5(tokenizer_3, 2 * WIDTH),
        tokenizer_3=tokenizer_3,
    )


def flux() -> diffusers.DiffusionPipeline:
    tokenizer, tokenizer_2 = clip_tokenizer(), t5_tokenizer()
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=[2, 2, 4],
    )
    return diffusers.FluxPipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=_vae(shift_factor=0.06),
        text_encoder=transformers.CLIPTextModel(_clip_config(tokenizer)),
        tokenizer=tokenizer,
        text_encoder_2=_t5(tokenizer_2, WIDTH),
        tokenizer_2=tokenizer_2,
    )


def sana() -> diffusers.DiffusionPipeline:
    tokenizer = gemma_tokenizer()
    gemma = transformers.Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=64,
    )
    return diffusers.SanaPipeline(
        tokenizer=tokenizer,
        text_encoder=transformers.Gemma2Model(gemma),
        vae=diffusers.AutoencoderDC(
            in_channels=3,
            latent_channels=4,
            attention_head_dim=2,
            encoder_block_types=("ResBlock", "EfficientViTBlock"),
            decoder_block_types=("ResBlock", "EfficientViTBlock"),
            encoder_block_out_channels=(8, 8),
            decoder_block_out_channels=(8, 8),
            encoder_qkv_multiscales=((), (5,)),
            decoder_qkv_multiscales=((), (5,)),
            encoder_layers_per_block=(1, 1),
            decoder_layers_per_block=(1, 1),
            downsample_block_type="conv",
            upsample_block_type="interpolate",
            decoder_norm_types="rms_norm",
            decoder_act_fns="silu",
            scaling_factor=0.41407,
        ),
        transformer=diffusers.SanaTransformer2DModel(
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=4,
            num_cross_attention_heads=2,
            cross_attention_head_dim=4,
            cross_attention_dim=8,
            caption_channels=WIDTH,
            sample_size=8,
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
    )


BUILDERS: dict[str, Callable[[], diffusers.DiffusionPipeline]] = {
    "stable-diffusion": stable_diffusion,
    "stable-diffusion-inpaint": stable_diffusion_inpaint,
    "stable-diffusion-xl": stable_diffusion_xl,
    "stable-diffusion-3": stable_diffusion_3,
    "flux": flux,
    "sana": sana,
    "latent-consistency": latent_consistency,
}


def save_tiny_pipeline(name: str, directory: Path) -> None:
    """Writes a pipeline of a family, as diffusers keeps it."""
    torch.manual_seed(0)
    BUILDERS[name]().save_pretrained(directory)


def export_tiny_pipeline(source: Path, directory: Path) -> None:
    """Exports it as `optimum-cli export openvino --weight-format fp32` does."""
    from optimum.exporters.openvino import main_export
    from optimum.intel import OVConfig

    task = "inpainting" if "inpaint" in source.name else "text-to-image"
    main_export(str(source), output=directory, task=task, library_name="diffusers", ov_config=OVConfig(dtype="fp32"))
