"""Draft heads made of tiny decoders of one layer, and engines that draft with them."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from optimum_dynexec.graph.paged import prepare
from optimum_dynexec.native import _C
from optimum_dynexec.precision import FLOAT32_OV_CONFIG
from optimum_dynexec.runtime.engine import MAX_BATCH_TOKENS
from optimum_dynexec.runtime.heads import CompiledHead
from tests.speculative.tiny_llama import make_llama


def save_one_layer(directory, vocab_size, hidden_size, attention=1.0, seed=0):
    """A decoder of one layer. With `attention` 0 its next token depends on the last one alone."""
    sizes = {"intermediate_size": hidden_size, "max_position_embeddings": 256}
    model = make_llama(vocab_size, hidden_size, 1, 2, seed, **sizes)
    model.model.layers[0].self_attn.o_proj.weight.data *= attention
    model.save_pretrained(directory)
    return model


def draft_head(model, mix, token_ids=None):
    """
    A head whose row is that of `model`, a decoder of one layer, with `hidden_states @ mix` added to its embedding.

    Args:
        model (`DynExecModelForCausalLM`): the decoder.
        mix (`np.ndarray` of shape `(hidden_size, hidden_size)`): zeros make a head that looks at tokens alone.
        token_ids (`list[int]`, *optional*): the words of the head, all by default.
    """
    graph = prepare(model.model)
    nodes = {node.get_friendly_name(): node for node in graph.get_ordered_ops()}
    embedding = next(node for name, node in nodes.items() if name.endswith("aten::embedding/Gather"))
    hidden = ops.parameter([-1, 1, len(mix)], np.float32, name="dynexec.hidden_states")
    hidden.get_output_tensor(0).set_names({"dynexec.hidden_states"})
    targets = embedding.output(0).get_target_inputs()
    mixed = ops.add(embedding, ops.matmul(hidden, ops.constant(mix.astype(np.float32)), False, False))
    for target in targets:
        target.replace_source_output(mixed.output(0))
    (name,) = model.dynexec_config.hidden_state_names.values()
    feedback = ops.result(nodes[name].output(0))
    nodes[name].output(0).get_tensor().add_names({"dynexec.hidden_states"})
    (result,) = graph.get_results()
    if token_ids is None:
        token_ids = list(range(result.get_output_partial_shape(0)[-1].get_length()))
    words = ops.gather(result.input_value(0), ops.constant(np.array(token_ids)), ops.constant(-1))
    result.input(0).replace_source_output(words.output(0))
    graph.add_parameters([hidden])
    graph.add_results([feedback])
    graph.validate_nodes_and_infer_types()
    paged = _C.PagedModel([ov.Core().compile_model(graph, "CPU", FLOAT32_OV_CONFIG)])
    return CompiledHead(paged, token_ids, "draft", None)


def with_draft_head(model, head):
    """Makes the engine of `model` one that has a draft head."""
    graph = prepare(model.model)
    gather = graph.get_results()[0].input_value(0).get_node()
    while gather.get_type_name() != "Gather":
        gather = gather.input_value(0).get_node()
    hidden = gather.input_value(0)
    hidden.get_tensor().add_names({"dynexec.last_hidden_states"})
    graph.add_results([ops.result(hidden)])
    graph.validate_nodes_and_infer_types()
    engine = model.engine
    engine.paged_model = _C.PagedModel([ov.Core().compile_model(graph, "CPU", FLOAT32_OV_CONFIG)])
    engine.loop = _C.DecodeLoop(engine.paged_model, MAX_BATCH_TOKENS)
    engine.draft_head = head
    return model
