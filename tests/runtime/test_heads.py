"""Heads in the form the engine runs compute what they do by themselves."""

import numpy as np
import openvino as ov
import pytest

from optimum_dynexec.graph.backbone import embedding_matrix, unembedding
from optimum_dynexec.graph.paged import prepare
from optimum_dynexec.graph.segments import cut
from optimum_dynexec.heads.ir import build_head_ir
from optimum_dynexec.native import _C
from optimum_dynexec.runtime import Engine
from optimum_dynexec.runtime.heads import prepare_head
from tests.heads.reference import head, random_head


EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
LENGTHS = (19, 35)
BLOCK = 32


def sizes_of(matrix: np.ndarray) -> dict[str, int]:
    return {"vocab_size": matrix.shape[0], "hidden_size": matrix.shape[1]}


@pytest.fixture(scope="module")
def backbones(tiny_export):
    return lambda *export: ov.Core().read_model(tiny_export(*export) / "openvino_model.xml")


class Paged:
    """A paged model with a cache of 8 blocks. Sequence `i` has the blocks `4 i` to `4 i + 3`, from the last on."""

    def __init__(self, model: ov.Model):
        compiled = ov.Core().compile_model(model, "CPU", EXACT)
        self.outputs = [value.get_any_name() for value in compiled.outputs]
        self.request = compiled.create_infer_request()
        self.inputs = {value.get_any_name() for value in compiled.inputs}
        for value in compiled.inputs:
            if "_cache." in value.get_any_name():
                shape = [8, *(axis.get_length() for axis in list(value.get_partial_shape())[1:])]
                self.request.set_tensor(value, ov.Tensor(value.get_element_type(), ov.Shape(shape)))

    def infer(self, spans: list[tuple[int, int]], rows: list[int], **feed: np.ndarray) -> list[np.ndarray]:
        blocks = [list(range(4 * i + 3, 4 * i + 3 - -(-stop // BLOCK), -1)) for i, (_, stop) in enumerate(spans)]
        lengths = [stop - start for start, stop in spans]
        feed.update(
            {
                "dynexec.logits_indices": np.array(rows, np.int64),
                "position_ids": np.concatenate([np.arange(*span) for span in spans]),
                "past_lens": np.array([start for start, _ in spans], np.int32),
                "subsequence_begins": np.cumsum([0, *lengths], dtype=np.int32),
                "block_indices": np.array([block for table in blocks for block in table], np.int32),
                "block_indices_begins": np.cumsum([0, *map(len, blocks)], dtype=np.int32),
                "max_context_len": np.array(max(stop for _, stop in spans), np.int32),
            }
        )
        self.request.infer({name: value for name, value in feed.items() if name in self.inputs})
        return [self.request.get_output_tensor(i).data.copy() for i in range(len(self.outputs))]


@pytest.mark.parametrize("export", [("llama",), ("qwen2", "int8"), ("llama", "int4"), ("opt", "fp16")], ids="-".join)
@pytest.mark.parametrize("kind", ["norm", "adapter", "block", "draft", "draft+layers"])
def test_two_sequences_piece_by_piece_with_rollback(kind, export, backbones):
    backbone = backbones(*export)
    words, table = unembedding(backbone), embedding_matrix(backbone)
    config, tensors, _ = random_head(kind, **sizes_of(words))
    model, token_ids = prepare_head(build_head_ir(config, tensors, words), backbone)
    assert token_ids == tensors["token_ids"].tolist()
    paged = Paged(model)
    assert paged.outputs == ["logits", "dynexec.last_hidden_states"][: 2 if config.kind == "draft" else 1]

    rng = np.random.default_rng(3)
    h = [rng.normal(size=(length, config.feature_size)).astype(np.float32) for length in LENGTHS]
    tokens = [rng.integers(0, len(table), length) for length in LENGTHS]
    expected = [head(config, tensors, words, h[i], table[tokens[i]]) for i in range(2)]
    # A guess that is rolled back, then single tokens, then all that is left.
    for spans in [[(0, 7), (0, 29)], [(7, 12), (29, 34)], [(7, 8), (29, 30)], [(8, 19), (30, 35)]]:
        pieces = [slice(*span) for span in spans]
        n = sum(stop - start for start, stop in spans)
        rows = [0, n - 1] if n > 4 else list(range(n))
        found = paged.infer(
            spans,
            rows,
            **{
                "dynexec.hidden_states": np.concatenate([h[i][piece] for i, piece in enumerate(pieces)])[:, None],
                "input_ids": np.concatenate([tokens[i][piece] for i, piece in enumerate(pieces)]),
            },
        )
        for output, selected, value in zip((0, 1), (rows, slice(None)), found, strict=False):
            wanted = np.concatenate([expected[i][output][piece] for i, piece in enumerate(pieces)])[selected]
            assert value.shape == (len(wanted), 1, wanted.shape[-1])
            np.testing.assert_allclose(value[:, 0], wanted, atol=1e-4 * np.abs(wanted).max())


def test_backbone_and_head_are_left_as_they_were(backbones):
    backbone = backbones("llama")
    words = unembedding(backbone)
    config, tensors, _ = random_head("draft", **sizes_of(words))
    model = build_head_ir(config, tensors, words)
    before = [str(value) for m in (model, backbone) for value in [*m.inputs, *m.outputs]]
    for _ in range(2):
        prepare_head(model, backbone)
    assert [str(value) for m in (model, backbone) for value in [*m.inputs, *m.outputs]] == before
    ov.Core().compile_model(backbone, "CPU")
    ov.Core().compile_model(model, "CPU")


def test_a_head_of_another_backbone_is_refused(backbones):
    config, tensors, words = random_head("draft")
    with pytest.raises(ValueError, match="embeddings of size 48"):
        prepare_head(build_head_ir(config, tensors, words), backbones("llama"))
    with pytest.raises(ValueError, match="is not a head"):
        prepare_head(backbones("llama"), backbones("llama"))


def run_segments(segments: list[ov.Model]) -> list[list[np.ndarray]]:
    """What each segment of a model gives for 9 tokens; logits for two of them."""
    found: list[list[np.ndarray]] = []
    for segment in map(Paged, segments):
        given = {"dynexec.hidden_states": found[-1][0]} if found else {}
        found.append(segment.infer([(0, 9)], [1, 4], input_ids=np.arange(5, 14), **given))
    return found


@pytest.mark.parametrize("read", [[], [0], [1], [0, 1]])
@pytest.mark.parametrize("layers", [[], [0], [1], [0, 1]])
@pytest.mark.parametrize("name", ["llama", "gpt2", "opt"])
def test_the_hidden_states_that_a_draft_head_reads(name, layers, read, backbones, tiny_model):
    model = backbones(name)
    names = tiny_model(name).dynexec_config.hidden_state_names
    segments = cut(prepare(model, [names[layer] for layer in read]), [names[layer] for layer in layers])
    assert len(segments) == len(layers) + 1
    assert all(len(segment.outputs) == 1 for segment in segments[:-1])
    assert [value.get_any_name() for value in segments[-1].outputs] == ["logits", "dynexec.last_hidden_states"]
    logits, features = run_segments(segments)[-1]
    *parts, last = np.split(features, len(read) + 1, axis=-1)
    # The logits are made of the last ones, for the rows that are asked for.
    np.testing.assert_allclose(last[[1, 4]] @ unembedding(model).T, logits, atol=1e-4 * np.abs(logits).max())
    assert features.shape[:2] == (9, 1)
    after_layers = [found[0] for found in run_segments(cut(prepare(model), [names[0], names[1]]))]
    for layer, part in zip(read, parts, strict=True):
        np.testing.assert_allclose(part, after_layers[layer].reshape(part.shape), atol=1e-5)


def test_a_layer_that_the_model_has_not(backbones):
    with pytest.raises(ValueError, match="no node named"):
        prepare(backbones("llama"), ["layer 7"])


def test_an_engine_with_heads(tiny_model, backbones):
    model = tiny_model("llama")
    words = unembedding(model.model)
    irs = [
        build_head_ir(config, tensors, words, weight_format=weight_format)
        for kind, layer, weight_format in [
            ("block", 1, "int8"),
            ("draft", None, "fp32"),
            ("norm", 0, "fp32"),
        ]
        for config, tensors, _ in [random_head(kind, layer=layer, **sizes_of(words))]
    ]
    names = model.dynexec_config.hidden_state_names
    engine = Engine(model.model, "CPU", EXACT, [names[0], names[1]], 512, heads=irs)
    assert {layer: head.kind for layer, head in engine.exit_heads.items()} == {0: "norm", 1: "block"}
    assert engine.draft_head.kind == "draft"
    assert engine.draft_head.layer is None
    assert tiny_model("llama").engine.draft_head is None
    for compiled in [engine.draft_head, *engine.exit_heads.values()]:
        assert compiled.paged_model.vocab_size == len(compiled.token_ids)
        assert compiled.paged_model.costs[0][1] > 0
        _C.Head(compiled.paged_model, compiled.token_ids)
    ids = [5, 6, 7, 8]
    logits = [_C.CachedSequence(e.paged_model).forward(ids) for e in (engine, model.engine)]
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-4)
