"""Tiny exported pipelines, each made once per session."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


F32 = {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.fixture(scope="session")
def tiny_diffusion(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`tiny_diffusion(name)`: directory of the exported pipeline. Not to be changed by a test."""
    pytest.importorskip("diffusers")
    from tests.diffusion.tiny_pipelines import export_tiny_pipeline, save_tiny_pipeline

    base, made = tmp_path_factory.mktemp("tiny-diffusion"), {}

    def get(name: str) -> Path:
        if name not in made:
            save_tiny_pipeline(name, base / name)
            export_tiny_pipeline(base / name, base / f"{name}-openvino")
            made[name] = base / f"{name}-openvino"
        return made[name]

    return get


@pytest.fixture(scope="session")
def load(tiny_diffusion: Callable[[str], Path]) -> Callable[..., Any]:
    """`load(name, cls=None)`: the loaded pipeline of ours or of another class, in float32. Tests share it."""
    from optimum_dynexec import DynExecDiffusionPipeline

    loaded: dict[Any, Any] = {}

    def get(name: str, cls: Any = DynExecDiffusionPipeline) -> Any:
        if (name, cls) not in loaded:
            pipeline = cls.from_pretrained(tiny_diffusion(name), export=False, ov_config=dict(F32))
            pipeline.set_progress_bar_config(disable=True)
            loaded[name, cls] = pipeline
        return loaded[name, cls]

    return get
