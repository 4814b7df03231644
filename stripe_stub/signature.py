"""Webhook signatures: `Stripe-Signature: t=…,v1=…`, HMAC-SHA256 of `t.body` (https://docs.stripe.com/webhooks#verify-
manually).
"""

import hashlib
import hmac


def sign(body: bytes, secret: str, timestamp: int) -> str:
    """The header's value."""
    digest = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def corrupt(header: str) -> str:
    """The same header with its last digit changed, as a broken proxy or a forger would send it."""
    return header[:-1] + ("0" if header[-1] != "0" else "1")
