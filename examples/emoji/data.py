"""The emoji that the example model draws: 64 x 64 images with names, from npm's emoji-datasource-google.

    python examples/emoji/data.py OUT [--work DIR]

This command writes them to a folder, for KID in the benchmark.
"""

import argparse
import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image


PACKAGE = "emoji-datasource-google@16.0.0"
CATEGORIES = ("Animals & Nature", "Food & Drink")
SIZE = 64


def download(directory: Path) -> Path:
    """
    Downloads the package with npm on the first call and unpacks the files that are needed.

    Args:
        directory (`Path`): directory for the package.

    Returns:
        `Path`: directory with `emoji.json` and `img/google/64`.
    """
    package = directory / "package"
    if not (package / "emoji.json").is_file():
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", PACKAGE], cwd=directory, check=True, capture_output=True)
        archive = next(directory.glob("emoji-datasource-google-*.tgz"))
        with tarfile.open(archive) as file:
            wanted = ("package/img/google/64/", "package/LICENSE", "package/package.json")
            file.extractall(directory, [m for m in file if m.name.startswith(wanted)], filter="data")
            # Written last: if it exists, all files exist.
            file.extract("package/emoji.json", directory, filter="data")
    return package


def load_emoji(directory: Path, categories: tuple[str, ...] = CATEGORIES) -> tuple[list[str], np.ndarray]:
    """
    Reads the names and the images, on white.

    Args:
        directory (`Path`): directory from [`download`].
        categories (`tuple[str, ...]`): categories of the data set to read.

    Returns:
        `tuple[list[str], np.ndarray]`: n names in lower case, and images `[n, 64, 64, 3]`, uint8, in the data set's
        order.
    """
    found: dict[str, np.ndarray] = {}
    for entry in json.loads((directory / "emoji.json").read_text(encoding="utf-8")):
        name = entry["name"].lower()
        if entry["category"] not in categories or not entry["has_img_google"] or name in found:
            continue
        with Image.open(directory / "img" / "google" / str(SIZE) / entry["image"]) as picture:
            rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        found[name] = np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return list(found), np.stack(list(found.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="Directory for the images and names.")
    parser.add_argument("--work", type=Path, default=Path("models/emoji-training"), help="Directory for the package.")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    names, pictures = load_emoji(download(args.work))
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(args.output / f"{name}.png")
    print(f"{len(names)} images in {args.output}")


if __name__ == "__main__":
    main()
