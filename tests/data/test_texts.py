"""Reading texts to train on."""

import pytest

from optimum_dynexec.data.texts import read_texts


def test_files(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    (tmp_path / "b.csv").write_text('label,text\n1,"a, b"\n2,c\n')
    (tmp_path / "c.jsonl").write_text('{"question": "q", "other": "o"}\n"bare"\n\n')
    assert read_texts(tmp_path / "a.txt") == ["one", "two"]
    assert read_texts(tmp_path / "b.csv") == ["a, b", "c"]
    assert read_texts(f"{tmp_path}/b.csv:label") == ["1", "2"]
    assert read_texts(tmp_path / "c.jsonl") == ["q", "bare"]
    (tmp_path / "12:30").mkdir()
    (tmp_path / "12:30" / "d:e.csv").write_text("prompt,text\n1,2\n")
    assert read_texts(tmp_path / "12:30" / "d:e.csv") == ["1"]
    assert read_texts(f"{tmp_path}/12:30/d:e.csv:text") == ["2"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "\n \n", "contains no text"),
        ("a.csv", "x,y\n1,2\n", r"any of the columns 'prompt'.* its columns are \['x', 'y'\].*a.csv:COLUMN"),
        ("a.jsonl", "{", "line 1, is not valid JSON"),
        ("a.jsonl", "[1]", "contains list"),
        ("a.pkl", "", "cannot be read; accepted kinds of files"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, name: str, content: str, message: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_texts(tmp_path / name)


def test_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_texts(tmp_path / "missing.jsonl")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "txt"])
def test_another_encoding_is_said_with_the_name_of_the_file(tmp_path, kind: str):
    path = tmp_path / f"a.{kind}"
    path.write_bytes('{"text": "caf\u00e9"}\n'.encode("latin1"))
    with pytest.raises(ValueError, match=rf"a\.{kind} is not encoded in UTF-8 \(byte 0xe9 at position 13"):
        read_texts(path)


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path):
    (tmp_path / "a.csv").write_text("text\nmany words\n", encoding="utf-8-sig")
    assert read_texts(tmp_path / "a.csv") == ["many words"]
