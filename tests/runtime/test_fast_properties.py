"""`precision="fast"` is what is faster on this machine: OpenVINO's default properties, or float32."""

import logging
import random

import openvino as ov
import pytest
import torch

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.graph.paged import prepare
from optimum_dynexec.native import _C
from optimum_dynexec.runtime import fast_properties
from optimum_dynexec.runtime.fast_properties import PassCosts, is_faster


FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
SLOW, QUICK = PassCosts(1.0, 0.02), PassCosts(1.0, 0.01)


def test_the_default_is_left_only_for_what_is_faster():
    generator = random.Random(0)
    for _ in range(200):
        default = PassCosts(generator.uniform(0.01, 10), generator.uniform(0.001, 1))
        assert not is_faster(default, default)
        for factor, expected in ((0.98, False), (0.96, True), (1.1, False)):
            assert is_faster(PassCosts(factor * default.prefill, factor * default.step), default) is expected
    # 128 steps weigh as much as 128 times the prefill.
    assert is_faster(PassCosts(2.0, 0.01), PassCosts(1.0, 0.02))
    assert not is_faster(PassCosts(4.0, 0.01), PassCosts(1.0, 0.02))


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """`measured(costs)`: `costs` of both candidates are measured from now on. Returns the list of measurements."""
    monkeypatch.setenv("DYNEXEC_CACHE", str(tmp_path / "remembered"))

    def set_costs(*costs: PassCosts) -> list[int]:
        calls, left = [], []

        def measure(models, _prompt):
            calls.append(len(models))
            left[:] = left or list(costs)
            return [left.pop(0) for _ in models]

        monkeypatch.setattr(fast_properties, "pass_costs", measure)
        return calls

    return set_costs


def chosen(directory, **options) -> dict[str, str]:
    model = DynExecModelForCausalLM.from_pretrained(directory, **{"precision": "fast", **options})
    assert model.precision == options.get("precision", "fast")
    compiled = {name: value for name, value in model.engine.ov_config.items() if name in FLOAT32}
    assert compiled == {name: value for name, value in model.ov_config.items() if name in FLOAT32}
    return compiled


@pytest.mark.parametrize("memory", [None, 10**15], ids=["one after the other", "in turns"])
@pytest.mark.parametrize(("costs", "expected"), [((SLOW, QUICK), FLOAT32), ((QUICK, SLOW), {}), ((SLOW, SLOW), {})])
def test_the_faster_one_is_chosen_and_remembered(tiny_export, measured, monkeypatch, caplog, memory, costs, expected):
    monkeypatch.setattr(fast_properties, "available_bytes", lambda: memory)
    calls = measured(*costs)
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert chosen(tiny_export("llama", "int8")) == expected
    assert calls == ([1, 1] if memory is None else [2])
    messages = [record.message for record in caplog.records if "precision='fast' uses" in record.message]
    assert len(messages) == 2
    assert all(f"{cost.call:.3f} s" in messages[0] for cost in costs)


@pytest.mark.parametrize(
    "options",
    [
        {"measure": False},
        {"ov_config": {"KV_CACHE_PRECISION": "u8"}},
        {"ov_config": {"DYNAMIC_QUANTIZATION_GROUP_SIZE": "64"}},
        {"ov_config": FLOAT32},
        {"precision": "f32"},
    ],
    ids=str,
)
def test_what_is_set_is_not_measured(tiny_export, measured, options):
    calls = measured(SLOW, QUICK)
    expected = {**options.get("ov_config", {}), **(FLOAT32 if "precision" in options else {})}
    assert chosen(tiny_export("llama", "int8"), **options) == {k: v for k, v in expected.items() if k in FLOAT32}
    assert not calls


@pytest.mark.parametrize(
    ("weights", "properties", "expected"),
    [
        ("fp32", {"INFERENCE_PRECISION_HINT": "f32"}, False),
        ("int8", {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "u8"}, True),
        ("int8", FLOAT32, False),
    ],
)
def test_equal_arithmetic_is_not_measured(tiny_export, weights, properties, expected):
    model = ov.Core().read_model(tiny_export("llama", weights) / "openvino_model.xml")
    compiled = ov.Core().compile_model(prepare(model), "CPU", properties)
    assert fast_properties._may_differ(model, [compiled]) is expected


def test_an_engine_that_is_cut_later_keeps_the_choice(headed_decoders, measured):
    model = DynExecModelForCausalLM.from_pretrained(headed_decoders.base / "ov", heads=headed_decoders.base / "heads")
    before = dict(model.ov_config)
    calls = measured(SLOW, QUICK)
    model.generate(torch.tensor([[3, 4, 5]]), max_new_tokens=2, speculation="exit_heads")
    assert model.ov_config == before
    assert not calls


def test_passes_are_timed(tiny_export):
    model = ov.Core().read_model(tiny_export("llama", "int8") / "openvino_model.xml")
    compiled = ov.Core().compile_model(prepare(model), "CPU")
    paged = [_C.PagedModel([compiled], 0) for _ in range(2)]
    for found in fast_properties.pass_costs(paged, 64):
        assert found.prefill > 0
        assert found.step > 0
        assert found.call == found.prefill + 128 * found.step
