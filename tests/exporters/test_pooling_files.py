"""An export has the files that say how embeddings are made, and no file of a model leads out of it."""

import json

import pytest

from optimum_dynexec.directory.errors import ExportError
from optimum_dynexec.exporters.pooling_files import copy_pooling_files


def write(source, *folders):
    modules = [{"path": folder, "type": "sentence_transformers.models.Pooling"} for folder in folders]
    (source / "modules.json").write_text(json.dumps(modules))
    for folder in folders:
        (source / folder).mkdir(exist_ok=True)
        (source / folder / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))


def test_what_is_there_is_copied(tmp_path):
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    output.mkdir()
    copy_pooling_files(str(source), output)
    assert list(output.iterdir()) == []
    write(source, "", "1_Pooling")
    copy_pooling_files(str(source), output)
    assert sorted(str(path.relative_to(output)) for path in output.rglob("*.json")) == [
        "1_Pooling/config.json",
        "modules.json",
    ]


@pytest.mark.parametrize("folder", ["../elsewhere", "/tmp", "a/b", ".."])
def test_folders_outside_the_model_are_refused(tmp_path, folder):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "modules.json").write_text(json.dumps([{"path": folder, "type": "x"}]))
    with pytest.raises(ExportError, match="names the folder"):
        copy_pooling_files(str(tmp_path / "source"), tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", "[{}]", "3"])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "modules.json").write_text(text)
    with pytest.raises(ExportError, match=r"modules\.json"):
        copy_pooling_files(str(tmp_path / "source"), tmp_path)
