"""Labelled texts whose label a tiny encoder can learn."""

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_models import TEXT


@pytest.fixture(scope="session")
def labelled_texts(tmp_path_factory) -> Path:
    """
    A csv file of 240 texts with the columns `sentence` and `topic`. The label is `class_0`, `class_1` or `class_2` by
    the first word; so many have each that the most frequent one is right 34% of the time.
    """
    words = sorted({word for line in TEXT for word in line.split()})
    generator = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("texts") / "texts.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sentence", "topic"])
        for index in range(240):
            label = index % 3
            rest = generator.choice(words, generator.integers(2, 9))
            writer.writerow([" ".join([words[label]] * 3 + list(rest)), f"class_{label}"])
    return path
