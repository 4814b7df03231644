"""Bodies that are too large, too slow or never end, byte by byte; and what follows them on the same connection."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from harness import PATIENCE, Gateway, problem, until

from gateway.web import edge, receive, requests

HEAD = b"POST /simulate HTTP/1.1\r\nHost: x\r\n"
NEXT = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
QUOTE = b'{"fmu_id": "msl:BouncingBall"}'


@contextmanager
def connected(gateway: Gateway) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", gateway.settings.port), timeout=PATIENCE) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """What comes until the gateway closes the connection."""
    said = b""
    while more := connection.recv(1 << 16):
        said += more
    return said


def send_until(connection: socket.socket, chunk: bytes, end: float) -> None:
    while time.monotonic() < end:
        connection.sendall(chunk)


def only_problem(said: bytes, status: int, code: str) -> dict[str, Any]:
    """One answer is there, whole, and announces that nothing follows."""
    head, _, body = said.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0].startswith(b"http/1.1 %d " % status), said
    assert b"connection: close" in lines
    assert b"content-length: %d" % len(body) in lines
    found: dict[str, Any] = json.loads(body)
    assert found["code"] == code
    return found


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_a_length_beyond_the_limit_is_refused_before_the_body_is_sent(gateway: Gateway, expect: bytes) -> None:
    with connected(gateway) as connection:
        connection.sendall(HEAD + expect + b"Content-Length: 1048577\r\n\r\n")
        said = connection.recv(1 << 16)
        connection.shutdown(socket.SHUT_WR)
        only_problem(said + everything(connection), 413, "body_too_large")


def test_who_sends_all_of_it_before_reading_gets_the_answer(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "LINGER_SECONDS", PATIENCE)
    size = 20 << 20  # more than the kernel keeps for both
    with connected(gateway) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        connection.sendall(bytes(size))
        connection.shutdown(socket.SHUT_WR)
        only_problem(everything(connection), 413, "body_too_large")


def test_what_follows_a_body_that_was_refused_is_not_answered(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "LINGER_SECONDS", 0.3)
    body = bytes((1 << 20) + 1)
    with connected(gateway) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body + NEXT)
        only_problem(everything(connection), 413, "body_too_large")


def test_a_body_without_end_is_not_read_for_ever(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "LINGER_SECONDS", 0.1)
    chunk = b"%x\r\n" % (1 << 20) + bytes(1 << 20) + b"\r\n"
    with connected(gateway) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(ConnectionError):
            send_until(connection, chunk, time.monotonic() + PATIENCE)


@pytest.mark.parametrize("sent", [b"", QUOTE[:5]])
def test_a_body_that_stays_away_is_408_and_the_end_of_its_connection(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(requests, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(edge, "LINGER_SECONDS", 0.1)
    for path in (b"/simulate", b"/pay", b"/keys", b"/webhooks/stripe"):
        with connected(gateway) as connection:
            connection.sendall(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path, len(QUOTE)) + sent)
            only_problem(everything(connection), 408, "body_too_slow")


def test_an_upload_that_stays_away_is_408_and_gives_its_place_back(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = gateway.http.post("/keys").json()["api_key"].encode()
    monkeypatch.setattr(receive, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(edge, "LINGER_SECONDS", 0.1)
    with connected(gateway) as connection:
        connection.sendall(b"POST /fmus HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\nContent-Length: 1000\r\n\r\nPK" % key)
        only_problem(everything(connection), 408, "body_too_slow")
    until(lambda: gateway.services.receiving == 0, "the place of the upload")


def test_a_body_in_two_parts_and_the_request_behind_it_are_answered_each(gateway: Gateway) -> None:
    with connected(gateway) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(QUOTE))
        time.sleep(0.05)
        connection.sendall(QUOTE[:9])
        time.sleep(0.05)
        connection.sendall(QUOTE[9:] + NEXT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        said = everything(connection)
    assert said.count(b"HTTP/1.1 402 ") == said.count(b"HTTP/1.1 200 ") == 1


@pytest.mark.parametrize(
    ("method", "path", "near"),
    [
        ("GET", "/library?qurey=ball", "query"),
        ("GET", "/fmus/msl:BouncingBall?causality=input", None),
        ("GET", "/fmus/msl:BouncingBall/variables?causalty=input", "causality"),
        ("GET", "/fmus/msl:BouncingBall/inputs.csv?rows=5", None),
        ("GET", "/payments/checkout/fms_x?wiat=25", "wait"),
        ("GET", "/runs/x?outputs=h", None),
        ("GET", "/runs/x/events?since=1", None),
        ("GET", "/runs/x/result.csv?columns=h", None),
        ("GET", "/runs/x/plot.svg?columns=h", None),
        ("GET", "/ledger?until=2026-11-21", None),
        ("POST", "/pay?fmu_id=msl:BouncingBall", None),
        ("POST", "/keys?name=me", None),
        ("POST", "/fmus?name=me", None),
        ("DELETE", "/fmus/x?dry_run=1", None),
        ("DELETE", "/runs/x?dry_run", None),
        ("DELETE", "/keys/x?dry_run=1", None),
    ],
)
def test_a_query_parameter_that_there_is_not_is_named(
    gateway: Gateway, method: str, path: str, near: str | None
) -> None:
    said = problem(gateway.http.request(method, path), 422, "invalid_request")
    assert said["field"] == path.partition("?")[2].partition("=")[0]
    assert said.get("did_you_mean") == near


def test_pages_and_what_watches_ignore_what_others_hang_on_to_a_link(gateway: Gateway) -> None:
    for path in ("/", "/docs", "/health", "/ready", "/openapi.json", "/llms.txt", "/problems", "/payments/cancelled"):
        assert gateway.get(f"{path}?utm_source=mail").status_code == 200
    checkout_url = gateway.quote()["checkout_url"]
    assert gateway.get(f"{checkout_url}?utm_source=mail").status_code == 303


def test_an_answer_repeats_only_so_much_of_what_was_asked(gateway: Gateway) -> None:
    long = "x" * 8000
    answers = [
        gateway.get(f"/fmus/{long}"),
        gateway.get(f"/fmus/{long}/variables"),
        gateway.get(f"/problems/{long}"),
        gateway.get(f"/library?{long}"),
        gateway.get(f"/runs/{long}"),
        gateway.http.delete(f"/fmus/{long}"),
        gateway.simulate({"fmu_id": long}),
        gateway.simulate({long: 1}),
        gateway.http.post(f"/simulate?{long}", json={"fmu_id": "msl:BouncingBall"}),
        gateway.http.post("/pay", json={"fmu_id": long}),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        assert len(answer.content) < 1000, answer.text[:2000]


def test_a_key_is_read_where_the_contract_has_one_and_nowhere_else(gateway: Gateway) -> None:
    paths = gateway.get("/openapi.json").json()["paths"]
    keyless = {path for path, operations in paths.items() if operations.get("get", {}).get("security") == []}
    assert {"/health", "/ready", "/problems", "/checkout/{quote}", "/openapi.json"} <= keyless
    wrong = {"x-api-key": "fmk_wrong", "authorization": "Basic of-a-proxy-in-front"}
    for path in keyless:
        assert gateway.get(path, headers=wrong).status_code != 401, path
    keyed = {
        path for path, operations in paths.items() if {"apiKey": []} in operations.get("get", {}).get("security", [])
    }
    assert "/library" in keyed
    for path in keyed:
        problem(gateway.get(path, headers=wrong), 401, "key_refused")
