"""Stripe's form encoding and its checks, one parameter at a time."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stripe_stub.errors import Invalid
from stripe_stub.forms import Bool, Enum, Fields, Int, List, Map, Range, Str, decode, merge_metadata


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("a=1&b=x+y%26", {"a": "1", "b": "x y&"}),
        ("a[b][c]=1&a[b][d]=2", {"a": {"b": {"c": "1", "d": "2"}}}),
        ("a[]=x&a[]=y", {"a": ["x", "y"]}),
        ("a[1]=y&a[0]=x", {"a": ["x", "y"]}),
        ("a[0][b]=x&a[0][c]=y&a[1][b]=z", {"a": [{"b": "x", "c": "y"}, {"b": "z"}]}),
        ("a=", {"a": ""}),
        ("a=1&a=2", {"a": "2"}),
    ],
)
def test_the_form_encoding_becomes_a_tree(text: str, value: Any) -> None:
    assert decode(text) == value


@pytest.mark.parametrize("text", ["a=1&a[b]=2", "a[b]=2&a=1", "a[b]=1&a[b][c]=2"])
def test_a_name_is_a_value_or_a_group_not_both(text: str) -> None:
    with pytest.raises(Invalid):
        decode(text)


@given(st.text())
def test_no_text_breaks_the_decoder(text: str) -> None:
    with suppress(Invalid):
        assert isinstance(decode(text), dict)


@pytest.mark.parametrize(
    ("spec", "raw", "value"),
    [
        (Str(), "x", "x"),
        (Str(unset=True), "", ""),
        (Int(), "-12", -12),
        (Bool(), "true", True),
        (Bool(), "false", False),
        (Enum(("a", "b")), "b", "b"),
        (Map(), {"a": "1"}, {"a": "1"}),
        (Map(), ["x"], {"0": "x"}),
        (Map(), "", ""),
        (List(Int()), ["1", "2"], [1, 2]),
        (List(Int()), "", []),
        (Range(), "5", {"gte": 5, "lte": 5}),
        (Range(), {"gt": "1", "lte": "2"}, {"gt": 1, "lte": 2}),
    ],
)
def test_what_fits_is_taken(spec: Any, raw: Any, value: Any) -> None:
    assert spec.parse(raw, "p") == value


@pytest.mark.parametrize(
    ("spec", "raw", "code", "param"),
    [
        (Str(), "", "parameter_invalid_empty", "p"),
        (Str(3), "abcd", None, "p"),
        (Str(), ["x"], None, "p"),
        (Int(), "1.0", "parameter_invalid_integer", "p"),
        (Int(), "", "parameter_invalid_integer", "p"),
        (Int(), "9" * 19, "parameter_invalid_integer", "p"),
        (Int(5), "4", "parameter_invalid_integer", "p"),
        (Int(most=5), "6", "parameter_invalid_integer", "p"),
        (Bool(), "yes", None, "p"),
        (Enum(("a",)), "z", None, "p"),
        (Enum(("a",), ("later",)), "later", "local_stripe_unsupported", "p=later"),
        (Map(), "x", None, "p"),
        (Map(), {str(n): "1" for n in range(51)}, None, "p"),
        (Map(), {"a": {"b": "1"}}, None, "p[a]"),
        (List(Int()), ["1", "x"], "parameter_invalid_integer", "p[1]"),
        (List(Int(), 1), ["1", "2"], None, "p"),
        (List(Int()), {"a": "1"}, None, "p"),
        (Range(), {"since": "1"}, "parameter_unknown", "p[since]"),
        (Fields({"a": Str()}), {"b": "1", "c": "1"}, "parameter_unknown", "p[b]"),
        (Fields({"a": Str()}, need=("a",)), {}, "parameter_missing", "p[a]"),
        (Fields({}), "x", None, "p"),
    ],
)
def test_what_does_not_fit_names_its_place(spec: Any, raw: Any, code: str | None, param: str) -> None:
    with pytest.raises(Invalid) as refused:
        spec.parse(raw, "p")
    assert (refused.value.code, refused.value.param, refused.value.validation) == (code, param, True)


def test_metadata_is_merged_and_an_empty_value_takes_away() -> None:
    assert merge_metadata({"a": "1", "b": "2"}, {"b": "", "c": "3"}) == {"a": "1", "c": "3"}
    assert merge_metadata({"a": "1"}, "") == {}
    assert merge_metadata(None, {"a": "1"}) == {"a": "1"}
