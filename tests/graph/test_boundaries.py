"""The search for boundaries on small graphs made by hand; `test_families` has the real ones."""

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from optimum_dynexec.graph.boundaries import find_layer_boundaries
from optimum_dynexec.graph.errors import NotSegmentableError


WIDTH = 8


class Graph:
    """Builds a decoder-like graph. There is no cache: attention is over the tokens given."""

    def __init__(self):
        self.ids = ops.parameter([-1, -1], ov.Type.i64, name="input_ids")
        self.ids.output(0).set_names({"input_ids"})
        self.embedded = ops.gather(self.weight(20, WIDTH), self.ids, ops.constant(0, ov.Type.i64))

    def weight(self, *shape: int):
        return ops.constant(np.full(shape, 0.1, np.float32))

    def attention(self, x, key=None):
        heads = ops.unsqueeze(x, ops.constant(1, ov.Type.i64))
        key = heads if key is None else ops.unsqueeze(key, ops.constant(1, ov.Type.i64))
        return ops.squeeze(
            ops.scaled_dot_product_attention(heads, key, key, causal=True), ops.constant(1, ov.Type.i64)
        )

    def norm(self, x):
        normed = ops.mvn(x, ops.constant([-1], ov.Type.i64), True, 1e-5, "inside_sqrt")
        return ops.add(ops.multiply(normed, self.weight(WIDTH)), self.weight(WIDTH))

    def mlp(self, x):
        return ops.add(ops.relu(ops.matmul(x, self.weight(WIDTH, WIDTH), False, True)), self.weight(WIDTH))

    def model(self, x) -> ov.Model:
        logits = ops.matmul(x, self.weight(20, WIDTH), False, True)
        logits.output(0).set_names({"logits"})
        return ov.Model([ops.result(logits)], [self.ids])


def named(node, name: str):
    node.set_friendly_name(name)
    return node


def pre_norm(graph: Graph, x, name: str):
    x = ops.add(x, graph.attention(graph.norm(x)))
    return named(ops.add(x, graph.mlp(graph.norm(x))), name)


def post_norm(graph: Graph, x, name: str):
    x = graph.norm(ops.add(x, graph.attention(x)))
    return named(graph.norm(ops.add(x, graph.mlp(x))), name)


def two_attentions(graph: Graph, x, name: str):
    normed = graph.norm(x)
    x = ops.add(x, ops.subtract(graph.attention(normed), graph.attention(graph.mlp(normed))))
    return named(ops.add(x, graph.mlp(graph.norm(x))), name)


def parallel(graph: Graph, x, name: str):
    normed = graph.norm(x)
    return named(ops.add(ops.add(graph.mlp(normed), graph.attention(normed)), x), name)


@pytest.mark.parametrize("layer", [pre_norm, post_norm, parallel, two_attentions])
@pytest.mark.parametrize("depth", [2, 5])
def test_layers_of_every_build(layer, depth):
    graph = Graph()
    x = graph.embedded
    for k in range(depth):
        x = layer(graph, x, f"layer.{k}")
    # Where a last norm follows, it is not part of the stream.
    x = x if layer is post_norm else graph.norm(x)
    assert find_layer_boundaries(graph.model(x)) == [f"layer.{k}" for k in range(depth)]


def test_one_layer():
    graph = Graph()
    assert find_layer_boundaries(graph.model(graph.norm(pre_norm(graph, graph.embedded, "only")))) == ["only"]


def test_shapes_may_go_around():
    graph = Graph()
    x = pre_norm(graph, graph.embedded, "a")
    x = pre_norm(graph, x, "b")
    x = ops.reshape(graph.norm(x), ops.shape_of(graph.embedded), False)
    assert find_layer_boundaries(graph.model(x)) == ["a", "b"]


def test_hundred_layers_count_exactly():
    """The number of paths has 60 digits and more."""
    graph = Graph()
    x = graph.embedded
    for k in range(100):
        x = pre_norm(graph, x, f"layer.{k}")
    assert find_layer_boundaries(graph.model(graph.norm(x))) == [f"layer.{k}" for k in range(100)]


def test_skip_over_a_layer():
    graph = Graph()
    first = pre_norm(graph, graph.embedded, "a")
    second = pre_norm(graph, first, "b")
    third = ops.add(pre_norm(graph, second, "c"), first)
    with pytest.raises(NotSegmentableError, match="layer 1 and layer 2 share more than one tensor"):
        find_layer_boundaries(graph.model(graph.norm(third)))


def test_keys_of_another_layer():
    graph = Graph()
    first = pre_norm(graph, graph.embedded, "a")
    second = pre_norm(graph, first, "b")
    third = ops.add(second, graph.attention(graph.norm(second), key=first))
    with pytest.raises(NotSegmentableError, match="share more than one tensor"):
        find_layer_boundaries(graph.model(graph.norm(third)))


def test_no_attention():
    graph = Graph()
    with pytest.raises(NotSegmentableError, match="does not contain an attention operation"):
        find_layer_boundaries(graph.model(ops.add(graph.embedded, graph.mlp(graph.embedded))))


def test_no_residual_stream():
    graph = Graph()
    with pytest.raises(NotSegmentableError, match="no addition to the residual stream after the last attention"):
        find_layer_boundaries(graph.model(graph.attention(ops.relu(graph.embedded))))


def test_no_tokens_or_no_logits():
    x = ops.parameter([1, 4], ov.Type.f32, name="pixels")
    x.output(0).set_names({"pixels"})
    with pytest.raises(
        NotSegmentableError, match=r"needs one of the inputs .*'input_ids'.*its inputs are \['pixels'\]"
    ):
        find_layer_boundaries(ov.Model([ops.result(ops.relu(x))], [x]))
    graph = Graph()
    with pytest.raises(NotSegmentableError, match="no output named 'logits'"):
        find_layer_boundaries(ov.Model([ops.result(ops.relu(graph.embedded))], [graph.ids]))


def test_same_name_twice():
    graph = Graph()
    x = pre_norm(graph, pre_norm(graph, graph.embedded, "same"), "same")
    with pytest.raises(NotSegmentableError, match="several nodes have the name"):
        find_layer_boundaries(graph.model(graph.norm(x)))
