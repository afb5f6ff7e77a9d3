"""The extension's own interface: what it checks, and what it must not deadlock on."""

import ast
import faulthandler
import threading
from pathlib import Path

import numpy as np
import pytest

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.native import _C
from tests.runtime.sequence_requests import request


def test_tokens_reasons_and_figures(tiny_model):
    loop = tiny_model("llama").engine.loop
    free = loop.generate([request([5, 6, 7], 6)], _C.SpeculationParams()).tokens[0]
    result = loop.generate(
        [request([5, 6, 7], 6), request([5, 6, 7], 6, eos_token_ids=[free[2]]), request([8], 0)],
        _C.SpeculationParams(),
    )
    assert result.tokens == [free, free[: free.index(free[2]) + 1], []]
    reasons = _C.FinishReason
    assert result.finish_reasons == [reasons.LENGTH, reasons.STOP, reasons.LENGTH]
    stopped = loop.generate([request([5, 6, 7])], _C.SpeculationParams(), should_stop=lambda row, tokens: True)
    assert stopped.finish_reasons == [reasons.CALLBACK]
    assert stopped.tokens == [free[:1]]


def test_no_requests_are_no_work(tiny_model):
    result = tiny_model("llama").engine.loop.generate([], _C.SpeculationParams())
    assert (result.tokens, result.stats.tokens, result.stats.target_forwards) == ([], 0, 0)


def test_bad_parameters(tiny_model):
    engine = tiny_model("llama").engine
    lookup, with_parts = _C.ProposerParams("prompt_lookup"), ("draft_head", "draft_model", "exit_heads")
    for proposer, lookahead, message in (
        (lookup, "sometimes", "sometimes"),
        (_C.ProposerParams("prompt_lookup", options={"max_matching_ngram_size": 65}), "auto", "max_ngram"),
        (_C.ProposerParams("bogus"), "auto", "Unknown proposer 'bogus': use one of 'draft_head', 'draft_model'"),
        *((_C.ProposerParams(name), "auto", f"'{name}' needs") for name in with_parts),
    ):
        params = _C.SpeculationParams()
        params.proposers, params.lookahead = [proposer], lookahead
        with pytest.raises(ValueError, match=message):
            engine.loop.generate([request([5])], params)
    with pytest.raises(ValueError, match="max_batch_tokens"):
        _C.DecodeLoop(engine.paged_model, 0)
    with pytest.raises(ValueError, match="segment"):
        _C.PagedModel([])
    for bad in (lambda: _C.process_logits([], _C.LogitsParams(), [], []), lambda: _C.logits_stats([[1.0]])):
        with pytest.raises(ValueError, match="1-d"):
            bad()
    with pytest.raises(ValueError, match="must be an index of"):
        _C.verify_sampled(3, [0.5, 0.5], None, _C.Rng(0))
    with pytest.raises(ValueError, match="must be an index of"):
        _C.verify_sampled(0, [0.5, 0.5], [1.0], _C.Rng(0))


def test_hooks_see_the_sequence_and_change_the_logits(tiny_model):
    seen = []

    def process_logits(row, tokens, logits):
        assert isinstance(logits, np.ndarray)
        seen.append((row, tokens.tolist()))
        logits[:] = -1.0
        logits[40 + len(tokens)] = 1.0

    streamed = []
    result = tiny_model("llama").engine.loop.generate(
        [request([5, 6])],
        _C.SpeculationParams(),
        process_logits=process_logits,
        on_tokens=lambda row, tokens: streamed.extend(tokens),
    )
    assert result.tokens == [[42, 43, 44, 45]] == [streamed]
    assert seen == [(0, [5, 6, 42, 43, 44, 45][:n]) for n in range(2, 6)]


@pytest.mark.parametrize("hook", ["process_logits", "should_stop", "on_tokens"])
def test_an_exception_in_a_hook_reaches_the_caller_as_it_is(hook, tiny_model):
    class Special(Exception):
        pass

    engine, calls = tiny_model("llama").engine, []

    def raises(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise Special

    with pytest.raises(Special):
        engine.loop.generate([request([5, 6], 9)], _C.SpeculationParams(), **{hook: raises})
    assert len(calls) == 3
    assert engine.paged_model.free_blocks == engine.paged_model.num_blocks


def test_dropping_a_sequence_while_the_model_is_busy(tiny_model):
    """It waits for the model, whose hook waits for the interpreter: neither may hold what the other needs."""
    engine = tiny_model("llama").engine
    inside, drop = threading.Event(), threading.Event()
    sequence = [_C.CachedSequence(engine.paged_model)]
    sequence[0].forward([5, 6, 7])

    def on_tokens(row, tokens):
        inside.set()
        drop.wait(0.05)

    def generate():
        engine.loop.generate([request([5, 6], 10)], _C.SpeculationParams(), on_tokens=on_tokens)

    thread = threading.Thread(target=generate, daemon=True)
    thread.start()
    assert inside.wait(30)
    # A deadlock would hold the interpreter: only this can still end the run.
    faulthandler.dump_traceback_later(60, exit=True)
    sequence.clear()
    faulthandler.cancel_dump_traceback_later()
    thread.join(30)
    assert not thread.is_alive()
    assert engine.paged_model.free_blocks == engine.paged_model.num_blocks


def test_costs_are_measured_and_never_fall(tiny_model):
    paged = tiny_model("llama").engine.paged_model
    assert paged.costs  # at load; passes that have run since have changed them
    paged.profile()
    costs = paged.costs
    assert [rows for rows, _ in costs] == [1, 2, 4, 6, 8, 12, 16, 24, 32]
    seconds = [s for _, s in costs]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0


def test_what_is_learned_belongs_to_the_caller(tiny_model):
    """The length that "heuristic" arrives at is kept in the memory that is handed in, and nowhere else."""
    engine = tiny_model("llama").engine
    params = _C.SpeculationParams()
    params.proposers = [_C.ProposerParams("prompt_lookup")]
    params.lookahead, params.num_assistant_tokens = "heuristic", 6

    def proposed(*memory):
        result = engine.loop.generate([request([9] * 5, 20)], params, *memory)
        return result.stats.proposers[0].proposed

    memory = _C.SpeculationMemory()
    first = proposed(memory)
    assert proposed(memory) < first
    assert proposed(_C.SpeculationMemory()) == proposed() == first


def test_a_draft_model_reads_long_prompts_in_parts_and_the_heuristic_grows(tiny_model, tiny_export):
    target = tiny_model("llama").engine
    draft = DynExecModelForCausalLM.from_pretrained(tiny_export("llama"), precision="exact").engine.paged_model
    params = _C.SpeculationParams()
    params.proposers = [_C.ProposerParams("draft_model", model=draft)]
    params.lookahead, params.num_assistant_tokens = "heuristic", 2
    requests = [request(list(range(5, 45)), 40), request([7, 8], 40)]
    whole = target.loop.generate(requests, params)
    parts = _C.DecodeLoop(target.paged_model, 8).generate(requests, params)
    assert parts.tokens == whole.tokens
    assert parts.stats.proposers[0].forwards >= whole.stats.proposers[0].forwards + 4
    # Each draft is right, so the next one is longer by two tokens.
    assert len(whole.stats.accepted_histogram) > 6
    assert draft.free_blocks == draft.num_blocks


def test_the_stub_describes_the_whole_extension():
    tree = ast.parse(Path(_C.__file__).with_name("_C.pyi").read_text())
    described = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    names = set(described) | {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
    assert names == {name for name in dir(_C) if not name.startswith("_")}
    for name, node in described.items():
        if isinstance(node, ast.FunctionDef):
            continue
        members = {m.target.id if isinstance(m, ast.AnnAssign) else getattr(m, "name", "") for m in node.body}
        assert {member for member in dir(getattr(_C, name)) if not member.startswith("_")} <= members, name
