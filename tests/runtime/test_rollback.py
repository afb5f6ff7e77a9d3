"""Rolling back leaves the cache as if the tokens rolled back had never been there."""

import gc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimum_dynexec.native import _C


# One step: how far to roll back, as a share of the length, and the tokens that follow.
STEPS = st.lists(
    st.tuples(st.one_of(st.none(), st.floats(0, 1)), st.lists(st.integers(0, 349), min_size=1, max_size=40)),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt2"])
@settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(histories=st.lists(STEPS, min_size=1, max_size=3))
def test_any_history_leaves_the_logits_of_a_fresh_sequence(name, tiny_model, histories):
    """Several sequences take turns, so that a block given to two of them would show."""
    paged = tiny_model(name).engine.paged_model
    free = paged.free_blocks - paged.num_blocks
    sequences = [_C.CachedSequence(paged) for _ in histories]
    tokens = [[] for _ in histories]
    for turn in range(max(map(len, histories))):
        for sequence, ids, history in zip(sequences, tokens, histories, strict=True):
            if turn >= len(history):
                continue
            share, extension = history[turn]
            if share is not None:
                del ids[int(share * len(ids)) :]
                sequence.rollback(len(ids))
            # Positions are learned in one of the models: 256 of them.
            extension = extension[: 200 - len(ids)] or extension[:1]
            ids += extension
            logits = sequence.forward(extension)
            assert len(sequence) == len(ids)
            assert logits.shape == (len(extension), paged.vocab_size)
    for sequence, ids in zip(sequences, tokens, strict=True):
        last = ids[-1]
        sequence.rollback(len(ids) - 1)
        fresh = _C.CachedSequence(paged).forward(ids)
        np.testing.assert_allclose(sequence.forward([last])[0], fresh[-1], rtol=1e-4, atol=1e-4)
    del sequences, sequence
    assert paged.free_blocks - paged.num_blocks == free == 0


def test_a_rollback_that_is_forgotten_would_be_seen(tiny_model):
    """The comparison above can fail: other tokens in the cache give other logits."""
    paged = tiny_model("llama").engine.paged_model
    kept, rolled = _C.CachedSequence(paged), _C.CachedSequence(paged)
    kept.forward([5, 6, 7, 8])
    rolled.forward([5, 6, 7, 8])
    rolled.rollback(2)
    assert np.abs(kept.forward([9]) - rolled.forward([9])).max() > 0.1


def test_a_rollback_cannot_lengthen(tiny_model):
    sequence = _C.CachedSequence(tiny_model("llama").engine.paged_model)
    sequence.forward([1, 2, 3])
    with pytest.raises(ValueError, match="shorten"):
        sequence.rollback(4)
    assert len(sequence) == 3


def test_no_tokens_are_refused(tiny_model):
    with pytest.raises(ValueError, match="at least one token"):
        _C.CachedSequence(tiny_model("llama").engine.paged_model).forward([])


@pytest.mark.parametrize("block_distance", [-1, 0, 1])
def test_growing_across_a_block_boundary(block_distance, tiny_model):
    """The last token of a block, the first of the next, and drafts that straddle them."""
    paged = tiny_model("llama").engine.paged_model
    ids = [3 + i % 300 for i in range(paged.block_size * 3 + block_distance)]
    whole = _C.CachedSequence(paged).forward(ids)
    steps = _C.CachedSequence(paged)
    at = 0
    while at < len(ids):
        draft = ids[at : at + 5]
        steps.forward(draft)
        steps.rollback(at)
        step = min(3, len(ids) - at)
        np.testing.assert_allclose(steps.forward(ids[at : at + step]), whole[at : at + step], rtol=1e-4, atol=1e-4)
        at += step
    del steps
    gc.collect()
    assert paged.free_blocks == paged.num_blocks
