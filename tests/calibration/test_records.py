import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from optimum_dynexec.calibration import ExitRecords
from optimum_dynexec.early_exit import ExitStatistics
from tests.calibration.synthetic import synthetic_records


def small_records(**changes) -> ExitRecords:
    numbers = np.linspace(0.1, 0.9, 12, dtype=np.float32).reshape(6, 2)
    statistics = ExitStatistics(np.arange(12).reshape(6, 2), numbers, numbers / 2, 1 - numbers, np.arange(6))
    values = {
        "layers": (1, 3),
        "num_layers": 6,
        "statistics": statistics,
        "full_prediction": np.arange(0, 12, 2),
        "group_sizes": np.array([1, 3, 2]),
        "labels": np.arange(6),
        "model_hash": "sha256:" + "a" * 64,
        "head_hashes": {1: "sha256:" + "b" * 64, 3: "sha256:" + "c" * 64},
        "source": {"data": ["x.jsonl"]},
    }
    return ExitRecords(**{**values, **changes})


def test_round_trip(tmp_path):
    records = small_records()
    records.save(tmp_path / "made" / "records.safetensors")
    loaded = ExitRecords.load(tmp_path / "made" / "records.safetensors")
    assert loaded.data_hash == records.data_hash
    for name in ("layers", "num_layers", "model_hash", "head_hashes", "source"):
        assert getattr(loaded, name) == getattr(records, name)
    for name in ("prediction", "max_prob", "margin", "entropy", "position"):
        expected = getattr(records.statistics, name)
        np.testing.assert_array_equal(getattr(loaded.statistics, name), expected, strict=True)
    np.testing.assert_array_equal(loaded.labels, records.labels)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["records.safetensors"]


def test_without_labels(tmp_path):
    small_records(labels=None).save(tmp_path / "records.safetensors")
    assert ExitRecords.load(tmp_path / "records.safetensors").labels is None


def test_hash_is_of_the_content():
    records = small_records()
    assert records.data_hash == small_records().data_hash
    assert records.data_hash == small_records(model_hash=None, source={}).data_hash
    others = [
        small_records(layers=(1, 4)),
        small_records(num_layers=7),
        small_records(group_sizes=np.array([3, 1, 2])),
        small_records(labels=None),
        small_records(full_prediction=np.arange(1, 13, 2)),
        records.select(np.array([0, 2, 1])),
    ]
    assert len({records.data_hash, *(other.data_hash for other in others)}) == len(others) + 1


def test_changed_file_is_refused(tmp_path):
    path = tmp_path / "records.safetensors"
    small_records().save(path)
    tensors = load_file(path)
    metadata = {"records": json.dumps({**config_of(path)})}
    tensors["entropy"][0, 0] += 1
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(
        ValueError, match="records.safetensors does not contain exit records.*has changed since it was written"
    ):
        ExitRecords.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 9},
        {"layers": [1]},
        {"layers": "x"},
        {"head_hashes": []},
        {"num_layers": None},
    ],
)
def test_bad_description_is_refused(tmp_path, change):
    path = tmp_path / "records.safetensors"
    small_records().save(path)
    save_file(load_file(path), path, metadata={"records": json.dumps({**config_of(path), **change})})
    with pytest.raises(ValueError, match="records.safetensors does not contain exit records"):
        ExitRecords.load(path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\x10" + b"\0" * 7 + b'{"a": 1} ' + b"\0" * 20])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "records.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="does not contain exit records"):
        ExitRecords.load(path)


def config_of(path) -> dict:
    from safetensors import safe_open

    with safe_open(str(path), framework="np") as file:
        return json.loads(file.metadata()["records"])


def test_cut_file_is_refused(tmp_path):
    path = tmp_path / "records.safetensors"
    small_records().save(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="does not contain exit records"):
        ExitRecords.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": (3, 1)}, "ascending"),
        ({"layers": (1, 1)}, "ascending"),
        ({"layers": (1,)}, "the 2 exit layers"),
        ({"layers": (1, 6)}, "from 0 to 5"),
        ({"full_prediction": np.arange(5)}, r"`full_prediction` must have the shape \(6,\), but it has \(5,\)"),
        ({"labels": np.arange(7)}, "`labels` must have the shape"),
        ({"group_sizes": np.array([1, 3, 1])}, "with the sum 6"),
        ({"group_sizes": np.array([0, 4, 2])}, "of 1 or more"),
    ],
)
def test_shapes_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        small_records(**changes)


def test_select_keeps_texts_whole():
    records = small_records().select(np.array([2, 0]))
    assert records.group_sizes.tolist() == [2, 1]
    assert records.statistics.position.tolist() == [4, 5, 0]
    assert records.labels.tolist() == [4, 5, 0]
    assert records.full_prediction.tolist() == [8, 10, 0]


def test_split_parts_the_texts():
    records = synthetic_records(50, seed=0)
    marked = replace(records, labels=np.repeat(np.arange(50), records.group_sizes))
    first, second = marked.split(0.3, seed=1)
    assert (first.num_groups, second.num_groups) == (15, 35)
    assert set(first.labels) | set(second.labels) == set(range(50))
    assert not set(first.labels) & set(second.labels)
    assert marked.split(0.3, seed=1)[0].data_hash == first.data_hash
    assert marked.split(0.3, seed=2)[0].data_hash != first.data_hash
    assert marked.split(0.001)[0].num_groups == 1
    with pytest.raises(ValueError, match="1 text cannot be split"):
        records.select(np.array([0])).split(0.5)


def test_every_text_counts_the_same():
    assert small_records().group_means(np.array([1.0, 0, 0, 1, 0, 1])).tolist() == [1.0, pytest.approx(1 / 3), 0.5]
