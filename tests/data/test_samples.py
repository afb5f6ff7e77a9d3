"""Reading what classifiers are trained on."""

import json

import numpy as np
import pytest
from PIL import Image

from optimum_dynexec.data.batches import hold_out, shuffled_batches
from optimum_dynexec.data.overlap import content_hash, seen_share, sketch
from optimum_dynexec.data.samples import Columns, Samples, read_samples


def test_csv_and_jsonl(tmp_path):
    (tmp_path / "a.csv").write_text("sentence,topic\nfirst,x\nsecond,y\n")
    (tmp_path / "b.jsonl").write_text(json.dumps({"sentence": "third", "topic": "x"}) + "\n")
    found = read_samples([tmp_path / "a.csv", tmp_path / "b.jsonl"], Columns(label="topic"))
    assert list(found.inputs) == ["first", "second", "third"]
    assert list(found.labels) == ["x", "y", "x"]
    assert found.label_names == ["x", "y"]
    assert found.label_ids({"y": 0, "x": 1}).tolist() == [1, 0, 1]
    # Without a column of a usual name there are no labels.
    assert read_samples([tmp_path / "a.csv"]).labels is None


def test_pairs_and_numbers(tmp_path):
    rows = [{"question": "q", "sentence": "s", "label": label} for label in (10, 9)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read_samples([tmp_path / "a.jsonl"], Columns(text="question", text_pair="sentence"))
    assert list(found.inputs) == ["q", "q"]
    assert list(found.pairs) == ["s", "s"]
    assert found.label_names == ["9", "10"]
    assert found.label_ids({"no": 9, "yes": 10}).tolist() == [10, 9]


def test_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3)).astype(np.uint8)
    for index, image in enumerate(images):
        folder = tmp_path / "images" / ("cat" if index % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index}.png")
    found = read_samples([tmp_path / "images"])
    assert sorted(found.labels) == ["cat", "cat", "dog", "dog"]
    (tmp_path / "paths.csv").write_text("image\n" + "\n".join(map(str, found.inputs)))
    for source in (tmp_path / "images", tmp_path / "paths.csv"):
        before = read_samples([source]).data_hash
        assert before == read_samples([source]).data_hash
        file = tmp_path / "images" / "cat" / "1.png"
        kept = file.read_bytes()
        Image.fromarray(255 - images[1]).save(file)
        assert before != read_samples([source]).data_hash
        file.write_bytes(kept)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(4))
    found = read_samples([tmp_path / "a.npz"])
    assert list(found.labels) == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(np.stack(found.inputs), images)


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        read_samples([tmp_path / "a.npz"])


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        (
            "a.csv",
            "x,label\n1,2\n",
            Columns(),
            r"any of the columns 'text'.*\['x', 'label'\].*--text-column",
        ),
        ("a.csv", "text,label\n1,2\n", Columns(label="topic"), "does not have the column 'topic'.*--label-column"),
        ("a.csv", "text,label\n1,2\n", Columns(text_pair="b"), "the column 'b'.*--text-pair-column"),
        ("a.csv", "text,label\n1,2\n1\n", Columns(), "a.csv, row 2, has no value in the column 'label'"),
        ("a.jsonl", '{"text": "a"}\n"b"\n', Columns(), "a.jsonl, row 2: expected an object"),
        # Longer than the name of a file may be.
        ("a.csv", "", None, "neither a file nor a data set|reading it from the Hub needs"),
        ("a.csv", "text\n", Columns(), "no rows|nothing"),
        ("a.xml", "", Columns(), "accepted kinds of files"),
    ],
)
def test_errors(tmp_path, name, content, columns, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_samples([tmp_path / name if columns else "many words " * 30], columns)


def test_absent_file(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_samples([tmp_path / "absent.csv"])


def test_unknown_label(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nfirst,x\n")
    with pytest.raises(ValueError, match="the label 'x', but the labels of the model are"):
        read_samples([tmp_path / "a.csv"]).label_ids({"y": 0, "z": 1})


def test_batches_hold_each_sample_once():
    lengths = np.random.default_rng(0).integers(1, 100, 1003).tolist()
    batches = shuffled_batches(lengths, 8, [0, 1])
    assert sorted(index for batch in batches for index in batch) == list(range(1003))
    assert batches != shuffled_batches(lengths, 8, [0, 2])
    # Little padding: within a batch, lengths are alike.
    assert np.mean([np.ptp([lengths[i] for i in batch]) for batch in batches]) < 10


@pytest.mark.parametrize("labels", [None, ["rare" if index < 103 else "frequent" for index in range(1003)]])
def test_held_out_samples(labels):
    training, held_out = hold_out(1003, 0.1, 0, labels)
    assert len(held_out) == len(set(held_out)) == 100
    assert sorted(training + held_out) == list(range(1003))
    assert held_out != hold_out(1003, 0.1, 1, labels)[1]
    assert training != sorted(training)
    if labels is not None:
        # In each of many splits, and not only on average.
        rare = {sum(index < 103 for index in hold_out(1003, 0.1, seed, labels)[1]) for seed in range(20)}
        assert rare <= {10, 11}


def test_a_sketch_tells_training_texts():
    def hashes(numbers):
        return [content_hash(f"text {number}".encode()) for number in numbers]

    for trained, others in ((100, 300), (5000, 800)):
        kept = sketch(hashes(range(trained)))
        assert seen_share(hashes(range(trained)), kept) == 1
        assert seen_share(hashes(range(trained, trained + others)), kept) == 0
        # A part of a mixture: exact for few training texts, an estimate for many.
        mixed = seen_share([*hashes(range(0, trained, 2)), *hashes(range(trained, trained + trained // 2))], kept)
        assert mixed == pytest.approx(0.5, abs=0 if trained == 100 else 0.15)
        assert len(kept) <= 2048
    # One duplicate among few texts is not taken for many.
    assert seen_share([min(hashes(range(5000)))], sketch(hashes(range(5000)))) == 0
    assert seen_share(hashes([1]), "") == seen_share([], sketch(hashes([1]))) == 0
    samples = Samples(["a", "b"], ["x", "y"], ["1", "2"])
    assert samples.hashes == [content_hash(b"a", b"x"), content_hash(b"b", b"y")] != Samples(["a", "b"]).hashes
    # Not of the label.
    assert Samples(["a"], None, ["1"]).hashes == Samples(["a"]).hashes == [content_hash(b"a")]
