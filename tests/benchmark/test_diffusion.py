"""Diffusion pipelines, measured."""

import json

import numpy as np
import pytest

from optimum_dynexec.benchmark import BenchmarkArguments, run_benchmark
from optimum_dynexec.benchmark.drawing import from_png, to_png
from optimum_dynexec.benchmark.models import describe_model
from optimum_dynexec.report import write_report
from tests.benchmark.html_checks import Page


pytest.importorskip("diffusers")
from tests.diffusion.conftest import tiny_diffusion  # noqa: F401


def test_pictures(tiny_diffusion, tmp_path):  # noqa: F811
    directory = tiny_diffusion("stable-diffusion")
    (tmp_path / "prompts.txt").write_text("a red rose\na cat\n")
    arguments = BenchmarkArguments(
        precision="exact",
        repeats=2,
        num_inference_steps=6,
        dynamic={"step_reuse": {"criterion": "interval", "interval": 2, "order": 1}},
        variants={"fewer": {"num_inference_steps": 4}},
        progress=False,
    )
    results = run_benchmark({"f32": directory}, [tmp_path / "prompts.txt"], arguments, tmp_path / "results.json")
    off, on, fewer = results["workloads"][0]["systems"]
    assert (off["similarity"], off["baseline_similarity"], off["loss"]) == (1, 1, 0)
    assert (off["network_calls"], off["histogram"]) == (6, {"6": 2})
    assert on["network_calls"] < 6
    assert sum(on["histogram"].values()) == 2
    assert on["loss"] == pytest.approx(1 - on["similarity"])
    assert 0 < on["loss"] < 1
    assert on["loss_interval"][0] < on["loss"] < on["loss_interval"][1]
    assert (on["pictures"], on["loss_samples"], off["loss_samples"]) == (2, 2, 0)
    assert fewer["network_calls"] == 4
    records = [json.loads(line) for line in (tmp_path / "results.json.records.jsonl").read_text().splitlines()]
    assert all((record["png"] is None) == (record["repeat"] > 0) for record in records)
    assert [image["title"] for image in results["images"]] == ["f32/off", "f32/on", "f32/fewer"]
    html, _ = write_report([results], tmp_path / "report")
    page = html.read_text()
    assert Page(page).problems == []
    assert page.count("data:image/png;base64,") == 3


def test_png_keeps_the_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert np.array_equal(from_png(to_png(pixels)), pixels)


def test_another_predictor_of_steps_is_another_setting(tmp_path):
    """Its graph may be the same: how careful it is stands in its configuration."""
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    found = [describe_model(tmp_path)]
    (tmp_path / "step_saver").mkdir()
    for delta in (0.1, 0.2):
        (tmp_path / "step_saver" / "step_saver_config.json").write_text(json.dumps({"delta": delta}))
        found.append(describe_model(tmp_path))
    assert [described["step_saver"] for described in found] == [None, {"delta": 0.1}, {"delta": 0.2}]
