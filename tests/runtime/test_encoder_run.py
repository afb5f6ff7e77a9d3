"""A run of the C++ engine for encoders that something goes wrong in: what it holds then."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from optimum_dynexec.native import _C


PLACES = 4


def _model(output: ov.Node, name: str, parameters: list[ov.Node]) -> ov.CompiledModel:
    output.output(0).set_names({name})
    return ov.Core().compile_model(ov.Model([output], parameters), "CPU")


def _parameter(name: str, shape: list[int], kind: type) -> ov.Node:
    node = ops.parameter(shape, kind)
    node.output(0).set_names({name})
    return node


@pytest.fixture(scope="module")
def encoder():
    """Adds up what is not masked in sequences of `PLACES`; its second segment fails at any other length."""
    x, mask = _parameter("x", [-1, -1, 2], np.float32), _parameter("attention_mask", [-1, -1], np.int64)
    axis = ops.constant(np.array([2]))
    masked = ops.multiply(x, ops.unsqueeze(ops.convert(mask, "f32"), axis))
    states = _parameter("dynexec.hidden_states", [-1, -1, 2], np.float32)
    checked = ops.add(states, ops.constant(np.zeros((1, PLACES, 2), np.float32)))
    total = ops.reduce_sum(checked, ops.constant(np.array([1])), False)
    segments = [_model(masked, "dynexec.hidden_states", [x, mask]), _model(total, "logits", [states])]
    spec = _C.EncoderSpec()
    spec.segments, spec.sequence_inputs, spec.answer = segments, ["x", "attention_mask"], "classes"
    spec.hidden_states_are_sequences = True
    return _C.Encoder(spec)


def _start(encoder):
    params = _C.EncoderParams()
    params.criterion, params.thresholds = "max_prob", []
    return _C.EncoderRun(encoder, params)


def _push(run, value: float, places: int = PLACES, mask: type = np.int64) -> None:
    run.push(
        {
            "x": ov.Tensor(np.full((1, places, 2), value, np.float32)),
            "attention_mask": ov.Tensor(np.ones((1, places), mask)),
        }
    )


def test_a_refused_sample_does_not_count(encoder):
    run = _start(encoder)
    _push(run, 1.0)
    with pytest.raises(ValueError, match="attention mask must .* 64.bit integers"):
        _push(run, 2.0, mask=np.float32)
    assert run.waiting == 1
    _push(run, 3.0)
    found = {result.index: result.outputs[0][0] for result in run.run(2, 8, True)}
    assert found == {0: 4.0, 1: 12.0}


def test_a_run_that_failed_does_not_go_on(encoder):
    """What was on its way is lost, and samples that waited would be read from memory that other runs write to."""
    run = _start(encoder)
    with pytest.raises(ValueError, match="at least 1"):
        run.run(0, 8, True)
    _push(run, 1.0, places=PLACES - 1)
    with pytest.raises(RuntimeError, match=r"(?i)shape|broadcast"):
        run.run(1, 8, True)
    for go_on in (lambda: _push(run, 1.0), lambda: run.run(1, 8, True)):
        with pytest.raises(RuntimeError, match="has failed and has lost samples: start another one"):
            go_on()
    other = _start(encoder)
    _push(other, 2.0)
    (result,) = other.run(1, 8, True)
    assert result.outputs[0].tolist() == [8.0, 8.0]
