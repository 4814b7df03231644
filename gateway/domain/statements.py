"""Signed statements: four kinds, each with its own salt and prefix, none accepted in place of another."""

import copy
import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from itsdangerous import Signer
from itsdangerous.encoding import base64_decode
from itsdangerous.exc import BadData
from itsdangerous.signer import SigningAlgorithm

TAG_BYTES = 15  # 120 bits; a multiple of 3, so that base64 leaves no spare bits that could be altered


class Kind(StrEnum):
    """What a string lets its holder do; the value is the salt and names the prefix."""

    OPEN = "open"  # the quote in checkout_url: pay, nothing more
    CLAIM = "claim"  # session_id: collect the token
    TOKEN = "token"  # spend one purchase once  # noqa: S105 - the name of a kind, no secret
    RUN = "run"  # read one free run


PREFIX = {Kind.OPEN: "fmq_", Kind.CLAIM: "fms_", Kind.TOKEN: "fmt_", Kind.RUN: "fmr_"}


class KeyedBlake2b(SigningAlgorithm):
    """Keyed BLAKE2b (RFC 7693 section 2.9): half the cost of OpenSSL's HMAC for statements of this size."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hashlib.blake2b(value, key=key, digest_size=TAG_BYTES).digest()


class Statements:
    """Signs with the first secret and reads what any of them signed. One key per secret and kind, derived once."""

    def __init__(self, secrets: Sequence[str]):
        if not secrets:
            raise ValueError("at least one secret is needed")
        self._signers = {kind: [self._signer(secret, kind) for secret in secrets] for kind in Kind}
        self._digest_keys = [_derived(secret, "digest") for secret in secrets]

    @staticmethod
    def _signer(secret: str, kind: Kind) -> Signer:
        return Signer(_derived(secret, kind), key_derivation="none", algorithm=KeyedBlake2b())

    def alone(self, number: int) -> Self:
        """With the secret of that number only: what it signed before a rotation, to the same bytes."""
        one = copy.copy(self)
        one._signers = {kind: [signers[number]] for kind, signers in self._signers.items()}
        one._digest_keys = [self._digest_keys[number]]
        return one

    def digests(self, data: bytes) -> list[str]:
        """A digest of `data` under each secret. Which one was kept tells later which secret signed then."""
        return [hashlib.blake2b(data, key=key, digest_size=32).hexdigest() for key in self._digest_keys]

    def sign(self, payload: bytes, *kinds: Kind) -> list[str]:
        """One statement of each kind about a payload, a multiple of 3 bytes so that its base64 has one spelling."""
        value = urlsafe_b64encode(payload)
        return [PREFIX[kind] + _signed(self._signers[kind][0], value).decode("ascii") for kind in kinds]

    def read(self, kind: Kind, text: str) -> bytes | None:
        """The payload of `text`, or None unless signing that payload again gives exactly `text`."""
        prefix = PREFIX[kind]
        if not text.startswith(prefix) or not text.isascii():
            return None
        try:
            payload = base64_decode(text[len(prefix) :].split(".", 1)[0])
        except BadData:
            return None
        value = urlsafe_b64encode(payload)
        given = text[len(prefix) :].encode("ascii")
        for signer in self._signers[kind]:
            if hmac.compare_digest(_signed(signer, value), given):
                return payload
        return None


def _derived(secret: str, use: str) -> bytes:
    return hmac.digest(secret.encode(), b"fmu-gateway " + use.encode(), "sha256")


def _signed(signer: Signer, value: bytes) -> bytes:
    """`signer.sign(value)`, to the same bytes, without its conversions: they are half of what a signature costs."""
    tag = signer.algorithm.get_signature(signer.secret_keys[0], value)
    return value + signer.sep + urlsafe_b64encode(tag)
