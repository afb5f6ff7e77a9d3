"""Trains a small text-to-image model that draws emoji from their names.

    python examples/emoji/train.py OUT [--work DIR] [--vae-steps N] [--steps N]

First the autoencoder, then UNet and text encoder together. Both resume where they were stopped (Ctrl-C), from files
in the working directory. OUT gets a `StableDiffusionPipeline` in half precision, written again at each checkpoint.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from data import download, load_emoji
from model import encode_names, make_pipeline, make_scheduler, make_text_encoder, make_tokenizer, make_unet, make_vae
from state import load_state, save_state


class Denoiser(torch.nn.Module):
    """UNet and text encoder, trained together."""

    def __init__(self, unet: torch.nn.Module, text_encoder: torch.nn.Module):
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder

    def forward(self, latents: torch.Tensor, timesteps: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
        return self.unet(latents, timesteps, self.text_encoder(input_ids)[0]).sample


def train(
    name: str,
    module: torch.nn.Module,
    loss_of: Callable[[torch.Generator], torch.Tensor],
    args: argparse.Namespace,
    steps: int,
    learning_rate: float,
    decay: float,
    checkpointed: Callable[[], None] = lambda: None,
) -> None:
    """
    Trains with AdamW, the learning rate falling over the last fifth of the steps, and leaves averaged parameters.

    Args:
        name (`str`): name of the file of the state.
        module (`torch.nn.Module`): module to train.
        loss_of (`Callable`): function that computes the loss of one step, with the random generator.
        args (`argparse.Namespace`): arguments `work`, `device`, `seed`, `checkpoint_seconds`.
        steps (`int`): number of steps, including those of earlier runs.
        learning_rate (`float`): learning rate after 200 warm-up steps.
        decay (`float`): decay of the parameters' moving average.
        checkpointed (`Callable`): function that is called with the averaged parameters in the module.
    """
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=learning_rate, weight_decay=1e-4, betas=(0.9, 0.99), fused=True
    )
    ema = {n: p.detach().clone() for n, p in module.named_parameters()}
    path = args.work / f"{name}.safetensors"
    done = load_state(path, module, optimizer, ema)
    print(
        f"{name}: {sum(p.numel() for p in module.parameters()):,} parameters, {done} of {steps} steps done", flush=True
    )

    def with_averages(action: Callable[[], None]) -> None:
        own = {n: p.detach().clone() for n, p in module.named_parameters()}
        module.load_state_dict(ema, strict=False)
        action()
        module.load_state_dict(own, strict=False)

    started = checkpoint = time.monotonic()
    losses: list[float] = []
    for step in range(done, steps):
        # Each step has its own generator, so a resumed run draws the same numbers as an uninterrupted one.
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        scale = min(1.0, (step + 1) / 200, max(0.02, (steps - step) / (0.2 * steps)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * scale
        with torch.autocast(torch.device(args.device).type, torch.bfloat16):
            loss = loss_of(generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        current = min(decay, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.values()), list(module.parameters()), 1 - current)
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            rate = (step + 1 - done) / (time.monotonic() - started)
            print(f"{name} {step + 1}: loss {sum(losses) / len(losses):.5f}, {rate:.2f} steps/s", flush=True)
            losses.clear()
        if time.monotonic() - checkpoint > args.checkpoint_seconds:
            save_state(path, module, optimizer, step + 1, ema)
            with_averages(checkpointed)
            checkpoint = time.monotonic()
    if done < steps:
        save_state(path, module, optimizer, steps, ema)
    module.load_state_dict(ema, strict=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="Directory for the pipeline and checkpoints.")
    parser.add_argument(
        "--work", type=Path, default=Path("models/emoji-training"), help="Directory for data and states."
    )
    parser.add_argument("--vae-steps", type=int, default=2200, help="Number of training steps of the autoencoder.")
    parser.add_argument("--steps", type=int, default=2400, help="Number of training steps of the denoiser.")
    parser.add_argument("--batch-size", type=int, default=32, help="Batch size of the training.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed.")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="Torch device.")
    parser.add_argument("--checkpoint-seconds", type=float, default=300, help="Seconds between checkpoints.")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)

    names, pictures = load_emoji(download(args.work))
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1).to(args.device)
    tokenizer = make_tokenizer(names)
    input_ids = encode_names(tokenizer, names).to(args.device)
    nothing = encode_names(tokenizer, [""]).to(args.device)
    print(f"{len(names)} emoji, {len(tokenizer)} words, on {args.device}", flush=True)

    vae = make_vae().to(args.device)

    def vae_loss(generator: torch.Generator) -> torch.Tensor:
        # Half the batch size: at this size, more steps help more than larger batches.
        chosen = torch.randint(len(images), (args.batch_size // 2,), generator=generator).to(args.device)
        x = images[chosen]
        posterior = vae.encode(x).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(args.device)
        decoded = vae.decode(posterior.mean + posterior.std * noise).sample
        error = (decoded - x).float()
        return error.abs().mean() + error.square().mean() + 1e-4 * posterior.kl().mean() / posterior.mean[0].numel()

    train("vae", vae, vae_loss, args, args.vae_steps, 2e-3, 0.995)
    vae.requires_grad_(False).eval()
    with torch.no_grad():
        latents = torch.cat([vae.encode(part).latent_dist.mean for part in images.split(64)])
        vae.register_to_config(scaling_factor=float(1 / latents.std()))
        latents = latents * vae.config.scaling_factor
        decoded = torch.cat([vae.decode(part / vae.config.scaling_factor).sample for part in latents.split(64)])
        mse = (decoded.clamp(-1, 1) - images).square().mean().item() / 4
    print(
        f"vae: PSNR {-10 * torch.log10(torch.tensor(mse)):.2f} dB, scale {vae.config.scaling_factor:.4f}", flush=True
    )

    denoiser = Denoiser(make_unet(), make_text_encoder(tokenizer)).to(args.device)
    scheduler = make_scheduler()

    def denoiser_loss(generator: torch.Generator) -> torch.Tensor:
        chosen = torch.randint(len(latents), (args.batch_size,), generator=generator).to(args.device)
        noise = torch.randn((args.batch_size, *latents.shape[1:]), generator=generator).to(args.device)
        timesteps = torch.randint(1000, (args.batch_size,), generator=generator).to(args.device)
        without = torch.rand((args.batch_size, 1), generator=generator).to(args.device) < 0.1
        ids = torch.where(without, nothing, input_ids[chosen])
        noisy = scheduler.add_noise(latents[chosen], noise, timesteps)
        velocity = scheduler.get_velocity(latents[chosen], noise, timesteps)
        return torch.nn.functional.mse_loss(denoiser(noisy, timesteps, ids).float(), velocity)

    def write() -> None:
        pipeline = make_pipeline(vae, denoiser.text_encoder, tokenizer, denoiser.unet)
        half = make_pipeline(
            *(_half(part) for part in (pipeline.vae, pipeline.text_encoder)), tokenizer, _half(pipeline.unet)
        )
        half.save_pretrained(args.output)
        # For the step predictor, and for measuring with it.
        held_out = names[::4]
        for file, chosen in (("prompts_test.txt", held_out), ("prompts.txt", sorted({*names} - {*held_out}))):
            (args.output / file).write_text("\n".join(chosen) + "\n", encoding="utf-8")

    train("denoiser", denoiser, denoiser_loss, args, args.steps, 5e-4, 0.999, write)
    write()
    print(f"Written to {args.output}", flush=True)


def _half(module: torch.nn.Module) -> torch.nn.Module:
    """A copy in half precision, on the CPU."""
    import copy

    return copy.deepcopy(module).cpu().half().eval()


if __name__ == "__main__":
    main()
