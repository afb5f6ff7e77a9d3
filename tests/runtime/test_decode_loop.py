"""Calls that share the decode loop: they join and leave it between steps, and none changes the tokens of another."""

import random
import threading
import time

import pytest

from optimum_dynexec.native import _C
from optimum_dynexec.precision import FLOAT32_OV_CONFIG
from optimum_dynexec.runtime import Engine
from tests.runtime.sequence_requests import request


TIMEOUT = 60.0
PLAIN = _C.SpeculationParams()


def lookup():
    params = _C.SpeculationParams()
    params.proposers = [_C.ProposerParams("suffix")]
    return params


def sampling():
    params = _C.LogitsParams()
    params.do_sample, params.temperature = True, 1.5
    return params


class Owner:
    """Starts calls on a loop and collects their events."""

    def __init__(self, loop):
        self.loop, self.outbox = loop, _C.Outbox()
        self.tokens, self.logprobs, self.reasons, self.closed, self.errors = {}, {}, {}, {}, {}

    def submit(self, requests, params=PLAIN, **kwargs):
        call = self.loop.submit(requests, params, self.outbox, **kwargs)
        self.tokens[call.id], self.logprobs[call.id] = [[] for _ in requests], [[] for _ in requests]
        return call

    def take(self, answer=None):
        for event in self.outbox.take(0.05):
            which = event.call.id
            if event.kind == _C.Event.Kind.TOKENS:
                self.tokens[which][event.row] += event.tokens
                self.logprobs[which][event.row] += event.logprobs
                self.reasons[which, event.row] = event.finish_reason.name
            elif event.kind == _C.Event.Kind.DECIDE:
                answer(event)
            else:
                self.closed[which], self.errors[which] = event.call.stats, event.error

    def wait(self, *calls, answer=None):
        end = time.monotonic() + TIMEOUT
        while not all(call.id in self.closed for call in calls):
            assert time.monotonic() < end, "a call has not ended"
            self.take(answer)


@pytest.fixture(scope="module")
def small_cache(tiny_model):
    """`small_cache(tokens, prefixes=False)`: an engine whose KV cache has room for so many tokens."""

    def make(tokens, prefixes=False):
        model = tiny_model("llama")
        engine = Engine(model.model, "CPU", FLOAT32_OV_CONFIG, max_cache_tokens=tokens)
        if prefixes:
            engine.paged_model.keep_prefixes(tokens)
        return engine

    return make


def texts(number, seed=0, longest=40, new_tokens=12):
    """Requests of different lengths, greedy and sampled."""
    draw = random.Random(seed)
    made = []
    for i in range(number):
        prompt = [draw.randrange(5, 60) for _ in range(draw.randint(1, longest))]
        logits = sampling() if i % 2 else _C.LogitsParams()
        made.append(request(prompt, draw.randint(1, new_tokens), logits=logits, seed=i))
    return made


def blocks_are_back(paged):
    return paged.free_blocks == paged.num_blocks


def test_calls_from_threads_share_passes_and_keep_their_tokens(small_cache):
    engine = small_cache(4096)
    requests = texts(24)
    alone = [engine.loop.generate([one], PLAIN).tokens for one in requests]
    steps = engine.loop.stats.steps
    results = [None] * len(requests)

    def run(i):
        results[i] = engine.loop.generate([requests[i]], lookup() if i % 3 == 0 else PLAIN).tokens

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert results == alone
    assert engine.loop.stats.steps - steps < steps
    assert blocks_are_back(engine.paged_model)


@pytest.mark.parametrize("speculation", [PLAIN, lookup()], ids=["plain", "suffix"])
def test_without_room_the_youngest_waits_and_no_token_changes(speculation, small_cache):
    """Each of them has room alone, and all of them together need several times the cache."""
    large, small = small_cache(4096), small_cache(128)
    requests = texts(12, seed=1, longest=20)
    for one in requests:
        one.max_new_tokens = 70
    expected = [large.loop.generate([one], PLAIN).tokens[0] for one in requests]
    result = small.loop.generate(requests, speculation)
    # A seed gives each row of a call a stream of its own, so only greedy rows are as alone.
    for i in range(0, len(requests), 2):
        assert result.tokens[i] == expected[i]
    assert result.tokens == large.loop.generate(requests, PLAIN).tokens
    assert small.loop.stats.preemptions > 0
    assert large.loop.stats.preemptions == 0
    assert blocks_are_back(small.paged_model)


def test_a_text_without_room_fails_alone(small_cache):
    engine = small_cache(128)
    owner = Owner(engine.loop)
    good = owner.submit([request([5, 6, 7], 20)])
    long_prompt = owner.submit([request([5] * 200, 4)])
    long_output = owner.submit([request([8] * 100, 100)])
    owner.wait(good, long_prompt, long_output)
    assert owner.errors[good.id] is None
    assert owner.tokens[good.id] == engine.loop.generate([request([5, 6, 7], 20)], PLAIN).tokens
    for call in (long_prompt, long_output):
        assert "max_cache_tokens is 128" in owner.errors[call.id]
    assert blocks_are_back(engine.paged_model)


def test_at_most_max_running_sequences_share_a_pass(tiny_model):
    paged = tiny_model("llama").engine.paged_model
    requests = [request([5, 6, 7], 6) for _ in range(5)]
    narrow, wide = _C.DecodeLoop(paged, 64, max_running=2), _C.DecodeLoop(paged, 64)
    assert narrow.generate(requests, PLAIN).tokens == wide.generate(requests, PLAIN).tokens
    assert narrow.stats.steps == 18 > wide.stats.steps
    with pytest.raises(ValueError, match="max_running"):
        _C.DecodeLoop(paged, 64, max_running=0)


def test_cancelled_calls_end_at_once_and_leave_nothing(tiny_model):
    engine = tiny_model("llama").engine
    owner = Owner(engine.loop)
    endless = owner.submit([request([5, 6, 7], 10**6), request([9], 10**6)])
    other = owner.submit([request([5, 6], 30)])
    while not all(owner.tokens[endless.id]):
        owner.take()
    engine.loop.cancel(endless)
    owner.wait(endless, other)
    assert owner.reasons[endless.id, 0] == owner.reasons[endless.id, 1] == "CANCELLED"
    assert owner.reasons[other.id, 0] == "LENGTH"
    assert owner.errors == {endless.id: None, other.id: None}
    some = owner.tokens[endless.id][0]
    assert engine.loop.generate([request([5, 6, 7], len(some))], PLAIN).tokens[0] == some
    assert blocks_are_back(engine.paged_model)
    engine.loop.cancel(endless)  # of a call that has ended: nothing happens


def test_a_deadline_ends_a_call_with_its_tokens_so_far(tiny_model):
    engine = tiny_model("llama").engine
    owner = Owner(engine.loop)
    call = owner.submit([request([5, 6, 7], 10**6)], max_time=0.3)
    owner.wait(call)
    assert owner.reasons[call.id, 0] == "DEADLINE"
    assert owner.tokens[call.id][0]
    assert 0.3 <= owner.closed[call.id].total_seconds < 5
    assert blocks_are_back(engine.paged_model)


def test_callbacks_of_one_call_do_not_stall_another(tiny_model):
    """The first call is not answered before the second one has ended."""
    engine = tiny_model("llama").engine
    owner = Owner(engine.loop)
    asked = []
    slow = owner.submit([request([5, 6, 7], 5)], callbacks=True)
    while not asked:
        owner.take(asked.append)
    fast = owner.submit([request([8, 9], 40)])
    owner.wait(fast, answer=asked.append)
    assert len(asked) == 1
    assert owner.tokens[slow.id] == [[]]
    seen = []

    def process_logits(row, tokens, logits):
        seen.append(len(tokens))
        logits[:] = 0.0
        logits[30 + len(tokens)] = 1.0

    engine.loop.answer(asked[0], process_logits)
    owner.wait(slow, answer=lambda event: engine.loop.answer(event, process_logits))
    assert owner.tokens[slow.id] == [[33, 34, 35, 36, 37]]
    assert seen == [3, 4, 5, 6, 7]
    with pytest.raises(ValueError, match="answered before"):
        engine.loop.answer(asked[0], process_logits)


def test_an_exception_in_a_callback_cancels_its_call_only(tiny_model):
    engine = tiny_model("llama").engine
    owner = Owner(engine.loop)

    def fails(row, tokens):
        raise OSError("a callback that fails")

    def answer(event):
        with pytest.raises(OSError, match="that fails"):
            engine.loop.answer(event, None, fails)

    bad, good = owner.submit([request([5, 6], 9)], callbacks=True), owner.submit([request([5, 6], 9)])
    owner.wait(bad, good, answer=answer)
    assert owner.reasons[bad.id, 0] == "CANCELLED"
    assert len(owner.tokens[good.id][0]) == 9
    assert blocks_are_back(engine.paged_model)


def test_parameters_that_do_not_fit_are_an_error_of_their_call(tiny_model):
    engine = tiny_model("llama").engine
    owner = Owner(engine.loop)
    params = _C.SpeculationParams()
    params.proposers = [_C.ProposerParams("draft_model")]
    bad, good = owner.submit([request([5])], params), owner.submit([request([5])])
    owner.wait(bad, good)
    assert "needs a model" in owner.errors[bad.id]
    assert owner.errors[good.id] is None
    with pytest.raises(ValueError, match="empty"):
        owner.submit([request([])])


def test_a_loop_that_goes_away_fails_its_calls(tiny_model):
    paged = tiny_model("llama").engine.paged_model
    owner = Owner(_C.DecodeLoop(paged, 64))
    call = owner.submit([request([5, 6], 10**6)])
    which = call.id
    while not owner.tokens[which][0]:
        owner.take()
    del call
    owner.loop = None
    end = time.monotonic() + TIMEOUT
    while which not in owner.errors:
        assert time.monotonic() < end
        owner.take()
    assert "no longer there" in owner.errors[which]
    assert blocks_are_back(paged)


def test_logprobs_are_those_of_the_model(tiny_model):
    engine = tiny_model("llama").engine
    loop, paged = engine.loop, engine.paged_model
    owner = Owner(loop)
    call = owner.submit([request([5, 6, 7], 6, logprobs=3, logits=sampling())], lookup())
    owner.wait(call)
    tokens = owner.tokens[call.id][0]
    logits = _C.CachedSequence(paged).forward([5, 6, 7, *tokens])[2:-1]
    for row, token, (logprob, top) in zip(logits, tokens, owner.logprobs[call.id][0], strict=True):
        expected = row - _C.logits_stats(row).logsumexp
        assert logprob == pytest.approx(expected[token], abs=1e-4)
        assert [t for t, _ in top] == (-row).argsort(kind="stable")[:3].tolist()
        assert [p for _, p in top] == pytest.approx(sorted(expected, reverse=True)[:3], abs=1e-4)


def test_a_full_cache_of_a_draft_model_fails_nobody(tiny_model, small_cache):
    target, draft = tiny_model("llama").engine, small_cache(64)
    params = _C.SpeculationParams()
    params.proposers = [_C.ProposerParams("draft_model", model=draft.paged_model)]
    params.lookahead, params.num_assistant_tokens = "constant", 3
    requests = [request([5 + i, 6, 7], 100) for i in range(4)]
    plain = [target.loop.generate([one], PLAIN).tokens[0] for one in requests]
    owner = Owner(target.loop)
    calls = [owner.submit([one], speculation) for one in requests for speculation in (params, PLAIN)]
    owner.wait(*calls)
    assert set(owner.errors.values()) == {None}
    assert [owner.tokens[call.id][0] for call in calls[::2]] == plain
    assert [owner.tokens[call.id][0] for call in calls[1::2]] == plain
    assert sum(owner.closed[call.id].proposers[0].accepted for call in calls[::2]) > 0
    assert blocks_are_back(draft.paged_model)


def test_what_a_model_drafts_with_is_waited_for(tiny_model, small_cache):
    """The cache of a draft model, which also serves requests of its own, is held by the drafts for another."""
    target, draft = tiny_model("llama").engine, small_cache(128)
    params = _C.SpeculationParams()
    params.proposers = [_C.ProposerParams("draft_model", model=draft.paged_model)]
    params.lookahead, params.num_assistant_tokens = "constant", 3
    drafted, owner = Owner(target.loop), Owner(draft.loop)
    first = drafted.submit([request([5] * 40, 300)], params)
    while not drafted.tokens[first.id][0]:
        drafted.take()
    own = owner.submit([request([6] * 90, 8)])
    drafted.wait(first)
    owner.wait(own)
    assert owner.errors[own.id] is None
    assert drafted.errors[first.id] is None


def test_a_loop_that_ends_at_once_leaves_nothing(tiny_model):
    paged = tiny_model("llama").engine.paged_model
    outbox = _C.Outbox()
    for _ in range(20):
        loop = _C.DecodeLoop(paged, 64)
        loop.submit([request([5, 6, 7], 10**6)], PLAIN, outbox)
        del loop
    assert blocks_are_back(paged)
    assert all(event.error for event in outbox.take(1.0) if event.kind == _C.Event.Kind.CLOSED)


# ---- prefix cache ------------------------------------------------------------------------------------------------


def test_a_known_prefix_is_not_run_again(small_cache):
    plain, cached = small_cache(4096), small_cache(4096, prefixes=True)
    block = cached.paged_model.block_size
    system = [7 + i % 50 for i in range(3 * block)]
    for number, question in enumerate(([5, 6, 7], [8, 9], [5, 6, 7], [])):
        one = [request([*system, *question], 9)]
        expected, rows = plain.loop.generate(one, lookup()), cached.paged_model.rows_run[0]
        result = cached.loop.generate(one, lookup())
        assert result.tokens == expected.tokens
        # The last token of a prompt always runs.
        known = 0 if number == 0 else (3 * block if question else 2 * block)
        assert result.stats.cached_tokens == known
        assert (cached.paged_model.rows_run[0] - rows < 3 * block) == (number > 0)
    assert cached.loop.stats.prefix_hits == 8 * block
    assert plain.loop.stats.prefix_hits == plain.loop.stats.prefix_queries == 0
    assert blocks_are_back(cached.paged_model)


def test_the_answer_is_part_of_the_next_prompt(small_cache):
    engine = small_cache(4096, prefixes=True)
    prompt = [5, 6, 7]
    tokens = engine.loop.generate([request(prompt, 100)], PLAIN).tokens[0]
    block = engine.paged_model.block_size
    result = engine.loop.generate([request([*prompt, *tokens, 9], 4)], PLAIN)
    # The last token of the answer was never an input.
    assert result.stats.cached_tokens == 102 // block * block


def test_another_salt_shares_nothing(small_cache):
    engine = small_cache(4096, prefixes=True)
    prompt = [5 + i % 40 for i in range(100)]

    def cached(**fields):
        return engine.loop.generate([request(prompt, 4, **fields)], PLAIN).stats.cached_tokens

    assert cached(cache_salt="one") == 0
    assert cached(cache_salt="two") == cached() == 0
    assert cached(cache_salt="one") == cached(cache_salt="two") == cached() > 0


@pytest.mark.parametrize("tokens", [192, 4096])
def test_prefixes_change_no_token_with_any_room(tokens, small_cache):
    """Requests with common beginnings come at once and one after the other, and blocks are given up meanwhile."""
    plain, cached = small_cache(4096), small_cache(tokens, prefixes=True)
    draw = random.Random(2)
    beginnings = [[draw.randrange(5, 60) for _ in range(80)] for _ in range(3)]
    for _ in range(6):
        requests = []
        for _ in range(5):
            beginning = draw.choice(beginnings)[: draw.randint(1, 80)]
            question = [draw.randrange(5, 60) for _ in range(draw.randint(1, 20))]
            requests.append(request(beginning + question, draw.randint(1, 30)))
        assert cached.loop.generate(requests, lookup()).tokens == plain.loop.generate(requests, PLAIN).tokens
    assert cached.loop.stats.prefix_hits > 0
    assert blocks_are_back(cached.paged_model)


@pytest.mark.parametrize("weight_format", ["int8", "int4"])
def test_in_exact_mode_a_known_prefix_changes_no_bit(weight_format, tiny_model):
    """Sampling at a high temperature shows differences that greedy tokens hide; so do log probabilities."""
    model = tiny_model("llama", weight_format)
    prompt = [5 + i % 40 for i in range(90)]
    seen = []
    engine = model._make_engine()
    owner = Owner(engine.loop)
    for number in range(3):
        if number == 1:
            engine.paged_model.keep_prefixes(4096)
        call = owner.submit([request(prompt, 12, logprobs=5, logits=sampling(), seed=3)], lookup())
        owner.wait(call)
        seen.append((owner.tokens[call.id][0], owner.logprobs[call.id][0]))
    assert len(seen[0][1]) == len(seen[0][0]) == 12
    # The third one found what the second one left.
    assert owner.closed[call.id].cached_tokens > 0
    assert seen[0] == seen[1] == seen[2]
