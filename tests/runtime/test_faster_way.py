"""The faster of two ways is taken for each size, and a change is noticed."""

import pytest

from optimum_dynexec.runtime.faster_way import FIRST_CALLS, RETRY, FasterWay


def run(way, size, calls, first_seconds, second_seconds):
    """Makes calls, and gives the number of calls that took the first way."""
    taken = 0
    for _ in range(calls):
        first = way.takes_first(size)
        taken += first
        way.saw(size, first, first_seconds if first else second_seconds)
    return taken


@pytest.mark.parametrize(("first_seconds", "second_seconds"), [(1.0, 2.0), (2.0, 1.0)])
def test_the_slower_way_costs_little(first_seconds, second_seconds):
    way, calls = FasterWay(), 10 * RETRY
    taken = run(way, 32, calls, first_seconds, second_seconds)
    slower = calls - taken if first_seconds < second_seconds else taken
    assert FIRST_CALLS < slower <= FIRST_CALLS + calls // RETRY


def test_each_size_has_its_own_choice():
    way = FasterWay()
    run(way, 8, 20, 1.0, 2.0)
    run(way, 256, 20, 2.0, 1.0)
    assert way.takes_first(8)
    assert way.takes_first(9)
    assert not way.takes_first(256)
    assert str(way).splitlines()[0] == "size 8: the second way takes 2.00 x the time of the first"


def test_a_change_is_noticed():
    way = FasterWay()
    assert run(way, 32, 100, 2.0, 1.0) < 10
    # The inputs have changed: now samples leave early.
    run(way, 32, 20 * RETRY, 0.2, 1.0)
    assert run(way, 32, RETRY - 1, 0.2, 1.0) >= RETRY - 2


def test_the_first_call_of_a_size_does_not_count():
    way = FasterWay()
    assert way.takes_first(32)
    way.saw(32, True, 100.0)
    assert run(way, 32, 20, 1.0, 2.0) >= 16
