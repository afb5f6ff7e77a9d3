"""The example of drawing runs, on a tiny pipeline."""

import runpy
import sys
from pathlib import Path

import pytest


def test_draw(tiny_diffusion, tmp_path, monkeypatch, capsys):
    image = pytest.importorskip("PIL.Image")
    arguments = [
        "--pipeline",
        tiny_diffusion("stable-diffusion"),
        "--steps",
        4,
        "--size",
        32,
        32,
        "--output",
        tmp_path,
    ]
    monkeypatch.setattr(sys, "argv", ["draw.py", *map(str, arguments)])
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / "draw.py"), run_name="__main__")
    assert sorted(path.stem for path in tmp_path.iterdir()) == [
        "adaptive_guidance",
        "adaptive_guidance_and_step_reuse",
        "full",
    ]
    assert image.open(tmp_path / "full.png").size == (32, 32)
    assert "full.png" in capsys.readouterr().out
