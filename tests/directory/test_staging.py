import os
import signal
import subprocess
import sys

import pytest

from optimum_dynexec.directory import staging
from optimum_dynexec.directory.staging import EXPORT_MARK, staged_directory
from optimum_dynexec.exporters import ExportError


def make_export(directory, **files: str) -> None:
    directory.mkdir()
    for name, content in {EXPORT_MARK: "model", **files}.items():
        (directory / name).write_text(content)


def content_of(directory) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir() if path.is_file()}


def test_appears_when_complete(tmp_path):
    output = tmp_path / "deep" / "output"
    with staged_directory(output) as staging:
        (staging / "a.bin").write_text("new")
        assert not output.exists()
    assert content_of(output) == {"a.bin": "new"}
    assert [path.name for path in output.parent.iterdir()] == ["output"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, FileNotFoundError])
def test_failure_leaves_the_earlier_export_and_nothing_else(tmp_path, error):
    make_export(tmp_path / "output")
    with pytest.raises(error), staged_directory(tmp_path / "output") as staging:
        (staging / EXPORT_MARK).write_text("half")
        raise error
    assert content_of(tmp_path / "output") == {EXPORT_MARK: "model"}
    assert os.listdir(tmp_path) == ["output"]


def test_earlier_export_is_replaced_whole_but_not_what_the_user_added(tmp_path):
    output = tmp_path / "output"
    make_export(output, **{"openvino_exit_head_9.bin": "stale", "README.md": "mine", ".gitattributes": "mine"})
    (output / ".git").mkdir()
    (output / ".git" / "HEAD").write_text("mine")
    with staged_directory(output) as staging:
        (staging / EXPORT_MARK).write_text("new")
    assert content_of(output) == {EXPORT_MARK: "new", "README.md": "mine", ".gitattributes": "mine"}
    assert (output / ".git" / "HEAD").read_text() == "mine"
    assert os.listdir(tmp_path) == ["output"]


def test_other_directories_and_files_are_never_replaced(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("home", "file"):
        with pytest.raises(ExportError, match=name), staged_directory(tmp_path / name):
            pytest.fail("the block must not run")
    assert (tmp_path / "home" / "thesis.txt").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["file", "home"]


def test_a_mount_point_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(tmp_path / "output"))
    with pytest.raises(ExportError, match="mount point"), staged_directory(tmp_path / "output"):
        pytest.fail("the block must not run")


def test_empty_directory_is_taken(tmp_path):
    (tmp_path / "output").mkdir()
    with staged_directory(tmp_path / "output") as staging:
        (staging / "a").touch()
    assert os.listdir(tmp_path / "output") == ["a"]


def test_killed_export_leaves_the_earlier_one_and_the_next_cleans_up(tmp_path):
    output = tmp_path / "output"
    make_export(output)
    program = (
        "import os, signal, sys; from pathlib import Path; from optimum_dynexec.directory.staging import *\n"
        "with staged_directory(Path(sys.argv[1])) as staging:\n"
        "    (staging / 'part').mkdir(); (staging / 'part' / 'half.bin').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    result = subprocess.run([sys.executable, "-c", program, output], cwd=os.getcwd())
    assert result.returncode == -signal.SIGKILL
    assert content_of(output) == {EXPORT_MARK: "model"}
    assert len(os.listdir(tmp_path)) == 2
    with staged_directory(output) as staging:
        assert os.listdir(staging) == []
        (staging / EXPORT_MARK).write_text("new")
    assert content_of(output) == {EXPORT_MARK: "new"}
    assert os.listdir(tmp_path) == ["output"]


def test_killed_between_the_two_renames(tmp_path, monkeypatch):
    """As it goes on a system that cannot exchange directories."""
    output, place = tmp_path / "output", tmp_path / ".output.dynexec-new"
    place.mkdir()
    make_export(place / "old", **{"README.md": "mine"})
    with pytest.raises(ValueError, match="stop"), staged_directory(output):
        assert content_of(output) == {EXPORT_MARK: "model", "README.md": "mine"}
        raise ValueError("stop")
    assert os.listdir(tmp_path) == ["output"]


def test_killed_before_the_replaced_export_was_gone(tmp_path):
    output, place = tmp_path / "output", tmp_path / ".output.dynexec-new"
    make_export(output, **{"README.md": "mine"})
    place.mkdir()
    for name in ("old", "new"):
        make_export(place / name, **{"README.md": "mine", "stale.bin": "stale"})
    with pytest.raises(ValueError, match="stop"), staged_directory(output):
        raise ValueError("stop")
    assert content_of(output) == {EXPORT_MARK: "model", "README.md": "mine"}
    assert os.listdir(tmp_path) == ["output"]


def test_written_in_the_output_for_hours(tmp_path, monkeypatch):
    """Where the place beside the output cannot be written to, it is in the output, and is no leftover."""
    output = tmp_path / "model"
    output.mkdir()
    (output / "other.txt").write_text("mine")
    monkeypatch.setattr(staging, "_workplace", lambda output, _: output / ".dynexec-new")
    with staged_directory(output, keep_others=True) as new:
        (new / "a.json").write_text("1")
        (new / "b.json").write_text("2")
        os.utime(new.parent, (0, 0))
    assert sorted(entry.name for entry in output.iterdir()) == ["a.json", "b.json", "other.txt"]


def test_two_at_once_are_refused(tmp_path):
    with staged_directory(tmp_path / "output") as staging:
        (staging / "a").touch()
        with pytest.raises(ExportError, match="another process"), staged_directory(tmp_path / "output"):
            pytest.fail("the block must not run")
    assert os.listdir(tmp_path / "output") == ["a"]


def test_forked_child_does_not_keep_the_lock_of_a_killed_export(tmp_path):
    program = (
        "import os, sys, time; from pathlib import Path; from optimum_dynexec.directory.staging import *\n"
        "with staged_directory(Path(sys.argv[1])):\n"
        "    if not os.fork(): print(os.getpid(), flush=True)\n"
        "    time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, tmp_path / "output"], stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    try:
        process.kill()
        process.wait()
        with staged_directory(tmp_path / "output"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()
