"""Names that were nearly right are told, where looking for them takes no longer than a refusal may."""

import difflib

import pytest

from gateway.domain.models import DID_YOU_MEAN_CHARACTERS, DID_YOU_MEAN_NAMES, did_you_mean


def test_a_near_name_is_told_up_to_two_thousand_names_and_not_beyond() -> None:
    names = [f"other_{i}" for i in range(DID_YOU_MEAN_NAMES - 1)]
    assert DID_YOU_MEAN_NAMES == 2000  # CONTRACT
    assert did_you_mean("velocty", [*names, "velocity"]) == "velocity"
    assert did_you_mean("velocty", [*names, "one_more", "velocity"]) is None


def test_no_more_names_are_looked_at_than_may_be_searched() -> None:
    names = iter([f"other_{i}" for i in range(3 * DID_YOU_MEAN_NAMES)])
    assert did_you_mean("velocty", names) is None
    assert next(names) == f"other_{DID_YOU_MEAN_NAMES + 1}"


def test_names_that_are_too_long_to_search_all_of_them_are_not_searched() -> None:
    long = "ab" * 500
    few = [long] * (DID_YOU_MEAN_CHARACTERS // len(long) - 1)
    assert did_you_mean("velocty", [*few, "velocity"]) == "velocity"
    assert did_you_mean("velocty", [*few, long, "velocity"]) is None


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("massA.flange_b.f", "mass1.flange_b.f"), ("MASS1.S", "mass1.s"), ("mass1.acc", "mass1.a"),
        ("spring.c_", "spring.c"), ("speed", "speed1"), ("velocity_max", "v_max"), ("torque[2]", "torque[1]"),
        ("qkjw", None), ("", None),
    ],
)  # fmt: skip
def test_what_is_told_is_what_was_told_when_difflib_looked_for_it(word: str, near: str | None) -> None:
    names = ["mass1.flange_a.f", "mass1.flange_b.f", "mass1.s", "mass1.a", "spring.c", "speed1", "v_max", "torque[1]"]
    assert did_you_mean(word, names) == near
    folded = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    assert folded == ([near] if near else [])
