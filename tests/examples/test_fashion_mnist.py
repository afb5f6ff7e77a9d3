"""The example's pictures and its vision transformer: files in the format of MNIST in, a model that takes them out."""

import gzip

import numpy as np
import pytest
from transformers import ViTModel

from examples.classification.datasets import CLOTHES, prepare
from examples.classification.models import model_directory
from optimum_dynexec.data.inputs import load_inputs
from optimum_dynexec.data.samples import read_samples


def write_idx(path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    content = header + values.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def source(tmp_path):
    """5,030 training and 20 test pictures, one part packed and the other not."""
    generator = np.random.default_rng(0)
    for name, count, suffix in (("train", 5030, ".gz"), ("t10k", 20, "")):
        images = generator.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        # The first pixel tells the label, so that one can see whether they still belong together.
        labels = images[:, 0, 0] % 10
        write_idx(tmp_path / f"{name}-images-idx3-ubyte{suffix}", images)
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte{suffix}", labels)
    return tmp_path


def test_from_files_to_inputs(source, tmp_path):
    files = prepare("fashion_mnist", source, tmp_path / "data")
    parts = {name: read_samples([file]) for name, file in files.items()}
    assert {name: len(samples) for name, samples in parts.items()} == {"train": 30, "calibration": 5000, "test": 20}
    for samples in parts.values():
        assert [CLOTHES[image[0, 0] % 10] for image in samples.inputs] == list(samples.labels)
    directory = model_directory("vit", tmp_path / "vit")
    inputs, _ = load_inputs(directory, "image-classification")
    pixels = inputs(parts["test"], 0)["pixel_values"]
    assert pixels.shape == (20, 3, 28, 28)
    np.testing.assert_allclose(pixels[3, 1], parts["test"].inputs[3] / 127.5 - 1, atol=1e-6)
    assert ViTModel.from_pretrained(directory).config.num_hidden_layers == 8


def test_what_is_no_such_file(source, tmp_path):
    (source / "t10k-labels-idx1-ubyte").write_bytes(b"labels")
    with pytest.raises(SystemExit, match="in the format of MNIST"):
        prepare("fashion_mnist", source, tmp_path / "data")
    (source / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(SystemExit, match="contains neither"):
        prepare("fashion_mnist", source, tmp_path / "data")
