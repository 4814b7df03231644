"""A rate that something is taken from afterwards: what was used shows, also beyond what there was."""

import re

from gateway.flows.rates import REMEMBERED, Rate


def test_what_is_spent_beyond_the_limit_is_owed() -> None:
    rate = Rate("cpu", 10, 3600, "cpu-seconds")
    assert rate.until_some("a") == 0.0
    rate.spend("a", 9.5)
    assert rate.until_some("a") == 0.0
    rate.spend("a", 2.5)
    assert 715 <= rate.until_some("a") <= 720  # two owed seconds, one in six minutes
    assert rate.until_some("b") == 0.0


def test_headers_say_what_is_left_and_when_all_of_it_is_back() -> None:
    rate = Rate("cpu", 10.5, 3600, "cpu-seconds")
    rate.spend("a", 0.5)
    policy, state = (value.decode() for _, value in rate.headers("a"))
    assert policy == '"cpu";q=10;w=3600;qu="cpu-seconds"'
    left, back = map(int, re.fullmatch(r'"cpu";r=(\d+);t=(\d+)', state).groups())  # type: ignore[union-attr]
    assert (left, 171 <= back <= 172) == (10, True)
    rate.spend("a", 100)
    assert b";r=0;" in rate.headers("a")[1][1]


def test_no_limit_counts_nothing_and_says_nothing() -> None:
    rate = Rate("cpu", 0, 3600)
    rate.spend("a", 1000)
    assert (rate.until_some("a"), rate.headers("a"), rate.wait("a")) == (0.0, (), 0.0)


def test_only_so_many_are_remembered_the_last_seen_longest() -> None:
    rate = Rate("things", 5, 3600)
    for i in range(REMEMBERED):
        rate.spend(str(i), 6)
    rate.spend("0", 0)
    rate.spend("another", 6)
    assert rate.until_some("1") == 0.0  # forgotten
    assert rate.until_some("0") > 0.0
