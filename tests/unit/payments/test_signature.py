"""A webhook's signature: nothing of Stripe's is believed before it was checked."""

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import WebhookRefused
from gateway.payments.webhook import verify

SECRET = "whsec_test"
NOW = 1_800_000_000
EVENT = {"id": "evt_1", "type": "a.b", "livemode": False, "data": {"object": {"id": "cs_1"}}}
BODY = json.dumps(EVENT).encode()


def sign(body: bytes, at: int = NOW, secret: str = SECRET) -> str:
    """As docs.stripe.com/webhooks/signature says, by our own hand."""
    return f"t={at},v1={hmac.new(secret.encode(), f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}"


@pytest.mark.parametrize("age", [0, 299, 300, -60])
def test_a_right_signature_is_taken(age: int) -> None:
    event = verify(BODY, sign(BODY, NOW - age), SECRET, now=NOW)
    assert (event.id, event.type, event.object_id, event.livemode) == ("evt_1", "a.b", "cs_1", False)


@pytest.mark.parametrize("age", [301, 3600, -61, -3600, 10**9])
def test_a_signature_of_another_time_is_refused(age: int) -> None:
    with pytest.raises(WebhookRefused):
        verify(BODY, sign(BODY, NOW - age), SECRET, now=NOW)


@pytest.mark.parametrize(
    "signature",
    [None, "", "t=1", "v1=00", f"t={NOW},v1=", f"t={NOW},v0=" + "0" * 64, "t=abc,v1=00", "nonsense", "=,=",
     sign(BODY, secret="whsec_other"), sign(BODY + b" "), sign(BODY).replace("v1=", "v0="), f"t=,{sign(BODY)[2:]}",
     f"{sign(BODY, NOW - 3600)},t={NOW}", f"t={NOW},{sign(BODY, NOW - 3600)}", f" {sign(BODY)}", "é" + sign(BODY)],
)  # fmt: skip
def test_a_wrong_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(WebhookRefused):
        verify(BODY, signature, SECRET, now=NOW)


def test_one_right_signature_among_several_is_enough() -> None:
    """While Stripe rolls a secret it signs with both."""
    both = f"{sign(BODY)},v1={'0' * 64}"
    assert verify(BODY, both, SECRET, now=NOW).id == "evt_1"


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_no_byte_of_the_body_can_be_altered(i: int, by: int) -> None:
    altered = BODY[:i] + bytes([BODY[i] ^ by]) + BODY[i + 1 :]
    with pytest.raises(WebhookRefused):
        verify(altered, sign(BODY), SECRET, now=NOW)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"id": "x"}', b"\xff", b"{", b'{"id":"e","type":"t","livemode":false,"data":{}}',
     b'{"id":"e","type":"t","livemode":false,"data":{"object":3}}', b'{"id":"e","type":"t","data":{"object":{}}}'],
)  # fmt: skip
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        verify(body, sign(body), SECRET, now=NOW)
