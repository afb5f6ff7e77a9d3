"""The OpenVINO models of heads compute what heads are defined as."""

import numpy as np
import openvino as ov
import pytest
import torch

from optimum_dynexec.heads.ir import build_head_ir, head_config
from optimum_dynexec.heads.modules import Batch, make_head
from tests.heads.reference import SIZES, VOCAB, WORDS, head, random_head


EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
KINDS = ["norm", "adapter", "block", "draft", "draft+layers"]
LENGTH = 21


def run(model: ov.Model, h: np.ndarray, e: np.ndarray, pieces: list[int]) -> list[np.ndarray]:
    """Outputs `[length, size]` for one sequence that is given piece by piece."""
    compiled = ov.Core().compile_model(model, "CPU", EXACT)
    request = compiled.create_infer_request()
    names = {value.get_any_name() for value in compiled.inputs}
    found, start = [], 0
    for length in pieces:
        rows = slice(start, start + length)
        feed = {
            "dynexec.hidden_states": h[None, rows],
            "inputs_embeds": e[None, rows],
            "position_ids": np.arange(start, start + length)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        result = request.infer({name: value for name, value in feed.items() if name in names})
        found.append([result[i][0].copy() for i in range(len(compiled.outputs) - 1)])
        start += length
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def inputs(config) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return tuple(
        rng.normal(size=(LENGTH, size)).astype(np.float32) for size in (config.feature_size, config.hidden_size)
    )


@pytest.mark.parametrize("pieces", [[LENGTH], [6, 1, 1, 13]])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs(kind, pieces, tmp_path):
    config, tensors, unembedding = random_head(kind)
    h, e = inputs(config)
    ov.save_model(build_head_ir(config, tensors, unembedding), tmp_path / "head.xml", compress_to_fp16=False)
    model = ov.Core().read_model(tmp_path / "head.xml")
    assert head_config(model) == config
    found, expected = run(model, h, e, pieces), head(config, tensors, unembedding, h, e)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4 * np.abs(expected[0]).max())
    if config.kind == "draft":
        np.testing.assert_allclose(found[1], expected[1], atol=1e-4 * np.abs(expected[1]).max())
    tokens = model.output("dynexec.token_ids").get_node().input_value(0).get_node().data
    np.testing.assert_array_equal(tokens, tensors["token_ids"])


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 32},
        {"num_attention_heads": 6, "num_key_value_heads": 6, "head_dim": 8},
        {"num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 64, "rope_theta": 500000.0},
        {"hidden_size": 33, "intermediate_size": 17, "norm_eps": 1e-2},
    ],
)
@pytest.mark.parametrize("kind", ["block", "draft", "draft+layers"])
def test_sizes(kind, sizes):
    config, tensors, unembedding = random_head(kind, **sizes)
    h, e = inputs(config)
    found = run(build_head_ir(config, tensors, unembedding), h, e, [5, LENGTH - 5])[0]
    expected = head(config, tensors, unembedding, h, e)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("kind", KINDS)
def test_an_unembedding_of_its_own(kind):
    config, tensors, unembedding = random_head(kind, shares_unembedding=False)
    h, e = inputs(config)
    found = run(build_head_ir(config, tensors), h, e, [LENGTH])[0]
    assert found.shape == (LENGTH, WORDS)
    expected = head(config, tensors, unembedding, h, e)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("kind", KINDS)
def test_int8_is_close_and_smaller(kind, tmp_path):
    config, tensors, unembedding = random_head(kind, words=VOCAB)
    h, e = inputs(config)
    sizes = {}
    for weight_format in ("fp32", "int8"):
        model = build_head_ir(config, tensors, unembedding, weight_format=weight_format)
        ov.save_model(model, tmp_path / f"{weight_format}.xml", compress_to_fp16=False)
        sizes[weight_format] = (tmp_path / f"{weight_format}.bin").stat().st_size
    found = run(ov.Core().read_model(tmp_path / "int8.xml"), h, e, [LENGTH])[0]
    expected = head(config, tensors, unembedding, h, e)[0]
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert sizes["int8"] < 0.4 * sizes["fp32"]


def test_a_batch_and_beams():
    """The state belongs to rows of a batch, and beams may change places."""
    config, tensors, unembedding = random_head("block")
    h = np.stack(inputs(config))
    compiled = ov.Core().compile_model(build_head_ir(config, tensors, unembedding), "CPU", EXACT)
    request = compiled.create_infer_request()

    def infer(rows, start, stop, beams):
        positions = np.tile(np.arange(start, stop), (2, 1))
        request.infer([h[rows, start:stop], positions, np.array(beams, np.int32)])
        return request.get_output_tensor(0).data.copy()

    infer([0, 1], 0, 9, [0, 1])
    found = infer([1, 0], 9, LENGTH, [1, 0])
    for row, sequence in enumerate([1, 0]):
        expected = head(config, tensors, unembedding, h[sequence])[0][9:]
        np.testing.assert_allclose(found[row], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("block.q.weight"), "`block.q.weight`.*absent"),
        (lambda tensors: tensors.update({"block.q.bias": np.zeros(3)}), "`block.q.bias`.*absent"),
        (lambda tensors: tensors.update({"norm.weight": np.zeros(3, np.float32)}), r"`norm.weight`.*\(48,\).*\(3,\)"),
        (lambda tensors: tensors.pop("token_ids"), "`token_ids`"),
    ],
)
def test_wrong_tensors_are_refused(change, message):
    config, tensors, unembedding = random_head("draft")
    change(tensors)
    with pytest.raises(ValueError, match=message):
        build_head_ir(config, tensors, unembedding)


def test_what_else_is_refused():
    config, tensors, unembedding = random_head("norm")
    with pytest.raises(ValueError, match="shares the backbone's unembedding"):
        build_head_ir(config, tensors)
    with pytest.raises(ValueError, match="was made for an unembedding"):
        build_head_ir(config, tensors, unembedding[1:])
    with pytest.raises(ValueError, match="weight_format"):
        build_head_ir(config, tensors, unembedding, weight_format="int3")
    model = build_head_ir(config, tensors, unembedding)
    assert head_config(model).hidden_size == SIZES["hidden_size"]
    plain = ov.Model(model.get_results(), model.get_parameters(), "plain")
    with pytest.raises(ValueError, match="is not a head"):
        head_config(plain)


def trained(kind: str):
    """A head as training has it, with random weights, and its tensors as its file has them."""
    config, tensors, unembedding = random_head(kind)
    module = make_head(config, torch.from_numpy(tensors["token_ids"]), torch.from_numpy(unembedding))
    parameters = dict(module.named_parameters())
    assert set(parameters) == set(tensors) - {"token_ids"}
    for name, parameter in parameters.items():
        parameter.data.copy_(torch.from_numpy(tensors[name]))
    return config, tensors, unembedding, module


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_trained_is_what_runs(kind):
    config, tensors, unembedding, module = trained(kind)
    h, e = inputs(config)
    lengths = [8, LENGTH - 8]
    batch = Batch(torch.from_numpy(h), torch.from_numpy(e), lengths, [3, 5])
    found = module.logits(module(batch, 1)[0]).numpy()
    model = build_head_ir(config, tensors, unembedding)
    expected = []
    for start, length, rows in zip([0, 8], lengths, module.rows(batch), strict=True):
        # A draft head takes the embedding of the token behind that of its feature.
        following = np.roll(e[start : start + length], -1, 0) if config.kind == "draft" else e[start : start + length]
        logits = run(model, h[start : start + length], following, [length])[0]
        expected.append(logits[rows.start - start : rows.stop - start])
    expected = np.concatenate(expected)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@torch.no_grad()
@pytest.mark.parametrize("kind", ["draft", "draft+layers"])
def test_drafts_in_training_are_those_of_what_runs(kind):
    """In later steps of a draft, what the head gave stands for hidden states that are not known yet."""
    config, tensors, unembedding, module = trained(kind)
    h, e = inputs(config)
    steps, row = 4, 9
    found = [
        module.logits(g).numpy() for g in module(Batch(torch.from_numpy(h), torch.from_numpy(e), [LENGTH], [2]), steps)
    ]
    compiled = ov.Core().compile_model(build_head_ir(config, tensors, unembedding), "CPU", EXACT)
    request, states, start = compiled.create_infer_request(), h[: row + 1], 0
    for step in range(steps):
        positions = np.arange(start, start + len(states))
        request.infer([e[None, positions + 1], states[None], positions[None], np.zeros(1, np.int32)])
        logits, states = (request.get_output_tensor(i).data[0, -1:].copy() for i in range(2))
        np.testing.assert_allclose(logits[0], found[step][row], atol=1e-4 * np.abs(logits).max())
        start = positions[-1] + 1
