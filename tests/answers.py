"""Answers of a gateway, as CONTRACT has them, for tests of its clients."""

from typing import Any

OFFER: dict[str, Any] = {
    "type": "http://gateway.test/problems/payment_required",
    "status": 402,
    "code": "payment_required",
    "detail": "One run of msl:BouncingBall costs 1.00 usd.",
    "amount": "1.00",
    "currency": "usd",
    "methods": ["stripe_checkout"],
    "session_id": "fms_1",
    "checkout_url": "http://gateway.test/checkout/fmq_1",
    "status_url": "http://gateway.test/payments/checkout/fms_1",
    "expires_at": "2026-11-21T12:00:00Z",
    "fmu_id": "msl:BouncingBall",
    "next_step": "Open checkout_url and pay.",
}
RESULT: dict[str, Any] = {
    "run_id": "run_1",
    "status": "succeeded",
    "fmu_id": "msl:BouncingBall",
    "charged": True,
    "amount": "1.00",
    "currency": "usd",
    "columns": ["time", "h"],
    "data": {"time": [0.0, 0.5, 1.0], "h": [1.0, None, 0.25]},
    "units": {"time": "s", "h": "m"},
    "kpis": {"h:max": 1.0},
    "reached_time": 1.0,
    "provenance": {"result_sha256": "00ff"},
    "links": {"csv": "http://gateway.test/runs/run_1/result.csv"},
    "receipt": {
        "purchase": "pur_1",
        "amount": "1.00",
        "currency": "usd",
        "paid_at": "2026-11-21T11:00:00Z",
        "receipt_url": "http://stripe.test/receipt/1",
    },
}
