"""A local Stripe: Checkout, payments, refunds, disputes, events and webhooks on 127.0.0.1. Knows nothing of the
gateway.

One noun a file: sessions, intents, charges, refunds, disputes, balance, customers, events, endpoints. Beside them
`wire` (requests and answers), `forms` (parameters), `idempotency`, `deliveries` (webhooks), `clock`, `faults`,
`store`, `world` (what ties them together), `pages` (for people), `control` (everything under /_stub), `testing` (for
tests).
"""

API_VERSION = "2026-10-28.endive"  # the version that stripe-python 16.1 and npm stripe 23.1 pin
OPENAPI_VERSION = "v2596"
