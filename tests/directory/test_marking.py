import shutil

import openvino as ov
import pytest

from optimum_dynexec.directory.marking import mark_boundaries, read_boundaries
from optimum_dynexec.exporters import ExportError


NAMES = ["plain/Add_1", "quotes \"both' and <tags> & more", "ümlaut/加"]


@pytest.fixture
def model_path(tmp_path):
    """A small model with a weight, saved by OpenVINO."""
    ops = ov.opset13
    x = ops.parameter([1, 2], ov.Type.f32, name="x")
    model = ov.Model([ops.add(x, ops.constant([[1.0, 2.0]], ov.Type.f32))], [x], "small")
    model.set_rt_info("1", ["optimum", "version"])
    ov.save_model(model, tmp_path / "openvino_model.xml", compress_to_fp16=False)
    return tmp_path / "openvino_model.xml"


def read(path):
    return ov.Core().read_model(path)


def test_marks_are_read_back(model_path):
    mark_boundaries(model_path, NAMES)
    model = read(model_path)
    assert read_boundaries(model) == NAMES
    assert model.get_rt_info(["optimum", "version"]).astype(str) == "1"


def test_unmarked_model_has_none(model_path):
    assert read_boundaries(read(model_path)) == []


def test_openvino_itself_carries_the_marks_along(model_path, tmp_path):
    mark_boundaries(model_path, NAMES)
    ov.save_model(read(model_path), tmp_path / "copy.xml")
    assert read_boundaries(read(tmp_path / "copy.xml")) == NAMES


def test_only_the_entry_changes_and_the_weights_are_not_touched(model_path):
    before, weights = model_path.read_bytes(), model_path.with_suffix(".bin")
    inode, content, changed = weights.stat().st_ino, weights.read_bytes(), weights.stat().st_mtime_ns
    mark_boundaries(model_path, NAMES)
    assert (weights.stat().st_ino, weights.read_bytes(), weights.stat().st_mtime_ns) == (inode, content, changed)
    after = model_path.read_bytes()
    start, end = after.index(b"\t\t<dynexec>"), after.index(b"</dynexec>\n") + len(b"</dynexec>\n")
    assert after[:start] + after[end:] == before


def test_marking_again_replaces_and_nothing_unmarks(model_path):
    before = model_path.read_bytes()
    mark_boundaries(model_path, ["old"] * 5)
    mark_boundaries(model_path, NAMES)
    once = model_path.read_bytes()
    mark_boundaries(model_path, NAMES)
    assert model_path.read_bytes() == once
    assert read_boundaries(read(model_path)) == NAMES
    mark_boundaries(model_path, [])
    assert model_path.read_bytes() == before


def test_marks_openvino_wrote_in_its_own_order_are_replaced(model_path, tmp_path):
    mark_boundaries(model_path, ["old"])
    ov.save_model(read(model_path), tmp_path / "copy.xml")
    mark_boundaries(tmp_path / "copy.xml", NAMES)
    assert read_boundaries(read(tmp_path / "copy.xml")) == NAMES
    assert (tmp_path / "copy.xml").read_text().count("<dynexec>") == 1


@pytest.mark.parametrize("replacement", [b"", b"<rt_info/>", b"<rt_info />", b"<rt_info></rt_info>"])
def test_model_without_rt_info(model_path, replacement):
    content = model_path.read_bytes()
    start, end = content.rindex(b"<rt_info>"), content.rindex(b"</rt_info>") + len(b"</rt_info>")
    model_path.write_bytes(content[:start] + replacement + content[end:])
    mark_boundaries(model_path, NAMES)
    assert read_boundaries(read(model_path)) == NAMES


def test_rt_info_of_a_layer_is_not_taken_for_the_models(model_path):
    content = model_path.read_bytes()
    at = content.index(b"</layer>")
    own = b"<rt_info><dynexec><hidden_states/></dynexec></rt_info>"
    model_path.write_bytes(content[:at] + own + content[at:])
    mark_boundaries(model_path, NAMES)
    assert own in model_path.read_bytes()
    assert model_path.read_bytes().rindex(b"<dynexec>") > model_path.read_bytes().index(b"</edges>")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not xml",
        b"<net><layers>",
        b"<html></html>",
        b'<!DOCTYPE net [<!ENTITY a "aaaa">]><net>&a;</net>',
        b"\x00\x01\x02",
    ],
)
def test_what_is_no_model_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "openvino_model.xml"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"openvino_model\.xml is not an OpenVINO model"):
        mark_boundaries(path, NAMES)
    assert path.read_bytes() == content


def test_link_is_replaced_not_followed(model_path, tmp_path):
    """In a Hub cache the files of a snapshot are links into a store that others share."""
    stored = tmp_path / "stored"
    shutil.move(model_path, stored)
    before = stored.read_bytes()
    model_path.symlink_to(stored)
    mark_boundaries(model_path, NAMES)
    assert stored.read_bytes() == before
    assert read_boundaries(read(model_path)) == NAMES
