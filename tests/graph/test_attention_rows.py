"""Rows that only PagedAttention sees: a row of the model and two of PagedAttention have the bits of any other pass."""

from pathlib import Path

import numpy as np
import pytest

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.native import _C


@pytest.mark.parametrize("export", [("llama", "int8"), ("qwen2", "int4"), ("gpt_neox", "int8")], ids="-".join)
def test_one_row_of_the_model_and_two_of_attention_are_enough(tiny_export, export):
    model = DynExecModelForCausalLM.from_pretrained(tiny_export(*export), precision="exact")
    if model.precision != "exact":
        pytest.skip("this processor has no row-invariant kernels for compressed weights")
    paged = model.engine.paged_model
    assert paged.has_attention_rows
    limits = paged.row_limits
    if limits.per_sequence > 1:
        pytest.skip("this processor needs a second row of the whole model")
    tokens = np.random.default_rng(0).integers(0, paged.vocab_size, 60).tolist()

    def together():
        """Three beginnings of a text run on, one token of each in a pass."""
        ends, sequences = (20, 25, 33), [_C.CachedSequence(paged) for _ in range(3)]
        for sequence, end in zip(sequences, ends, strict=True):
            sequence.forward(tokens[:end])
        places = [[end + step for end in ends] for step in range(20)]
        rows = [
            _C.CachedSequence.forward_together(sequences, [tokens[place] for place in at_once]) for at_once in places
        ]
        return np.concatenate(rows), whole[np.concatenate(places)]

    whole = _C.CachedSequence(paged).forward(tokens)
    assert np.array_equal(*together())
    if "avx512f" in Path("/proc/cpuinfo").read_text():
        # The rule is needed: a single query row has other bits. Kernels of other processors may not differ here.
        paged.row_limits = _C.RowLimits(least=2)
        assert not np.array_equal(*together())


def test_a_model_without_these_rows_refuses_them(tiny_export):
    paged = DynExecModelForCausalLM.from_pretrained(tiny_export("llama"), precision="f32").engine.paged_model
    assert not paged.has_attention_rows
    with pytest.raises(ValueError, match="attention is 2"):
        paged.row_limits = _C.RowLimits(attention=2)
