"""Generates images with an exported diffusion pipeline, without and with the policies that save work.

python examples/draw.py --pipeline DIRECTORY --prompt "a red rose" --output images

DIRECTORY comes from `optimum-cli export openvino --model ID DIRECTORY`. This example needs
the extra `diffusers`: `pip install -e ".[diffusers]"` in the project's root.
"""

import argparse
from pathlib import Path

import torch

from optimum_dynexec import DynExecDiffusionPipeline


SAVINGS = {
    "full": {},
    "adaptive_guidance": {"adaptive_guidance": True},
    "adaptive_guidance_and_step_reuse": {"adaptive_guidance": True, "step_reuse": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipeline", required=True, help="Directory of the exported pipeline.")
    parser.add_argument("--prompt", default="a red rose", help="Description of the image.")
    parser.add_argument("--steps", type=int, default=30, help="Number of denoising steps.")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=None,
        metavar=("HEIGHT", "WIDTH"),
        help="Size of the image in pixels. Default: that of the pipeline.",
    )
    parser.add_argument("--output", default="images", help="Directory to write to.")
    args = parser.parse_args()

    pipe = DynExecDiffusionPipeline.from_pretrained(args.pipeline, export=False)
    size = {} if args.size is None else {"height": args.size[0], "width": args.size[1]}
    directory = Path(args.output)
    directory.mkdir(parents=True, exist_ok=True)
    for name, savings in SAVINGS.items():
        generator = torch.Generator().manual_seed(0)
        output = pipe(args.prompt, num_inference_steps=args.steps, generator=generator, dynexec=savings, **size)
        output.images[0].save(directory / f"{name}.png")
        print(f"{directory / name}.png\n{output.dynexec}\n")


if __name__ == "__main__":
    main()
