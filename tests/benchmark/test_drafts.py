"""The simulation of drafts: what it computes for answers whose right tokens are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.drafts import Costs, Recorded, best, fixed, seconds_of, table, until
from benchmarks.questions import hash_questions, load_questions
from benchmarks.repeated import traffic


COSTS = Costs([(1, 1.0), (2, 1.1), (4, 1.3), (8, 1.7), (16, 3.0)], 0.1)


def recorded(right, probability=None):
    return Recorded(np.array(right, bool), np.array(probability if probability else [0.5] * len(right), np.float32))


def test_plain_decoding_takes_a_pass_for_each_token():
    assert seconds_of(recorded([1, 0, 1]), fixed(0), COSTS) == 3.0


def test_a_right_draft_saves_its_passes():
    # Four tokens in two passes: a draft of one token and its own, twice.
    assert seconds_of(recorded([1, 1, 1, 1]), fixed(1), COSTS) == pytest.approx(2 * (1.1 + 0.1))
    # The last token is never drafted, and a wrong draft costs a pass of two rows.
    assert seconds_of(recorded([0, 0]), fixed(1), COSTS) == pytest.approx(1.2 + 1.0)


def test_a_draft_ends_after_an_improbable_token():
    text = recorded([1, 1, 1, 1, 1], [0.9, 0.3, 0.9, 0.9, 0.9])
    assert until(0.5)(text, 0) == 2
    assert until(0.5)(text, 2) == 8
    assert until(0.1)(text, 0) == 8


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.floats(0.0, 0.5), st.integers(0, 8))
def test_no_rule_is_faster_than_the_best_by_much(right, draft, length):
    costs = Costs(COSTS.passes, draft)
    text = recorded(right)
    # It takes the best step each time, which can be a little worse in sum.
    assert seconds_of(text, best(costs), costs) <= 1.1 * seconds_of(text, fixed(length), costs) + 1e-9


def test_the_table_names_each_group():
    found = table({"chat": [recorded([1, 1, 0, 1])], "overall": [recorded([1, 1, 0, 1])]}, COSTS)
    assert "agreement" in found
    assert "0.750" in found
    assert "best possible" in found


def test_near_copies_come_after_what_they_copy():
    requests = traffic([f"question {i}" for i in range(10)], seed=3)
    assert len(requests) == 20
    seen = set()
    for request in requests:
        assert request.is_copy == (request.text.removesuffix("\n\nThank you!") in seen)
        assert request.is_copy == request.text.endswith("Thank you!")
        seen.add(request.text)
    assert [r.text for r in requests] != [r.text for r in traffic([f"question {i}" for i in range(10)], seed=4)]


def test_the_open_questions_are_there_without_a_file():
    questions = load_questions("open", 40)
    assert len({question.text for question in questions}) == 40
    assert hash_questions("open") != hash_questions("code-editing")
