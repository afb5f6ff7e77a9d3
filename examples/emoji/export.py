"""Exports the emoji model to OpenVINO and makes a contact sheet.

python examples/emoji/export.py MODEL OUT [--sheet sheet.png]
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from optimum.exporters.openvino import main_export
from optimum.intel import OVConfig
from PIL import Image, ImageDraw

from optimum_dynexec import DynExecPipelineForText2Image


NAMES = [
    "red apple",
    "banana",
    "strawberry",
    "tomato",
    "carrot",
    "pineapple",
    "watermelon",
    "hamburger",
    "doughnut",
    "birthday cake",
    "cat face",
    "dog face",
    "panda face",
    "frog face",
    "pig face",
    "fox face",
    "owl",
    "penguin",
    "butterfly",
    "lady beetle",
    "sunflower",
    "rose",
    "tulip",
    "cactus",
    "evergreen tree",
    "mushroom",
    "four leaf clover",
    "octopus",
    "tropical fish",
    "dolphin",
]
COLUMNS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="Directory that train.py has written.")
    parser.add_argument("output", type=Path, help="Directory for the exported pipeline.")
    parser.add_argument("--sheet", type=Path, default=None, help="File for a contact sheet of sample images.")
    parser.add_argument("--steps", type=int, default=50, help="Number of denoising steps of the contact sheet.")
    args = parser.parse_args()
    if not (args.output / "model_index.json").is_file():
        main_export(
            str(args.model),
            output=args.output,
            task="text-to-image",
            library_name="diffusers",
            ov_config=OVConfig(dtype="fp32"),
        )
    if args.sheet is not None:
        pipeline = DynExecPipelineForText2Image.from_pretrained(args.output, export=False)
        images = pipeline(
            NAMES,
            num_inference_steps=args.steps,
            generator=[torch.Generator().manual_seed(index) for index in range(len(NAMES))],
        ).images
        contact_sheet(NAMES, images).save(args.sheet)


def contact_sheet(names: list[str], images: list[Image.Image]) -> Image.Image:
    """Images in rows of ten, with their names below."""
    width, height = 96, 84
    rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width, rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (name, image) in enumerate(zip(names, images, strict=True)):
        x, y = index % COLUMNS * width, index // COLUMNS * height
        sheet.paste(Image.fromarray(np.asarray(image)), (x + (width - image.width) // 2, y + 2))
        draw.text((x + width // 2, y + 68), name, fill="black", anchor="mt")
    return sheet


if __name__ == "__main__":
    main()
