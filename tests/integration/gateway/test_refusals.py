"""Typing errors in every field: 422 before any price, with the field and what was meant, and nothing happened."""

from typing import Any

import httpx
import pytest
from harness import BALL, Gateway, problem

from gateway.errors import every_problem
from gateway.web.pages.views import GROUPS_ONLY

SIGNAL = {"name": "u", "t": [0, 1], "u": [0, 5]}
# What is wrong with a request for test:Types → the field that is named, what was probably meant
WRONG: list[tuple[dict[str, Any], str, str | None]] = [
    ({"fmu": "x"}, "fmu", "fmu_id"),
    ({"stoptime": 1}, "stoptime", "stop_time"),
    ({"Step": 1}, "Step", "step"),
    ({"start_time": "0"}, "start_time", None),
    ({"stop_time": [1]}, "stop_time", None),
    ({"step": True}, "step", None),
    ({"stop_time": 0}, "stop_time", None),
    ({"start_time": 2}, "stop_time", None),
    ({"step": 0}, "step", None),
    ({"step": -1}, "step", None),
    ({"step": 1e-7}, "step", None),
    ({"start_values": {"gian": 1}}, "start_values.gian", "gain"),
    ({"start_values": {"gain": "1"}}, "start_values.gain", None),
    ({"start_values": {"gain": 11}}, "start_values.gain", None),
    ({"start_values": {"mode": "Of"}}, "start_values.mode", "Off"),
    ({"start_values": [1]}, "start_values", None),
    ({"start_values": {"weights": [1]}}, "start_values.weights", None),
    ({"input_signals": [{**SIGNAL, "name": "U"}]}, "input_signals.0.name", "u"),
    ({"input_signals": {}}, "input_signals", None),
    ({"input_signals": [{**SIGNAL, "values": []}]}, "input_signals.0.values", None),
    ({"input_signals": [{**SIGNAL, "tt": []}]}, "input_signals.0.tt", "t"),
    ({"input_signals": [{**SIGNAL, "t": [1, 0]}]}, "input_signals.0.t", None),
    ({"input_signals": [{**SIGNAL, "u": [0, 101]}]}, "input_signals.0.u", None),
    ({"outputs": ["Y"]}, "outputs.0", "y"),
    ({"outputs": "y"}, "outputs", None),
    ({"outputs": ["y", "y"]}, "outputs.1", None),
    ({"kpis": ["y:maximum"]}, "kpis.0", "y:max"),
    ({"kpis": ["Y:max"]}, "kpis.0", "y:max"),
    ({"kpis": [1]}, "kpis.0", None),
    ({"payment_token": 1}, "payment_token", None),
    ({"quote_only": "yes"}, "quote_only", None),
    ({"quote_only": 1}, "quote_only", None),
    ({"max_price": 1}, "max_price", None),
    ({"max_price": "cheap"}, "max_price", None),
    ({"max_pric": "1"}, "max_pric", "max_price"),
]
RAW = [
    (b"", "fmu_id"),
    (b"{", "body"),
    (b"[]", "body"),
    (b'"x"', "body"),
    (b"\xff", "body"),
    (b"null", "body"),
    (b'{"fmu_id": "test:Types", "step": NaN}', "step"),
    (b'{"fmu_id": "test:Types", "step": Infinity}', "step"),
    (b'{"fmu_id": "test:Types", "stop_time": 1e400}', "stop_time"),
    (b'{"fmu_id": "test:Types", "start_values": {"gain": 1e400}}', "start_values.gain"),
    (b'{"fmu_id": "test:Types", "start_values": {"gain": NaN}}', "start_values.gain"),
    (
        b'{"fmu_id": "test:Types", "input_signals": [{"name": "u", "t": [0, -Infinity], "u": [0, 0]}]}',
        "input_signals.0.t.1",
    ),
    (b'{"fmu_id": 1}', "fmu_id"),
    (b'{"fmu_id": null}', "fmu_id"),
    (b'{"fmu_id": "\\ud800"}', "body"),
    (b"[" * 9999, "body"),
]


@pytest.fixture
def nothing_happens(gateway: Gateway) -> Any:
    """The local Stripe sees no call and no byte of the database changes."""
    before = gateway.bytes_on_disk()
    gateway.stripe.reset_calls()
    yield
    assert gateway.stripe.calls() == []
    assert gateway.bytes_on_disk() == before


def refused(answer: httpx.Response, field: str, near: str | None) -> None:
    said = problem(answer, 422, "invalid_request")
    assert said["field"] == field, said
    assert near is None or said["did_you_mean"] == near, said
    for priced in ("amount", "checkout_url", "session_id"):
        assert priced not in said


@pytest.mark.usefixtures("nothing_happens")
def test_a_typing_error_in_any_field_is_named_and_nothing_happens(gateway: Gateway) -> None:
    for wrong, field, near in WRONG:
        refused(gateway.simulate({"fmu_id": "test:Types", **wrong}), field, near)


@pytest.mark.usefixtures("nothing_happens")
def test_bytes_that_are_no_request_are_refused_and_nothing_happens(gateway: Gateway) -> None:
    for raw, field in RAW:
        refused(gateway.simulate(raw), field, None)


@pytest.mark.usefixtures("nothing_happens")
@pytest.mark.parametrize(
    ("query", "field", "near"),
    [("quoteonly=1", "quoteonly", "quote_only"), ("quote_only=maybe", "quote_only", None), ("x", "x", None)],
)
def test_an_unknown_query_parameter_is_named(gateway: Gateway, query: str, field: str, near: str | None) -> None:
    refused(gateway.http.post(f"/simulate?{query}", json=BALL), field, near)


def test_a_typing_error_with_a_token_spends_nothing(gateway: Gateway) -> None:
    token = gateway.buy().token
    for wrong in ({"stop_tme": 1}, {"outputs": ["hh"]}, {"step": 0}, {"start_values": {"e": 9}}):
        problem(gateway.simulate({**BALL, **wrong}, token), 422, "invalid_request")
    refused(gateway.simulate(BALL, token, headers={"idempotency-key": "x" * 256}), "Idempotency-Key", None)
    refused(gateway.simulate(BALL, token, headers={"idempotency-key": ""}), "Idempotency-Key", None)
    assert gateway.simulate(BALL, token).status_code == 200


@pytest.mark.parametrize("path", ["/library/", "/payments/checkout/fms_x/", "/checkout/fmq_x/", "/runs/x/"])
def test_a_slash_too_many_leads_nowhere_that_the_host_header_names(gateway: Gateway, path: str) -> None:
    answer = gateway.http.get(path, headers={"host": "evil.example"})
    problem(answer, 404, "not_found")
    assert "location" not in answer.headers


@pytest.mark.usefixtures("nothing_happens")
def test_a_model_that_is_not_there_is_404_with_its_likely_name(gateway: Gateway) -> None:
    for headers in ({}, {"payment-token": "fmt_forged"}):
        said = problem(gateway.simulate({"fmu_id": "msl:BouncingBal"}, headers=headers), 404, "model_not_found")
        assert (said["field"], said["did_you_mean"]) == ("fmu_id", "msl:BouncingBall")
    for path in ("/fmus/x", "/fmus/x/variables", "/fmus/x/inputs.csv"):
        problem(gateway.get(path), 404, "model_not_found")
    problem(gateway.get("/nowhere"), 404, "not_found")
    answer = gateway.get("/simulate")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_a_body_over_the_limit_is_413_whether_its_length_is_told_or_not(gateway: Gateway) -> None:
    large = b'{"fmu_id": "' + b"x" * (1 << 20) + b'"}'
    problem(gateway.simulate(large), 413, "body_too_large")
    problem(gateway.http.post("/simulate", content=iter([large[:1000], large[1000:]])), 413, "body_too_large")
    problem(gateway.http.post("/keys", content=large), 413, "body_too_large")
    problem(gateway.http.post("/webhooks/stripe", content=large * 2), 413, "body_too_large")


def test_a_field_that_is_null_is_a_field_left_out(gateway: Gateway) -> None:
    nothing = dict.fromkeys(("start_time", "stop_time", "step", "start_values", "outputs", "kpis", "max_price"))
    assert gateway.quote({"fmu_id": "test:Types", **nothing, "payment_token": None, "input_signals": None})


@pytest.mark.parametrize("code", sorted(set(every_problem()) - GROUPS_ONLY))
def test_the_type_of_every_problem_is_a_page(gateway: Gateway, code: str) -> None:
    answer = gateway.get(f"/problems/{code}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_a_browser_gets_a_refusal_as_a_page(gateway: Gateway) -> None:
    answer = gateway.get("/fmus/x", headers={"accept": "text/html,application/xhtml+xml"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/library", "/health", "/ready", "/openapi.json", "/llms.txt", "/nowhere", "/problems",
             "/payments/cancelled", "/static/site.css", "/runs/x", "/checkout/x"],
)  # fmt: skip
def test_every_answer_carries_the_security_headers_and_an_id(gateway: Gateway, path: str) -> None:
    for answer in (gateway.get(path), gateway.http.post(path), gateway.http.head(path)):
        assert answer.headers["content-security-policy"] == "default-src 'self'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert len(answer.headers["x-request-id"]) == 16
        assert "server" not in answer.headers
    assert gateway.quote()
